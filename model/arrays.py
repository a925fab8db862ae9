"""Types of arrays. The docstrings of what takes or returns one give the shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]
Names = NDArray[np.str_]
Greys = NDArray[np.uint8]
