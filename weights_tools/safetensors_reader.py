"""Reads safetensors checkpoints made by others (timm's, for example), strictly.

Called by `checkpoint.open_checkpoint` with the whole file mapped. Layout: 8 bytes little-endian
header length, a JSON object name -> {dtype, shape, data_offsets}, the tensors' bytes without
holes. Unlike `model_file`, which reads only this project's own files, it takes every element
type that a state dict may hold and any legal JSON spelling; it refuses what would let two readers
see two different files (keys twice, holes, overlaps, bytes left over).
"""

from __future__ import annotations

import json
import math

from .checkpoint import ELEMENTS, MAX_DIMENSIONS, MAX_EXTENT, LazyTensor, Storage, make_tensor
from .errors import InputRefused, shown

MAX_HEADER = 16 << 20
MAX_TENSORS = 100_000


def looks_like(data: memoryview) -> bool:
    return len(data) >= 9 and data[8] == ord("{") and bytes(data[:4]) != b"PK\x03\x04"


def read(data: memoryview) -> dict[str, LazyTensor]:
    """Name -> tensor. Raises InputRefused, and nothing else, for any bytes."""
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(MAX_HEADER, len(data) - 8):
        raise InputRefused(
            f"safetensors header: is {length} bytes long, expected 2 to "
            f"{min(MAX_HEADER, len(data) - 8)}"
        )
    header = _json(bytes(data[8 : 8 + length]))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise InputRefused("safetensors header: __metadata__ does not map text to text")
    if "dfnet.version" in metadata:
        raise InputRefused("is a dfnet model file already; there is nothing to convert")
    if len(header) > MAX_TENSORS:
        raise InputRefused(f"safetensors header: names more than {MAX_TENSORS} tensors")
    body = data[8 + length :]
    tensors: dict[str, LazyTensor] = {}
    spans: list[tuple[int, int, str]] = []
    for name, fields in header.items():
        start, end = _span(name, fields, len(body))
        spans.append((start, end, name))
        tensors[name] = _tensor(name, fields, body[start:end])
    at = 0
    for start, end, name in sorted(spans):
        if start != at:
            raise InputRefused(
                f"tensor {shown(name)}: its data begin at {start}, expected {at}: tensors may "
                f"neither overlap nor leave holes"
            )
        at = end
    if at != len(body):
        raise InputRefused(f"safetensors data: has {len(body) - at} bytes behind the last tensor")
    return tensors


def _json(text: bytes) -> dict[str, object]:
    def no_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise InputRefused("safetensors header: has a key twice")
        return table

    def no_number(text: str) -> object:
        raise InputRefused(f"safetensors header: holds the number {shown(text)}")

    try:
        header = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=no_twins,
            parse_float=no_number,
            parse_constant=no_number,
        )
    except InputRefused:
        raise
    except (ValueError, RecursionError) as error:
        raise InputRefused(f"safetensors header: is not JSON ({error})") from None
    if not isinstance(header, dict):
        raise InputRefused("safetensors header: is not a JSON object")
    return header


def _span(name: str, fields: object, size: int) -> tuple[int, int]:
    if not isinstance(fields, dict) or set(fields) != {"dtype", "shape", "data_offsets"}:
        raise InputRefused(
            f"tensor {shown(name)}: is not described by exactly dtype, shape and data_offsets"
        )
    offsets = fields["data_offsets"]
    if (
        not isinstance(offsets, list)
        or len(offsets) != 2
        or not all(type(offset) is int for offset in offsets)
        or not 0 <= offsets[0] <= offsets[1] <= size
    ):
        raise InputRefused(
            f"tensor {shown(name)}: its data_offsets are not two rising integers up to {size}"
        )
    return offsets[0], offsets[1]


def _tensor(name: str, fields: dict[str, object], raw: memoryview) -> LazyTensor:
    where = f"tensor {shown(name)}"
    dtype, shape = fields["dtype"], fields["shape"]
    if not isinstance(dtype, str) or dtype not in ELEMENTS:
        raise InputRefused(
            f"{where}: has type {shown(dtype)}, expected one of {', '.join(ELEMENTS)}"
        )
    size = ELEMENTS[dtype][0]
    storage = Storage(name, dtype, len(raw) // size, lambda: raw)
    if (
        not isinstance(shape, list)
        or len(shape) > MAX_DIMENSIONS
        or not all(type(extent) is int and 0 <= extent <= MAX_EXTENT for extent in shape)
    ):
        raise InputRefused(
            f"{where}: its shape is not a list of at most {MAX_DIMENSIONS} integers up to 2^40"
        )
    strides = [min(math.prod(shape[axis + 1 :]), MAX_EXTENT) for axis in range(len(shape))]
    tensor = make_tensor(where, storage, 0, shape, strides)
    if math.prod(tensor.shape) * size != len(raw):
        raise InputRefused(
            f"{where}: has {len(raw)} bytes of data, expected {math.prod(tensor.shape) * size} "
            f"for shape {list(tensor.shape)} of type {dtype}"
        )
    return tensor
