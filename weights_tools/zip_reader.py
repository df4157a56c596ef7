"""Reads the zip archives that torch.save writes, from memory, without extracting anything.

Called by `torch_reader` only. Stricter than the standard library's zipfile on purpose: entries
must be where the central directory says, must not overlap (an overlap is how small archives
claim petabytes), must have distinct names and the right CRC-32. Layout: PKWARE APPNOTE 6.3,
sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to 4.3.16 (end records).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise

from .errors import InputRefused, shown

MAX_DIRECTORY = 16 << 20
# torch stores its entries uncompressed; an archive that somebody re-packed with compression is
# read as long as each entry stays below this size when unpacked.
MAX_INFLATED = 64 << 20

_STORED, _DEFLATED = 0, 8
_END = struct.Struct("<IHHHHIIH")
_END64_LOCATOR = struct.Struct("<IIQI")
_END64 = struct.Struct("<IQHHIIQQQQ")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_LOCAL = struct.Struct("<IHHHHHIIIHH")


@dataclass(frozen=True)
class Entry:
    name: str
    method: int
    crc: int
    packed: int
    size: int
    start: int  # of the data, from the start of the archive


def looks_like(data: memoryview) -> bool:
    return bytes(data[:4]) in (b"PK\x03\x04", b"PK\x05\x06")


class Archive:
    """The entries of a zip archive held in `data`. Raises InputRefused for anything malformed."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._intact: set[str] = set()  # entries whose CRC has been found right
        offset, size, count, end = self._directory()
        self.entries = self._entries(offset, size, count, end)

    def _directory(self) -> tuple[int, int, int, int]:
        """Offset and length of the central directory, entries in it, first byte behind it."""
        data = self._data
        tail_start = max(0, len(data) - _END.size - 0xFFFF)
        tail = bytes(data[tail_start:])
        at = tail.rfind(b"PK\x05\x06")
        while at >= 0:
            if at + _END.size <= len(tail):
                fields = _END.unpack_from(tail, at)
                if at + _END.size + fields[7] == len(tail):
                    break
            at = tail.rfind(b"PK\x05\x06", 0, at)
        if at < 0:
            raise InputRefused(
                "zip archive: has no end-of-directory record; the file is cut short or damaged"
            )
        _, disk, start_disk, here, count, size, offset, _ = fields
        end = tail_start + at
        if end >= _END64_LOCATOR.size:
            magic, disk64, at64, _ = _END64_LOCATOR.unpack_from(data, end - _END64_LOCATOR.size)
            if magic == 0x07064B50:
                if at64 > end - _END64_LOCATOR.size - _END64.size:
                    raise InputRefused("zip archive: its zip64 end record lies outside the file")
                magic, _, _, _, disk, start_disk, here, count, size, offset = _END64.unpack_from(
                    data, at64
                )
                if magic != 0x06064B50 or disk64:
                    raise InputRefused("zip archive: its zip64 end record is damaged")
                end = at64
        if disk or start_disk or here != count:
            raise InputRefused("zip archive: is split over several files")
        if offset + size != end:
            raise InputRefused(
                f"zip archive: its directory of {size} bytes at {offset} does not end at {end}"
            )
        if size > MAX_DIRECTORY or count * _CENTRAL.size > size:
            raise InputRefused(
                f"zip archive: has a directory of {size} bytes with {count} entries, expected "
                f"at most {MAX_DIRECTORY} bytes"
            )
        return offset, size, count, end

    def _entries(self, offset: int, size: int, count: int, end: int) -> dict[str, Entry]:
        data = self._data
        at = offset
        entries: dict[str, Entry] = {}
        spans: list[tuple[int, int]] = []
        for _ in range(count):
            if at + _CENTRAL.size > end:
                raise InputRefused("zip archive: its directory ends inside an entry")
            fields = _CENTRAL.unpack_from(data, at)
            magic, _, _, flags, method, _, _, crc, packed, full = fields[:10]
            name_size, extra_size, comment_size, disk, _, _, local = fields[10:]
            next_at = at + _CENTRAL.size + name_size + extra_size + comment_size
            if magic != 0x02014B50 or next_at > end:
                raise InputRefused("zip archive: its directory is damaged")
            at += _CENTRAL.size
            raw_name = bytes(data[at : at + name_size])
            try:
                name = raw_name.decode("utf-8")
            except UnicodeDecodeError:
                raise InputRefused("zip archive: an entry's name is not UTF-8") from None
            at += name_size
            extra = bytes(data[at : at + extra_size])
            full, packed, local = _widen(name, extra, full, packed, local)
            at = next_at
            where = f"zip entry {shown(name)}"
            if flags & 0x2041:  # bits 0, 6, 13: encryption
                raise InputRefused(f"{where}: is encrypted")
            if disk or method not in (_STORED, _DEFLATED):
                raise InputRefused(f"{where}: is packed with method {method}, expected stored")
            if method == _STORED and packed != full:
                raise InputRefused(f"{where}: is stored, but {packed} bytes are to give {full}")
            if method == _DEFLATED and full > MAX_INFLATED:
                raise InputRefused(
                    f"{where}: is compressed and unpacks to {full} bytes, expected at most "
                    f"{MAX_INFLATED}; torch stores entries uncompressed"
                )
            start = self._data_start(where, local, raw_name, method, offset)
            if start + packed > offset:
                raise InputRefused(f"{where}: its {packed} bytes reach into the directory")
            if name in entries:
                raise InputRefused(f"{where}: appears twice")
            entries[name] = Entry(name, method, crc, packed, full, start)
            spans.append((local, start + packed))
        if at != end:
            raise InputRefused("zip archive: has bytes between its directory and its end record")
        spans.sort()
        for (_, before_end), (after, _) in pairwise(spans):
            if after < before_end:
                raise InputRefused("zip archive: two entries overlap")
        return entries

    def _data_start(self, where: str, local: int, name: bytes, method: int, limit: int) -> int:
        data = self._data
        if local + _LOCAL.size > limit:
            raise InputRefused(f"{where}: its local header lies outside the file")
        fields = _LOCAL.unpack_from(data, local)
        name_at = local + _LOCAL.size
        if fields[0] != 0x04034B50 or fields[3] != method:
            raise InputRefused(f"{where}: its local header disagrees with the directory")
        if bytes(data[name_at : name_at + fields[9]]) != name:
            raise InputRefused(f"{where}: its local header has another name")
        return name_at + fields[9] + fields[10]

    def read(self, entry: Entry) -> memoryview:
        """The entry's bytes: a view of the archive if stored, else unpacked. Checks the CRC."""
        where = f"zip entry {shown(entry.name)}"
        raw = self._data[entry.start : entry.start + entry.packed]
        if entry.method == _DEFLATED:
            unpacker = zlib.decompressobj(-15)
            try:
                unpacked = unpacker.decompress(raw, entry.size + 1)
            except zlib.error as error:
                raise InputRefused(f"{where}: its compressed data are damaged") from error
            if len(unpacked) != entry.size or unpacker.unused_data:
                raise InputRefused(f"{where}: does not unpack to {entry.size} bytes")
            raw = memoryview(unpacked)
        if entry.name not in self._intact:
            if zlib.crc32(raw) != entry.crc:
                raise InputRefused(f"{where}: its CRC-32 is wrong; the file is damaged")
            self._intact.add(entry.name)
        return raw


def _widen(name: str, extra: bytes, full: int, packed: int, local: int) -> tuple[int, int, int]:
    """Replaces the fields that read 0xFFFFFFFF by the 64-bit ones of extra field 1."""
    if 0xFFFFFFFF not in (full, packed, local):
        return full, packed, local
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        body = extra[at + 4 : at + 4 + length]
        at += 4 + length
        if kind != 1:
            continue
        wide = [full, packed, local]
        missing = [index for index, value in enumerate(wide) if value == 0xFFFFFFFF]
        if len(body) < 8 * len(missing):
            break
        for position, index in enumerate(missing):
            wide[index] = struct.unpack_from("<Q", body, 8 * position)[0]
        return wide[0], wide[1], wide[2]
    raise InputRefused(f"zip entry {shown(name)}: its zip64 sizes are missing")
