"""The reference input of a model file, the random numbers it is made of, and how logits are kept.

Called by model_file and mtcnn (to compute the reference logits), verify and the golden tests. The
library has the same generator in C; FORMAT.md, section 6, defines both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

#: Reference logits are multiples of this, relative to the power of ten at or below the largest.
STORED_STEP = 1e-7

_GAMMA = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def splitmix64(seed: int, count: int) -> np.ndarray:
    """The first `count` outputs, uint64 [count], of SplitMix64 started at `seed`.

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. The
    state only counts, so all outputs are computed at once.
    """
    if not 0 <= seed <= _MASK:
        raise ValueError(f"seed {seed} is not an unsigned 64-bit number")
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GAMMA) + np.uint64(seed)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(seed: int, *shape: int) -> np.ndarray:
    """Values in [-2, 2) with 24 random bits, float64 of `shape`, filled in C order.

    Every value is exact in float32 too.
    """
    count = int(np.prod(shape, dtype=np.int64))
    bits = splitmix64(seed, count) >> np.uint64(40)
    return (bits.astype(np.float64) / 2.0**22 - 2.0).reshape(shape)


def reference_input(seed: int, height: int, width: int, batch: int = 1) -> np.ndarray:
    """The normalised input picture, float64 [batch, 3, height, width] (NCHW)."""
    return uniform(seed, batch, 3, height, width)


def as_stored(values: Iterable[float]) -> list[float]:
    """Reference logits as a file keeps them: multiples of a power of ten.

    The last digits of a float64 sum depend on its order, which numpy's matrix product chooses by
    the processor; without them every machine writes the same file. Raises OverflowError for
    infinity, ValueError for NaN.
    """
    numbers = [float(v) for v in values]
    largest = max(1.0, *map(abs, numbers))
    digits = -round(math.log10(STORED_STEP)) - math.floor(math.log10(largest))
    return [round(v, digits) + 0.0 for v in numbers]  # no -0.0
