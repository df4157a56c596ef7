"""Foreign safetensors checkpoints: honest, dishonest and damaged ones."""

from __future__ import annotations

import json
import random
import struct

import numpy as np
import pytest

from weights_tools.checkpoint import open_checkpoint
from weights_tools.errors import InputRefused

NAMES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "u1",
}


def encoded(header: object, data: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def read(tmp_path, content: bytes):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    return open_checkpoint(path)


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize("dtype", NAMES)
def test_element_types(tmp_path, dtype):
    array = np.arange(6).astype(NAMES[dtype]).reshape(2, 3)
    header = {"__metadata__": {"format": "pt"}, "t": entry(dtype, (2, 3), (0, array.nbytes))}
    checkpoint = read(tmp_path, encoded(header, array.tobytes()))
    assert checkpoint.container == "safetensors"
    np.testing.assert_array_equal(checkpoint.tree["t"].read(), array)


def test_bfloat16_scalars_and_empty_tensors(tmp_path):
    header = {"a": entry("BF16", (), (0, 2)), "b": entry("F32", (3, 0), (2, 2))}
    tree = read(tmp_path, encoded(header, b"\xc0\x3f")).tree
    assert tree["a"].read() == 1.5 and tree["b"].read().shape == (3, 0)


TWICE = b'{"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"t":{}}'
BAD = [
    (encoded(TWICE, bytes(8)), "twice"),
    (encoded({"t": entry() | {"more": 1}}, bytes(8)), "exactly dtype"),
    (encoded({"t": {"dtype": "F32", "shape": [2]}}, bytes(8)), "exactly dtype"),
    (encoded({"t": 5}, bytes(8)), "exactly dtype"),
    (encoded({"t": entry("F8_E4M3", (8,))}, bytes(8)), "'F8_E4M3'"),
    (encoded({"t": entry("F32", (3,))}, bytes(8)), "reaches element"),
    (encoded({"t": entry("F32", (1,))}, bytes(8)), "8 bytes of data, expected 4"),
    (encoded({"t": entry("F32", (2**41,))}, bytes(8)), "2^40"),
    (encoded({"t": entry("F32", (-2,))}, bytes(8)), "2^40"),
    (encoded({"t": entry("F32", (1,) * 9)}, bytes(8)), "at most 8"),
    (encoded({"t": entry("F32", (True, 2))}, bytes(8)), "integers"),
    (encoded({"t": entry(offsets=(0, 9))}, bytes(8)), "two rising"),
    (encoded({"t": entry(offsets=(8, 0))}, bytes(8)), "two rising"),
    (encoded({"t": entry(offsets=(-8, 0))}, bytes(8)), "two rising"),
    (encoded({"t": entry(offsets=(0, True))}, bytes(8)), "two rising"),
    (encoded({"t": entry(offsets=(4, 12))}, bytes(12)), "holes"),
    (encoded({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)), "overlap"),
    (encoded({"a": entry()}, bytes(9)), "1 bytes behind"),
    (encoded({"__metadata__": {"a": 1}}), "__metadata__"),
    (encoded({"__metadata__": 3}), "__metadata__"),
    (encoded({"__metadata__": {"dfnet.version": "1"}}), "already"),
    (encoded(b'{"t":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}', bytes(8)), "number"),
    (encoded(b'{"t":NaN}'), "number"),
    (encoded(b'{"t":' + b"9" * 5000 + b"}"), "JSON"),
    (encoded(b'{"t":' + b"[" * 100_000 + b"}"), "JSON"),
    (encoded(b'{"t":"\xff"}'), "JSON"),
    (encoded(b"{}x"), "JSON"),
    (struct.pack("<Q", 2**63) + b"{}", "bytes long"),
    (struct.pack("<Q", 3) + b"{}", "bytes long"),
]


@pytest.mark.parametrize(("content", "word"), BAD)
def test_refused(tmp_path, content, word):
    with pytest.raises(InputRefused) as caught:
        read(tmp_path, content)
    assert word in str(caught.value)


def test_fuzzed(tmp_path):
    """4000 mutations: read, or InputRefused."""
    rng = random.Random(31)
    header = {
        "__metadata__": {"format": "pt"},
        "a.weight": entry("F32", (2, 3), (0, 24)),
        "a.bias": entry("F16", (4,), (24, 32)),
        "n": entry("I64", (), (32, 40)),
    }
    good = encoded(header, bytes(range(40)))
    refused = 0
    for _ in range(4000):
        data = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data))
            kind = rng.randrange(4)
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                data[at] = rng.choice(b'0123456789",:[]{} ')
            elif kind == 2:
                del data[at : at + rng.randint(1, 5)]
            else:
                data[at:at] = bytes(data[at : at + rng.randint(1, 20)])
        try:
            tree = read(tmp_path, bytes(data) or b"\0").tree
            if isinstance(tree, dict):
                for tensor in tree.values():
                    assert tensor.read().shape == tensor.shape
        except InputRefused:
            refused += 1
    assert 1000 < refused < 4000
