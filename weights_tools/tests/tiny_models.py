"""Small random networks for the tests; imported by them by its bare name."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

from weights_tools import xxh3
from weights_tools.arch import Architecture
from weights_tools.model_file import Metadata, write_model

STAGES = "fused,3,1,1,8,1,0;fused,3,2,4,8,2,0;mb,5,2,1,16,1,4;mb,3,1,6,16,2,4;mb,3,2,2,24,1,0"


def architecture(stages: str = STAGES, activation: str = "swish", outputs: int = 3) -> Architecture:
    """Stem 8 and head 32 around the stages."""
    return Architecture.parse(stages, activation=activation, stem=8, head=32, outputs=outputs)


def weights(arch: Architecture, seed: int = 1) -> dict[str, np.ndarray]:
    """float32 tensors that keep activations near unit scale."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in arch.tensors().items():
        fan_in = max(1, int(np.prod(shape[1:])))
        scale = 0.1 if name.endswith(".bias") else (2.0 / fan_in) ** 0.5
        tensors[name] = (rng.standard_normal(shape) * scale).astype(np.float32)
    return tensors


def metadata(**changes: object) -> Metadata:
    """Metadata with every field set to something that is not its default."""
    values: dict[str, object] = {
        "name": "tiny",
        "padding": "same",
        "input": (48, 40),
        "resize": "shorter:56",
        "filter": "pillow-bicubic,opencv-linear",
        "mean": (0.5, 0.25, 0.1),
        "std": (0.5, 1.0, 1e-3),
        "flip": True,
        "labels": ["real", "fake", 'a "quoted\\ \t label\u00e9'],
        "output": "softmax",
        "fake": 1,
        "face_margin": (0.1, -0.05, 0.3, 1e-05),
        "face_shape": "square",
        "face_outside": "pad",
        "face_pad": (0, 128, 255),
        "temperature": 1.5,
        "thresholds": (0.25, 0.75),
        "source": "tiny.pth",
        "source_sha256": "0123456789abcdef" * 4,
        "license": "MIT",
        "extra": {"x.note": "free", "x.a": ""},
    }
    return Metadata(**(values | changes))


def write(path: Path, dtype: str = "f32", **changes: object) -> Path:
    """A sound model file at `path`."""
    arch = architecture()
    write_model(path, arch, weights(arch), metadata(**changes), dtype)
    return path


def split(path: Path) -> tuple[str, bytes]:
    """Header without its padding, and data."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return raw[8 : 8 + length].decode().rstrip(" "), raw[8 + length :]


def header(path: Path) -> dict[str, dict]:
    """The header parsed by Python's own JSON reader."""
    return json.loads(split(path)[0])


def join(path: Path, text: str | bytes, data: bytes, *, rehash: bool = True) -> Path:
    """Write header and data with the right length, padding and (if it holds one) hash."""
    body = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    body += b" " * (-(8 + len(body)) % 64)
    key = b'"dfnet.xxh3":"'
    at = body.find(key) + len(key)
    if rehash and at >= len(key):
        body = body[:at] + b"0" * 32 + body[at + 32 :]
        hasher = xxh3.Xxh3()
        hasher.update(struct.pack("<Q", len(body)) + body + data)
        body = body[:at] + xxh3.hexdigest(hasher).encode() + body[at + 32 :]
    path.write_bytes(struct.pack("<Q", len(body)) + body + data)
    return path
