"""``python -m otel_prefect``: the ``otel-prefect`` command, where no script of it is installed."""

from __future__ import annotations

import sys

from otel_prefect.commands.cli import main

sys.exit(main())
