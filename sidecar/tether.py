"""Runs a program that ends when its parent does: ``python tether.py PARENT_PID PROGRAM ARGUMENT…``.

A killed sidecar (``kill -9``, the OOM killer) cannot stop its Collector, and an orphan would hold the
lock on the queues that the next sidecar's Collector needs. The kernel can: prctl(2), PR_SET_PDEATHSIG,
which outlives exec. It is set here, between fork and exec of the program, because between fork and
exec of this one no Python code is safe to run where gRPC's threads are.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, program = int(sys.argv[1]), sys.argv[2]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)
    os.execv(program, sys.argv[2:])  # noqa: S606 - no shell is the point
