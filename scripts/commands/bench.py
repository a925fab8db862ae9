"""`scripts/bench`: measure the server beside its peers."""

from __future__ import annotations

from scripts.benchmark.run import main

__all__ = ["main"]
