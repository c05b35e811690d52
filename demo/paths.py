"""Where things are in the checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
CACHE: Final = ROOT / ".cache"
"""What is fetched or built once."""
OUTPUT: Final = ROOT / ".demo"
"""What the last demo wrote: logs, queues, data, ``summary.json``."""
PIPELINE: Final = ROOT / "examples" / "pipeline"
COLLECTOR_CONFIG: Final = ROOT / "collector-config"
