"""Reads what torch.save writes, without torch: the zip format and the legacy pickle stream.

Called by `checkpoint.open_checkpoint` with the whole file mapped. Zip format (torch >= 1.6):
`NAME/data.pkl` with persistent ids ('storage', type, key, location, count) and one stored entry
`NAME/data/KEY` for each storage. Legacy format: pickles of a magic number, a protocol version,
facts about the machine, the object, and the list of storage keys; then for each key a 64-bit
count and the elements, little-endian (torch/serialization.py, `_legacy_save` and `_save`).

`pickle_vm` explains why nothing in such a file can execute.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from . import zip_reader
from .checkpoint import ELEMENTS, MAX_EXTENT, LazyTensor, Storage, make_tensor
from .errors import InputRefused, shown
from .pickle_vm import Global, Unpickler

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

_STORAGE_TYPES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}

_SCRIPT = "is a TorchScript archive, which holds code; save model.state_dict() instead"


def read(data: memoryview) -> tuple[str, object]:
    """(container, contents) of a file. Raises InputRefused, and nothing else, for any bytes."""
    if zip_reader.looks_like(data):
        return "torch zip", _read_zip(data)
    if bytes(data[257:262]) == b"ustar" or bytes(data[:8]) == b"storages":
        raise InputRefused(
            "is a tar archive, as torch before 0.1.10 wrote; load and save it with a later torch"
        )
    if data[0] != 0x80:
        raise InputRefused(
            "is neither a torch checkpoint (zip or legacy pickle) nor a safetensors file"
        )
    return "torch legacy", _read_legacy(data)


def _persistent_id(identifier: object, fields: int) -> tuple[str, str, int, object]:
    """(element type, key, count, view) of a persistent id, all checked."""
    if isinstance(identifier, tuple) and identifier and _is_text(identifier[0], "module"):
        raise InputRefused(
            "pickle: holds the source code of a module: it is a whole pickled module, not a state "
            "dict; save model.state_dict() instead"
        )
    if (
        not isinstance(identifier, tuple)
        or len(identifier) not in (5, fields)
        or not _is_text(identifier[0], "storage")
    ):
        raise InputRefused("pickle: has a persistent id that is not a storage's")
    _, kind, key, _, count = identifier[:5]
    if not isinstance(kind, Global) or kind.name not in _STORAGE_TYPES:
        raise InputRefused(
            f"pickle: has a storage of type {kind if isinstance(kind, Global) else shown(kind)}, "
            f"expected one of {', '.join(_STORAGE_TYPES)}"
        )
    if not isinstance(key, str) or len(key) > 255:
        raise InputRefused("pickle: has a storage whose key is not a short text")
    if type(count) is not int or not 0 <= count <= MAX_EXTENT:
        raise InputRefused(
            f"pickle: storage {shown(key)} has {shown(count)} elements, expected 0 to 2^40"
        )
    view = identifier[5] if len(identifier) > 5 else None
    return _STORAGE_TYPES[kind.name], key, count, view


def _is_text(value: object, text: str) -> bool:
    return isinstance(value, str) and value == text


class _Storages:
    """The storages that a pickle names, each with one type and count throughout the file."""

    def __init__(self, fields: int, opener: Callable[[str, str, int], Storage]) -> None:
        self._fields = fields
        self._opener = opener
        self.by_key: dict[str, Storage] = {}

    def load(self, identifier: object) -> object:
        dtype, key, count, view = _persistent_id(identifier, self._fields)
        storage = self.by_key.get(key)
        if storage is None:
            storage = self.by_key[key] = self._opener(key, dtype, count)
        elif (storage.dtype, storage.count) != (dtype, count):
            raise InputRefused(
                f"pickle: storage {shown(key)} is {storage.count} x {storage.dtype} in one place "
                f"and {count} x {dtype} in another"
            )
        if view is None:
            return storage
        # A window into another storage, as torch up to 0.4 wrote: (key, offset, size).
        if not isinstance(view, tuple) or len(view) != 3:
            raise InputRefused(f"pickle: storage {shown(key)} has a malformed view")
        return make_tensor(f"view of storage {shown(key)}", storage, view[1], (view[2],), (1,))

    @staticmethod
    def tensor(storage: object, offset: object, shape: object, strides: object) -> LazyTensor:
        if isinstance(storage, LazyTensor) and type(offset) is int and offset >= 0:
            window = storage
            where = f"tensor in a view of storage {shown(window.storage.name)}"
            inside = Storage(window.storage.name, window.dtype, window.count, window.storage.fetch)
            checked = make_tensor(where, inside, offset, shape, strides)
            return LazyTensor(
                window.storage, window.offset + checked.offset, checked.shape, checked.strides
            )
        if not isinstance(storage, Storage):
            raise InputRefused(f"pickle: rebuilds a tensor from {shown(storage)}, not a storage")
        where = f"tensor in storage {shown(storage.name)}"
        return make_tensor(where, storage, offset, shape, strides)


def _read_zip(data: memoryview) -> object:
    archive = zip_reader.Archive(data)
    pickles = [name for name in archive.entries if name.count("/") == 1]
    pickles = [name for name in pickles if name.endswith("/data.pkl")]
    for name in archive.entries:
        inside = name.partition("/")[2]
        if inside == "constants.pkl" or inside.startswith("code/"):
            raise InputRefused(_SCRIPT)
    if len(pickles) != 1:
        raise InputRefused(
            f"zip archive: has {len(pickles)} entries NAME/data.pkl, expected one; it is not a "
            f"checkpoint that torch.save wrote"
        )
    root = pickles[0].partition("/")[0]
    order = archive.entries.get(f"{root}/byteorder")
    if order is not None and (order.size > 16 or bytes(archive.read(order)) != b"little"):
        raise InputRefused("zip archive: was written on a big-endian machine")

    def opener(key: str, dtype: str, count: int) -> Storage:
        entry = archive.entries.get(f"{root}/data/{key}")
        size = count * ELEMENTS[dtype][0]
        if entry is None:
            raise InputRefused(f"zip archive: has no entry for storage {shown(key)}")
        if entry.size != size:
            raise InputRefused(
                f"zip entry {shown(entry.name)}: has {entry.size} bytes, expected {size} for "
                f"{count} elements of type {dtype}"
            )
        return Storage(entry.name, dtype, count, lambda: archive.read(entry))

    storages = _Storages(5, opener)
    body = archive.read(archive.entries[pickles[0]])
    machine = Unpickler(body, storages.load, storages.tensor)
    value = machine.load()
    if machine.position != len(body):
        raise InputRefused("data.pkl: has bytes behind the end of its pickle")
    return value


def _read_legacy(data: memoryview) -> object:
    places: dict[str, tuple[int, int]] = {}  # key -> first byte of the elements, bytes

    def opener(key: str, dtype: str, count: int) -> Storage:
        size = count * ELEMENTS[dtype][0]
        if size > len(data):
            raise InputRefused(
                f"storage {shown(key)}: has {count} elements of type {dtype}, more than the file"
            )

        def fetch() -> memoryview:
            start, length = places[key]
            return data[start : start + length]

        return Storage(key, dtype, count, fetch)

    storages = _Storages(6, opener)
    machine = Unpickler(data, storages.load, storages.tensor)
    if machine.load() != _LEGACY_MAGIC:
        raise InputRefused(
            "is a pickle, but not one that torch.save wrote: the magic number is missing"
        )
    protocol = machine.load()
    if type(protocol) is not int or protocol != _LEGACY_PROTOCOL:
        raise InputRefused(f"legacy checkpoint: protocol is not {_LEGACY_PROTOCOL}")
    system = machine.load()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise InputRefused("legacy checkpoint: was not written on a little-endian machine")
    value = machine.load()
    keys = machine.load()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise InputRefused("legacy checkpoint: its list of storages is not a list of keys")
    if len(set(keys)) != len(keys) or set(keys) != set(storages.by_key):
        raise InputRefused(
            f"legacy checkpoint: lists {len(keys)} storages, its tensors use "
            f"{len(storages.by_key)}, and the two differ"
        )
    at = machine.position
    for key in keys:
        storage = storages.by_key[key]
        size = storage.count * ELEMENTS[storage.dtype][0]
        if at + 8 + size > len(data):
            raise InputRefused(f"storage {shown(key)}: its {size} bytes reach past the file's end")
        count = struct.unpack_from("<q", data, at)[0]
        if count != storage.count:
            raise InputRefused(
                f"storage {shown(key)}: holds {count} elements, its tensors expect {storage.count}"
            )
        places[key] = (at + 8, size)
        at += 8 + size
    if at != len(data):
        raise InputRefused(f"legacy checkpoint: has {len(data) - at} bytes behind its storages")
    return value
