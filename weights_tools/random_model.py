"""Model files of any variant with random weights, for benchmarks and trials.

Called by `__main__`. The time and memory of a network do not depend on what its weights say, so
nobody needs a trained B7 to measure one.
"""

from __future__ import annotations

import os

import numpy as np

from .arch import NATIVE_SIZE, Architecture, variant
from .model_file import Metadata, write_model

#: Residual branches are kept quieter than the trunk, so that a deep network stays at scale.
_RESIDUAL_GAIN = 0.3
_GAIN = 1.7


def random_tensors(arch: Architecture, seed: int) -> dict[str, np.ndarray]:
    """Canonical name -> float32 array: weights N(0, gain^2 / fan-in), biases N(0, 0.01)."""
    tensors = {}
    for index, (name, shape) in enumerate(arch.tensors().items()):
        # A stream for each tensor: the same weights whatever the order of the rest.
        generator = np.random.Generator(np.random.PCG64([seed, index]))
        values = generator.standard_normal(shape, dtype=np.float32)
        if name.endswith(".bias"):
            values *= np.float32(0.1)
        else:
            gain = _RESIDUAL_GAIN if ".project." in name else _GAIN
            values *= np.float32(gain / np.prod(shape[1:]) ** 0.5)
        tensors[name] = values
    return tensors


def write_random_model(
    path: str | os.PathLike[str],
    name: str,
    outputs: int,
    seed: int,
    dtype: str,
    denormal: bool = False,
) -> Architecture:
    """Writes a model file of variant `name`; the same bytes for the same arguments.

    With `denormal` every number is too small for a normal float32 (below 1.2e-38 in magnitude),
    which on many processors makes arithmetic a hundred times slower if it is not switched off.
    Raises ValueError for an unknown variant, ModelFileError or OSError where writing fails.
    """
    arch = variant(name, outputs)
    size = NATIVE_SIZE[name]
    meta = Metadata(
        name=f"{name}-random",
        input=(size, size),
        source="weights_tools random",
        license="CC0-1.0",
    )
    tensors = random_tensors(arch, seed)
    if denormal:
        tensors = {name: values * np.float32(1e-39) for name, values in tensors.items()}
    write_model(path, arch, tensors, meta, dtype)
    return arch
