"""Where the benchmark keeps what it makes, and how its parts speak of failures."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".local" / "bench"
"""All that the benchmark makes: environments, the network and its forms, images, logs, results."""
PEERS = ROOT / "scripts" / "benchmark" / "peers"
CORES = os.cpu_count() or 1


class BenchmarkError(Exception):
    """Something that a person has to mend; its text says what is wrong and what to do."""
