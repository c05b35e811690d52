"""In a process that is killed without notice, what a unit of work leaves behind is sent as soon as it ends.

Ray ends its workers by SIGKILL when the driver ends, often within the second that a span waits for others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import SpanProcessor

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan


class FlushAfterRoot(SpanProcessor):
    """Asks for a flush whenever a span ends that has no parent in this process.

    To be added after the processors that send, which have to have the span by then.
    """

    def __init__(self, flush_soon: Callable[[], None]) -> None:
        """Take what asks for the flush; it has to return at once."""
        self._flush_soon = flush_soon

    def on_end(self, span: ReadableSpan) -> None:
        """Ask for a flush where the span's parent is elsewhere or nowhere."""
        if span.parent is None or span.parent.is_remote:
            self._flush_soon()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Do nothing: nothing waits here."""
        return True
