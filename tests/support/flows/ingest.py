"""A program of a pipeline's container that is no flow: one span, one log line, one metric."""

import logging
import os
import signal
import sys

from opentelemetry import metrics, trace

logging.basicConfig(level=logging.INFO, format="[flow_run_id=%(flow_run_id)s] %(message)s")


def main() -> None:
    with trace.get_tracer("ingest").start_as_current_span("load"):
        logging.getLogger("ingest").info("loaded %d rows", 3)
        metrics.get_meter("ingest").create_counter("rows.loaded").add(3)
    if "--terminate" in sys.argv:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()


if __name__ == "__main__":
    main()
