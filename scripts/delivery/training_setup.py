"""Takes the place of `scripts/_setup.py` within a training job.

There the image and the job's own requirements are the environment: no `.venv` is made, and the image's
Python, which may be newer than the project's, is used as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # as it lies in the job, in scripts/


def ensure() -> None:
    """Make the project's packages importable, as the set-up of a checkout does at its end."""
    sys.path.insert(0, str(ROOT))
