"""State dicts with batch normalisation that are generated, not stored.

Shared by the tests and by tests/parity/make_goldens.py, which asks torch what such a network
computes. Everything comes from the PRNG of FORMAT.md, so that both see the same numbers.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from weights_tools.arch import Architecture
from weights_tools.reference import uniform


def generated_state(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Values (float32, counters int64) for the entries of a state dict.

    Convolutions keep the scale of what goes through them. Variances lie in 0.001 to 0.01: small,
    so that an epsilon of 1e-3 instead of 1e-5 changes every channel by percents; convolutions in
    front of them are scaled to match.
    """
    state: dict[str, np.ndarray] = {}
    for name, shape in shapes.items():
        last = name.rsplit(".", 1)[1]
        # A seed from the name: the order of the entries must not matter.
        values = uniform(zlib.crc32(name.encode()), *shape)  # variance 4/3
        if last == "num_batches_tracked":
            state[name] = np.array(7, dtype=np.int64)
            continue
        if last == "running_var":
            values = 0.001 + 0.009 * (values / 4 + 0.5)
        elif last == "running_mean":
            values = values * 0.02
        elif last == "bias":
            values = values * 0.2
        elif len(shape) == 1:  # gamma
            values = 0.9 + values * 0.2
        else:
            # 0.07 is about the root of the variances; layers with a bias have none behind them.
            linear = len(shape) == 2 or _has_bias(name, shapes)
            values = values * ((1.0 if linear else 0.07) * (1.5 / np.prod(shape[1:])) ** 0.5)
        state[name] = values.astype(np.float32)
    return state


def _has_bias(name: str, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    return name.rsplit(".", 1)[0] + ".bias" in shapes


def tiny_state(arch: Architecture) -> dict[str, np.ndarray]:
    """The same for a network of `mb` blocks with squeeze-excite, in timm's names."""
    return generated_state(timm_shapes(arch))


def timm_shapes(arch: Architecture) -> dict[str, tuple[int, ...]]:
    """Entries of timm's state dict, without the counters."""
    shapes: dict[str, tuple[int, ...]] = {}
    canonical = arch.tensors()

    def conv(target: str, source: str, norm: str) -> None:
        shape = canonical[f"{target}.weight"]
        shapes[f"{source}.weight"] = shape
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = shape[:1]

    def plain(target: str, source: str, extra: tuple[int, ...]) -> None:
        shapes[f"{source}.weight"] = canonical[f"{target}.weight"] + extra
        shapes[f"{source}.bias"] = canonical[f"{target}.bias"]

    conv("stem", "conv_stem", "bn1")
    for b in arch.blocks():
        to, at = f"blocks.{b.index}", f"blocks.{b.stage}.{b.position}"
        norm = 1
        if b.expand != 1:
            conv(f"{to}.expand", f"{at}.conv_pw", f"{at}.bn1")
            norm = 2
        conv(f"{to}.depthwise", f"{at}.conv_dw", f"{at}.bn{norm}")
        plain(f"{to}.se.reduce", f"{at}.se.conv_reduce", (1, 1))
        plain(f"{to}.se.expand", f"{at}.se.conv_expand", (1, 1))
        last = "conv_pw" if b.expand == 1 else "conv_pwl"
        conv(f"{to}.project", f"{at}.{last}", f"{at}.bn{norm + 1}")
    conv("head", "conv_head", "bn2")
    plain("classifier", "classifier", ())
    return shapes


def write_safetensors(path: Path, state: Mapping[str, np.ndarray]) -> Path:
    """A plain safetensors file of float32 tensors."""
    entries, bodies, offset = {}, [], 0
    for name, array in state.items():
        data = array.astype("<f4").tobytes()
        end = offset + len(data)
        entries[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        bodies.append(data)
        offset = end
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-(8 + len(header)) % 64)
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"".join(bodies))
    return path
