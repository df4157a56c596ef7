"""Writes what torch.save writes, without torch, and what no honest program writes.

Imported by the tests under its bare name. A tree of dicts, lists, scalars and `Tensor`s becomes
a zip or legacy checkpoint; `Raw` puts any opcodes in any place of it.
"""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TYPES = {
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "float64": "DoubleStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


@dataclass(eq=False)
class Memory:
    """A storage: `data` is flat; `kind` overrides the element type's name (bfloat16)."""

    data: np.ndarray
    kind: str = ""

    @property
    def type_name(self) -> str:
        return TYPES[self.kind or self.data.dtype.name]


@dataclass(eq=False)
class Tensor:
    memory: Memory
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    parameter: bool = False
    view: tuple[str, int, int] | None = None  # legacy only


@dataclass(frozen=True)
class Raw:
    """Opcodes that leave one object on the stack."""

    code: bytes


def tensor(array: np.ndarray, kind: str = "") -> Tensor:
    """A contiguous tensor with a storage of its own."""
    array = np.array(array, order="C")
    strides = tuple(step // array.itemsize for step in array.strides)
    return Tensor(Memory(array.reshape(-1), kind), array.shape, strides)


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def integer(value: int) -> bytes:
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    length = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([length]) + value.to_bytes(length, "little", signed=True)


def called(module: str, name: str, *arguments: bytes) -> bytes:
    """REDUCE of a global with ready-made arguments."""
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR"


class _Emitter:
    def __init__(self, legacy: bool) -> None:
        self.legacy = legacy
        self.keys: dict[int, str] = {}
        self.memories: list[Memory] = []

    def emit(self, value: object) -> bytes:
        if isinstance(value, Raw):
            return value.code
        if value is None:
            return b"N"
        if isinstance(value, bool):
            return b"\x88" if value else b"\x89"
        if isinstance(value, int):
            return integer(value)
        if isinstance(value, float):
            return b"G" + struct.pack(">d", value)
        if isinstance(value, str):
            return text(value)
        if isinstance(value, tuple):
            return b"(" + b"".join(map(self.emit, value)) + b"t"
        if isinstance(value, list):
            return b"](" + b"".join(map(self.emit, value)) + b"e"
        if isinstance(value, dict):
            items = b"".join(self.emit(k) + self.emit(v) for k, v in value.items())
            return b"ccollections\nOrderedDict\n)R(" + items + b"u"
        assert isinstance(value, Tensor)
        return self._tensor(value)

    def _tensor(self, value: Tensor) -> bytes:
        memory = value.memory
        if id(memory) not in self.keys:
            self.keys[id(memory)] = str(len(self.keys))
            self.memories.append(memory)
        identifier = (
            "storage",
            Raw(f"ctorch\n{memory.type_name}\n".encode()),
            self.keys[id(memory)],
            "cpu",
            memory.data.size,
        )
        if self.legacy:
            identifier = (*identifier, value.view)
        built = called(
            "torch._utils",
            "_rebuild_tensor_v2",
            self.emit(identifier) + b"Q",
            self.emit(value.offset),
            self.emit(value.shape),
            self.emit(value.strides),
            b"\x89",
            b"ccollections\nOrderedDict\n)R",
        )
        if value.parameter:
            empty = b"ccollections\nOrderedDict\n)R"
            built = called("torch._utils", "_rebuild_parameter", built, b"\x88", empty)
        return built


def zip_bytes(
    tree: object,
    *,
    root: str = "archive",
    pickle: bytes | None = None,
    compression: int = zipfile.ZIP_STORED,
    extra: dict[str, bytes] | None = None,
) -> bytes:
    """A checkpoint in the zip format; `pickle` replaces data.pkl, `extra` adds entries."""
    emitter = _Emitter(legacy=False)
    body = b"\x80\x02" + emitter.emit(tree) + b"."
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        archive.writestr(zipfile.ZipInfo(f"{root}/data.pkl"), body if pickle is None else pickle)
        for key, memory in enumerate(emitter.memories):
            entry = zipfile.ZipInfo(f"{root}/data/{key}")
            entry.compress_type = compression
            archive.writestr(entry, memory.data.tobytes())
        archive.writestr(zipfile.ZipInfo(f"{root}/version"), "3\n")
        for name, content in (extra or {}).items():
            archive.writestr(zipfile.ZipInfo(f"{root}/{name}"), content)
    return out.getvalue()


def legacy_bytes(tree: object, *, pickle: bytes | None = None, little: bool = True) -> bytes:
    """A checkpoint as torch before 1.6 wrote it."""
    emitter = _Emitter(legacy=True)
    body = b"\x80\x02" + emitter.emit(tree) + b"."
    system = {"protocol_version": 1001, "little_endian": little, "type_sizes": {"int": 4}}
    out = b"".join(b"\x80\x02" + emitter.emit(v) + b"." for v in (LEGACY_MAGIC, 1001, system))
    out += body if pickle is None else pickle
    keys = [emitter.keys[id(memory)] for memory in emitter.memories]
    out += b"\x80\x02" + emitter.emit(keys) + b"."
    for memory in emitter.memories:
        out += struct.pack("<q", memory.data.size) + memory.data.tobytes()
    return out


def save(path: Path, tree: object, legacy: bool = False) -> Path:
    path.write_bytes(legacy_bytes(tree) if legacy else zip_bytes(tree))
    return path
