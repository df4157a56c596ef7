"""Random state dicts in each library's names, for the tests; imported under its bare name."""

from __future__ import annotations

import functools

import numpy as np
import pth_writer as pw

from weights_tools import naming
from weights_tools.arch import variant

SCHEMES = {scheme.name: scheme for scheme in naming.SCHEMES}


def shapes(scheme: str, name: str, outputs: int = 1000) -> dict[str, tuple[int, ...]]:
    """Source name -> shape of everything but the counters."""
    arch = variant(name, outputs)
    own = SCHEMES[scheme].layers(arch)
    assert own is not None
    head = naming.Layer("classifier", SCHEMES[scheme].classifier)
    return naming.expected_shapes(arch, [*own, head])


@functools.cache
def arrays(
    scheme: str, name: str, outputs: int = 1000, counters: bool = True
) -> dict[str, np.ndarray]:
    """float32 arrays that keep activations near unit scale. Shared: copy before changing one."""
    rng = np.random.default_rng(7)
    made: dict[str, np.ndarray] = {}
    for key, shape in shapes(scheme, name, outputs).items():
        part = key.rpartition(".")[2]
        if part == "running_var":
            value = rng.uniform(0.5, 1.5, shape)
        elif part == "weight" and len(shape) == 1:
            value = rng.uniform(0.8, 1.2, shape)
        elif part == "weight":
            value = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        else:
            value = rng.standard_normal(shape) * 0.1
        made[key] = value.astype(np.float32)
        if part == "running_var" and counters:
            made[key.replace("running_var", "num_batches_tracked")] = np.array(1000)
    return made


def tree(
    scheme: str, name: str, outputs: int = 1000, prefix: str = "", counters: bool = True
) -> dict[str, pw.Tensor]:
    """A fresh dict of tensors ready to be written."""
    return {
        prefix + key: pw.tensor(value)
        for key, value in arrays(scheme, name, outputs, counters).items()
    }
