"""A worker of Ray, which is killed without notice, sends what a task leaves behind as soon as it ends."""

from __future__ import annotations

import threading

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from otel_prefect import process_kind
from otel_prefect.export.delivery import Delivery
from otel_prefect.lifecycle import Shutdown
from otel_prefect.spans.flush_after_root import FlushAfterRoot


class Held:
    """A provider whose flush waits to be let go."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()

    def force_flush(self) -> None:
        self.begun.release()
        self.go_on.wait(10)

    def shutdown(self) -> None:
        pass


def remote_parent() -> trace.SpanContext:
    return trace.SpanContext(1, 1, is_remote=True, trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED))


def test_a_flush_is_asked_for_when_a_span_ends_whose_parent_is_not_in_this_process() -> None:
    asked: list[None] = []
    provider = TracerProvider()
    provider.add_span_processor(FlushAfterRoot(lambda: asked.append(None)))
    tracer = provider.get_tracer("tests")
    sent_here = trace.set_span_in_context(trace.NonRecordingSpan(remote_parent()))
    with tracer.start_as_current_span("task", sent_here):
        with tracer.start_as_current_span("read file"):
            pass
        assert asked == []
    assert len(asked) == 1
    with tracer.start_as_current_span("own"):
        pass
    assert len(asked) == 2


def test_who_asks_for_a_flush_does_not_wait_and_those_that_wait_are_one() -> None:
    held = Held()
    shutdown = Shutdown([held], Delivery(1), 10)
    shutdown.flush_soon()
    assert held.begun.acquire(timeout=10)
    for _ in range(100):
        shutdown.flush_soon()
    held.go_on.set()
    assert held.begun.acquire(timeout=10)
    shutdown.finish()  # after all that was asked for before
    assert not held.begun.acquire(blocking=False)


def test_a_worker_of_ray_is_known_by_its_command_line() -> None:
    folder = "/usr/lib/python3/site-packages/ray/_private/workers"
    assert process_kind.is_ray_worker(["python", f"{folder}/default_worker.py", "--node-ip-address=10.0.0.1"])
    assert not process_kind.is_ray_worker(["python", "in_ray.py"])
