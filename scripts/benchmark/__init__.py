"""Measures the server beside its peers: one model, the same images, the same client, the same machine."""

from __future__ import annotations

import os

from infra.paths import ROOT

HOME = ROOT / ".local" / "bench"
"""What the benchmark makes and reuses: environments, the model, images, logs."""
CORES = os.cpu_count() or 1
