"""Writer and reader of dfnet model files; FORMAT.md is the contract.

Called by the converter (`write_model`), by info, verify and the tests (`read_model`). The library
reads the same files in C. Weights stay in the shapes of `Architecture.tensors()`: convolutions
[out, in / groups, k, k], fully connected layers [out, in].

The writer turns metadata into text and parses that text with the reader's own rules before a
byte is written, so that it cannot write what the reader refuses.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import stat
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import IO

import numpy as np

from . import xxh3
from .arch import ROLES, Architecture, ArchitectureError, Padding
from .forward import forward
from .reference import as_stored, reference_input

VERSION = 1
MAX_HEADER = 4 << 20
MAX_TEXT = 1023
MAX_NAME = 127
MAX_LABEL = 255
MAX_USER_KEYS = 32
_ALIGNMENT = 64
_HASH_KEY = "dfnet.xxh3"
_NO_HASH = "0" * 32

FILTERS = (
    "pillow-box",
    "pillow-bilinear",
    "pillow-bicubic",
    "opencv-area",
    "opencv-linear",
    "opencv-cubic",
)

LOOKS = ("logits", "probabilities")  # how the scores of WS-DAN's two looks become one

_DTYPES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}


class ModelFileError(ValueError):
    """A file that is no model file, is damaged, or something that cannot become one."""


@dataclass
class Metadata:
    """All of a model file but the architecture and the weights (FORMAT.md, section 2).

    Defaults: ImageNet normalisation, the picture squashed to 224 x 224, no labels, no face crop,
    not about faces. `variant` may stay empty for the writer, which then takes the architecture's;
    `reference_logits` and `xxh3` are filled in by writer and reader.
    """

    name: str = ""
    variant: str = ""
    role: str = "classifier"
    padding: str = "same"
    input: tuple[int, int] = (224, 224)  # height, width
    resize: str = "squash"
    filter: str = "pillow-bicubic"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # R, G, B
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    flip: bool = False
    labels: list[str] = field(default_factory=list)
    output: str = "softmax"
    fake: int | None = None
    face_margin: tuple[float, float, float, float] = (
        0.0,
        0.0,
        0.0,
        0.0,
    )  # left, top, right, bottom
    face_shape: str = "box"
    face_outside: str = "clamp"
    face_pad: tuple[int, int, int] = (0, 0, 0)
    face_unit: str = "side"
    face_rounding: str = "nearest"
    face_least: int = 0
    face_align: str = ""  # HEIGHTxWIDTH,HOW,x1,y1,...,x5,y5, or empty: not aligned
    resize_border: str = "none"
    resize_rounding: str = "torchvision"
    resize_canvas: str = "colour"
    look: str = ""  # logits or probabilities,FROM,MARGIN: look again where the maps attend
    temperature: float = 1.0
    thresholds: tuple[float, float] = (0.5, 0.5)
    source: str = ""
    source_sha256: str = "0" * 64
    license: str = ""
    reference: tuple[int, int, int] = (20201, 72, 55)  # seed, height, width
    reference_logits: list[float] = field(default_factory=list)
    xxh3: str = ""
    extra: dict[str, str] = field(default_factory=dict)  # keys that begin with `x.`


def write_model(
    path: str | os.PathLike[str],
    arch: Architecture,
    tensors: Mapping[str, np.ndarray],
    meta: Metadata,
    dtype: str = "f32",
) -> None:
    """Write a model file; the old file at `path` stays until the new one is complete.

    `tensors` has exactly the names and shapes of `arch.tensors()`, float32 or float64. With
    `dtype` "f16" the weights (not the biases) are stored as F16. Computes the reference logits
    over the weights as stored, rounds them so that every machine writes the same bytes, sets
    `meta.reference_logits` and `meta.xxh3`. Raises ModelFileError for what the format does not
    allow, OSError if writing fails.
    """
    stored = _Stored(arch, tensors, dtype)
    texts = _texts(arch, meta)
    texts["dfnet.reference.logits"] = ",".join(["0.0"] * (arch.frames * arch.outputs))
    parsed_arch, parsed = _parse_metadata(texts)
    if parsed_arch != arch:
        raise ModelFileError("the architecture does not survive its own stage table")
    seed, height, width = parsed.reference
    try:
        x = reference_input(seed, height, width, arch.frames)
        logits = forward(arch, stored, x, parsed.padding).reshape(-1)
    except ArchitectureError as error:
        raise ModelFileError(f"reference input {height}x{width}: {error}") from error
    if not np.isfinite(logits).all():
        raise ModelFileError("the reference logits are not finite: the weights overflow")
    meta.variant = arch.variant
    meta.reference_logits = as_stored(logits)
    texts["dfnet.reference.logits"] = _reals(meta.reference_logits)
    meta.xxh3 = _write_file(os.fspath(path), _header(texts, stored), stored)


def read_model(
    path: str | os.PathLike[str],
) -> tuple[Architecture, dict[str, np.ndarray], Metadata]:
    """Architecture, tensors (float32, canonical order) and metadata of a model file.

    Refuses, with a ModelFileError that names the place, everything that FORMAT.md lists.
    OSError if the file cannot be read. Holds one copy of the weights.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            return _read(file)
    except (ModelFileError, ArchitectureError) as error:
        raise ModelFileError(f"{path}: {error}") from error


class _Stored(Mapping[str, np.ndarray]):
    """The tensors as the file will hold them, converted one at a time when asked for."""

    def __init__(self, arch: Architecture, tensors: Mapping[str, np.ndarray], dtype: str) -> None:
        if dtype not in ("f32", "f16"):
            raise ModelFileError(f"dtype {dtype!r} is neither f32 nor f16")
        shapes = arch.tensors()
        _compare_names(shapes, tensors)
        for name, shape in shapes.items():
            if tensors[name].shape != shape:
                raise ModelFileError(_wrong_shape(name, tensors[name].shape, shape))
            if tensors[name].dtype not in (np.float16, np.float32, np.float64):
                raise ModelFileError(f"tensor {name}: is {tensors[name].dtype}, expected floats")
        half = {n for n in shapes if dtype == "f16" and n.endswith(".weight")}
        names = [n for n in shapes if n not in half] + [n for n in shapes if n in half]
        self._tensors = tensors
        self.dtypes = {name: "F16" if name in half else "F32" for name in names}
        self.shapes = {name: shapes[name] for name in names}

    def __getitem__(self, name: str) -> np.ndarray:
        source = self._tensors[name]
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(source, dtype=_DTYPES[self.dtypes[name]])
        if not np.isfinite(array).all():
            cause = "holds NaN or infinity"
            if np.isfinite(source).all():
                cause = f"holds a value too large for {self.dtypes[name]}"
            raise ModelFileError(f"tensor {name}: {cause}")
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self.dtypes)

    def __len__(self) -> int:
        return len(self.dtypes)

    def size(self, name: str) -> int:
        """Bytes of the tensor in the file."""
        return math.prod(self.shapes[name]) * _DTYPES[self.dtypes[name]].itemsize


def _compare_names(expected: Mapping[str, object], found: Mapping[str, object]) -> None:
    for name in expected:
        if name not in found:
            raise ModelFileError(f"tensor {name}: is missing")
    for name in found:
        if name not in expected:
            raise ModelFileError(f"tensor {name[:80]}: is not part of this architecture")


def _wrong_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    return f"tensor {name}: has shape {_list(shape)}, expected {_list(expected)}"


def _list(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


# ---- writing ----


def _reals(values: object) -> str:
    return ",".join(repr(float(v)) for v in values)  # type: ignore[attr-defined]


def _integers(values: object) -> str:
    return ",".join(str(int(v)) for v in values)  # type: ignore[attr-defined]


# Field of Metadata -> choices of its optional key, the first of which needs no key.
CROP_CHOICES = {
    "face_unit": ("side", "height"),
    "face_rounding": ("nearest", "truncate", "whole", "even"),
    "resize_border": ("none", "pad", "reflect"),
    "resize_rounding": ("torchvision", "albumentations"),
    "resize_canvas": ("colour", "zero"),
}


def _crop_texts(meta: Metadata) -> dict[str, str]:
    """The optional keys about crops that say something else than their absence."""
    texts = {
        "face_unit": meta.face_unit,
        "face_rounding": meta.face_rounding,
        "face_least": str(int(meta.face_least)),
        "face_align": meta.face_align,
        "resize_border": meta.resize_border,
        "resize_rounding": meta.resize_rounding,
        "resize_canvas": meta.resize_canvas,
    }
    usual = {name: choices[0] for name, choices in CROP_CHOICES.items()}
    usual |= {"face_least": "0", "face_align": ""}
    return {
        "dfnet." + name.replace("_", "."): text
        for name, text in texts.items()
        if text != usual[name]
    }


def _network_texts(arch: Architecture) -> dict[str, str]:
    """The optional keys of networks with attention and of sequences."""
    numbers = {"attention": arch.attention, "gate": arch.gate, "frames": arch.frames}
    usual = {"frames": 1}
    return {f"dfnet.{k}": str(n) for k, n in numbers.items() if n != usual.get(k, 0)}


def _texts(arch: Architecture, meta: Metadata) -> dict[str, str]:
    """Metadata as the file spells it, in the order of FORMAT.md, hash and logits still empty."""
    texts = {
        "dfnet.version": str(VERSION),
        _HASH_KEY: _NO_HASH,
        "dfnet.role": meta.role,
        "dfnet.name": meta.name,
        "dfnet.variant": meta.variant or arch.variant,
        "dfnet.activation": arch.activation,
        "dfnet.stem": str(arch.stem),
        "dfnet.stages": arch.stage_string(),
        "dfnet.head": str(arch.head),
        "dfnet.outputs": str(arch.outputs),
        **_network_texts(arch),
        "dfnet.padding": meta.padding,
        "dfnet.input": "x".join(str(int(n)) for n in meta.input),
        "dfnet.resize": meta.resize,
        "dfnet.filter": meta.filter,
        "dfnet.mean": _reals(meta.mean),
        "dfnet.std": _reals(meta.std),
        "dfnet.flip": str(int(meta.flip)),
        "dfnet.labels": "\n".join(meta.labels),
        "dfnet.output": meta.output,
        "dfnet.fake": "none" if meta.fake is None else str(int(meta.fake)),
        "dfnet.face.margin": _reals(meta.face_margin),
        "dfnet.face.shape": meta.face_shape,
        "dfnet.face.outside": meta.face_outside,
        "dfnet.face.pad": _integers(meta.face_pad),
        **_crop_texts(meta),
        **({"dfnet.look": meta.look} if meta.look else {}),
        "dfnet.temperature": repr(float(meta.temperature)),
        "dfnet.thresholds": _reals(meta.thresholds),
        "dfnet.source": meta.source,
        "dfnet.source.sha256": meta.source_sha256,
        "dfnet.license": meta.license,
        "dfnet.reference": _integers(meta.reference),
        "dfnet.reference.logits": "",
    }
    for key in sorted(meta.extra):
        if not key.startswith("x."):
            raise ModelFileError(f"metadata key {key[:80]!r}: a user's key begins with x.")
        texts[key] = meta.extra[key]
    if arch.variant != texts["dfnet.variant"]:
        raise ModelFileError(
            f"metadata dfnet.variant: is {meta.variant!r}, the architecture says {arch.variant!r}"
        )
    if any("\n" in label for label in meta.labels):
        raise ModelFileError("metadata dfnet.labels: a label holds a line break")
    return texts


def _quote(text: str) -> str:
    """A JSON string with the few escapes that FORMAT.md allows the writer."""

    def escape(match: re.Match[str]) -> str:
        c = match.group()
        return {'"': '\\"', "\\": "\\\\", "\n": "\\n"}.get(c, f"\\u{ord(c):04x}")

    return '"' + re.sub(r'["\\\x00-\x1f]', escape, text) + '"'


def _header(texts: dict[str, str], stored: _Stored) -> bytes:
    """Length and header, padded; the hash is still 32 zeros."""
    entries = [",".join(f"{_quote(k)}:{_quote(v)}" for k, v in texts.items())]
    entries[0] = '"__metadata__":{' + entries[0] + "}"
    offset = 0
    for name in stored:
        end = offset + stored.size(name)
        shape = _list(stored.shapes[name])
        entries.append(
            f'{_quote(name)}:{{"dtype":"{stored.dtypes[name]}","shape":{shape},'
            f'"data_offsets":[{offset},{end}]}}'
        )
        offset = end
    try:
        text = ("{" + ",".join(entries) + "}").encode()
    except UnicodeEncodeError as error:
        raise ModelFileError("metadata: a text is not valid Unicode") from error
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    if len(text) > MAX_HEADER:
        raise ModelFileError(f"the header has {len(text)} bytes, allowed are {MAX_HEADER}")
    return struct.pack("<Q", len(text)) + text


def _write_file(path: str, header: bytes, stored: _Stored) -> str:
    """Write beside `path`, then rename over it; returns the hash."""
    folder = os.path.dirname(path) or "."
    handle, temporary = tempfile.mkstemp(
        prefix=os.path.basename(path)[:64] + ".", suffix=".tmp", dir=folder
    )
    try:
        with os.fdopen(handle, "wb") as file:
            digest = _write_body(file, header, stored)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes the file private; a model is as readable as any other file.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)
    return digest


def _write_body(file: IO[bytes], header: bytes, stored: _Stored) -> str:
    hasher = xxh3.new()
    file.write(header)
    hasher.update(header)
    for name in stored:
        data = memoryview(stored[name].reshape(-1)).cast("B")
        file.write(data)
        hasher.update(data)
    digest = xxh3.hexdigest(hasher)
    # The first occurrence is the key itself: a quote inside any text would be escaped.
    key = f'"{_HASH_KEY}":"'.encode()
    file.seek(header.index(key) + len(key))
    file.write(digest.encode())
    return digest


def _sync_folder(folder: str) -> None:
    """Make the rename durable where the system can open folders."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# ---- reading: the header's JSON ----

_STRING = re.compile(rb'"((?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+)"')
_INTEGER = re.compile(rb"0|[1-9][0-9]{0,17}(?![0-9])")
_SIMPLE_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")


class _Cursor:
    """Reads JSON tokens without white space from the header's bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def fail(self, what: str) -> ModelFileError:
        return ModelFileError(f"header, byte {self.at}: {what}")

    def peek(self, token: bytes) -> bool:
        return self.data.startswith(token, self.at)

    def expect(self, token: bytes) -> None:
        if not self.peek(token):
            raise self.fail(f"expected {token.decode()}")
        self.at += len(token)

    def string(self) -> str:
        match = _STRING.match(self.data, self.at)
        if match is None:
            raise self.fail("expected a string")
        try:
            text = match.group(1).decode()
            if "\\" in text:
                # Surrogate pairs become one character here, single surrogates an error.
                text = (
                    _ESCAPE.sub(_unescape, text).encode("utf-16", "surrogatepass").decode("utf-16")
                )
        except UnicodeError as error:
            raise self.fail("a string that is not valid UTF-8") from error
        if "\0" in text:
            raise self.fail("a string with U+0000")
        self.at = match.end()
        return text

    def integer(self) -> int:
        match = _INTEGER.match(self.data, self.at)
        if match is None:
            raise self.fail("expected an integer")
        self.at = match.end()
        return int(match.group())

    def integers(self, most: int) -> list[int]:
        """A list of at most `most` integers."""
        self.expect(b"[")
        values = []
        while not self.peek(b"]"):
            if values:
                self.expect(b",")
            if len(values) == most:
                raise self.fail(f"more than {most} numbers")
            values.append(self.integer())
        self.expect(b"]")
        return values

    def members(self) -> Iterator[str]:
        """Keys of an object; the caller reads each value before it asks for the next key."""
        self.expect(b"{")
        seen: set[str] = set()
        while not self.peek(b"}"):
            if seen:
                self.expect(b",")
            key = self.string()
            if key in seen:
                raise self.fail(f"key {key[:80]!r} appears twice")
            seen.add(key)
            self.expect(b":")
            yield key
        self.expect(b"}")


def _unescape(match: re.Match[str]) -> str:
    code, simple = match.groups()
    return chr(int(code, 16)) if code else _SIMPLE_ESCAPES.get(simple, simple)


@dataclass
class _Entry:
    """One tensor as the header describes it; begin and end count from the start of the data."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def _parse_header(data: bytes) -> tuple[dict[str, str], dict[str, _Entry], int]:
    """Metadata, tensors in the file's order, and where in `data` the hash's digits begin."""
    cursor = _Cursor(data)
    texts: dict[str, str] = {}
    entries: dict[str, _Entry] = {}
    digits = -1
    for key in cursor.members():
        if key == "__metadata__" and not entries:
            for name in cursor.members():
                if name == _HASH_KEY:
                    digits = cursor.at + 1
                texts[name] = cursor.string()
            _check_version(texts)
        elif not texts:
            raise cursor.fail("expected __metadata__ as the first key")
        else:
            entries[key] = _parse_entry(cursor, key)
    if data[cursor.at :].strip(b" "):
        raise cursor.fail("expected nothing but spaces after the last }")
    if not texts:
        raise ModelFileError("header: has no __metadata__")
    return texts, entries, digits


def _parse_entry(cursor: _Cursor, name: str) -> _Entry:
    found: dict[str, object] = {}
    for key in cursor.members():
        if key == "dtype":
            found[key] = cursor.string()
        elif key == "shape":
            found[key] = tuple(cursor.integers(4))
        elif key == "data_offsets":
            found[key] = cursor.integers(2)
        else:
            raise cursor.fail(f"tensor {name[:80]}: key {key[:80]!r} is not known")
    if len(found) != 3 or len(found["data_offsets"]) != 2:  # type: ignore[arg-type]
        raise cursor.fail(f"tensor {name[:80]}: needs dtype, shape and two data_offsets")
    begin, end = found["data_offsets"]  # type: ignore[misc]
    return _Entry(found["dtype"], found["shape"], begin, end)  # type: ignore[arg-type]


def _check_version(texts: Mapping[str, str]) -> None:
    """First of all checks: a later version may change everything else."""
    text = texts.get("dfnet.version")
    if text is None:
        raise ModelFileError("metadata dfnet.version: is missing; this is no dfnet model")
    if _whole("dfnet.version", text, 1, 10**9) > VERSION:
        raise ModelFileError(f"version {text} of the format is newer than {VERSION}, the one known")


# ---- reading: metadata ----

_REAL = re.compile(r"-?(0|[1-9][0-9]{0,39})(\.[0-9]{1,39})?(e[+-]?[0-9]{1,3})?", re.ASCII)


def _bad(key: str, text: str, expected: str) -> ModelFileError:
    return ModelFileError(f"metadata {key}: {text[:80]!r} is not {expected}")


def _whole(key: str, text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,19}", text, re.ASCII):
        raise _bad(key, text, "a plain integer")
    if not low <= int(text) <= high:
        raise _bad(key, text, f"in {low} to {high}")
    return int(text)


def _real(key: str, text: str) -> float:
    value = float(text) if _REAL.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise _bad(key, text, "a finite real number")
    return value


def _split(key: str, text: str, count: int, separator: str = ",") -> list[str]:
    parts = text.split(separator)
    if len(parts) != count:
        raise _bad(key, text, f"{count} values")
    return parts


def _choice(key: str, text: str, allowed: tuple[str, ...]) -> str:
    if text not in allowed:
        raise _bad(key, text, "one of " + ", ".join(allowed))
    return text


def _limited(key: str, text: str, limit: int = MAX_TEXT, least: int = 0) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ModelFileError(f"metadata {key}: is not valid Unicode") from error
    if "\0" in text:
        raise ModelFileError(f"metadata {key}: holds U+0000")
    if not least <= size <= limit:
        raise ModelFileError(f"metadata {key}: has {size} bytes, allowed is {least} to {limit}")
    return text


_REQUIRED = (
    "version xxh3 role name variant activation stem stages head outputs padding input resize"
    " filter mean std output fake face.margin face.shape face.outside face.pad temperature"
    " thresholds source source.sha256 license reference reference.logits"
)
_KEYS = {f"dfnet.{key}": True for key in _REQUIRED.split()} | {
    "dfnet.attention": False,
    "dfnet.gate": False,
    "dfnet.frames": False,
    "dfnet.look": False,
    "dfnet.flip": False,
    "dfnet.labels": False,
    "dfnet.face.unit": False,
    "dfnet.face.rounding": False,
    "dfnet.face.least": False,
    "dfnet.face.align": False,
    "dfnet.resize.border": False,
    "dfnet.resize.rounding": False,
    "dfnet.resize.canvas": False,
}


def _parse_metadata(texts: Mapping[str, str]) -> tuple[Architecture, Metadata]:
    """Check and convert every value; ModelFileError names the key."""
    if texts.get("dfnet.role") == "detector":
        raise ModelFileError("metadata dfnet.role: is detector, which has no such architecture")
    for key in texts:
        if key not in _KEYS and not key.startswith("x."):
            raise ModelFileError(f"metadata key {key[:80]!r}: is not known")
    for key, required in _KEYS.items():
        if required and key not in texts:
            raise ModelFileError(f"metadata {key}: is missing")
    extra = {key: text for key, text in texts.items() if key not in _KEYS}
    if len(extra) > MAX_USER_KEYS:
        raise ModelFileError(f"metadata: {len(extra)} keys begin with x., allowed are 32")
    arch = _parse_arch(texts)
    get = _Values(texts)
    meta = Metadata(
        name=_limited("dfnet.name", texts["dfnet.name"], MAX_NAME, least=1),
        variant=arch.variant,
        role=get.choice("role", ROLES),
        padding=texts["dfnet.padding"],
        output=get.choice("output", ("sigmoid", "softmax")),
        face_shape=get.choice("face.shape", ("square", "box")),
        face_outside=get.choice("face.outside", ("clamp", "shift", "pad")),
        face_margin=tuple(get.reals("face.margin", 4)),
        face_pad=tuple(get.wholes("face.pad", [(0, 255)] * 3)),
        mean=tuple(get.reals("mean", 3)),
        std=tuple(get.reals("std", 3)),
        thresholds=tuple(get.reals("thresholds", 2)),
        temperature=get.reals("temperature", 1)[0],
        input=tuple(get.wholes("input", [(32, 4096)] * 2, "x")),
        reference=tuple(get.wholes("reference", [(0, 2**64 - 1), (32, 512), (32, 512)])),
        reference_logits=get.reals("reference.logits", arch.frames * arch.outputs),
        flip=_choice("dfnet.flip", texts.get("dfnet.flip", "0"), ("0", "1")) == "1",
        source=_limited("dfnet.source", texts["dfnet.source"]),
        license=_limited("dfnet.license", texts["dfnet.license"]),
        source_sha256=texts["dfnet.source.sha256"],
        xxh3=texts[_HASH_KEY],
        **_parse_crop(texts),
        look=_parse_look(texts, arch),
        resize=texts["dfnet.resize"],
        filter=texts["dfnet.filter"],
        labels=_parse_labels(texts.get("dfnet.labels", ""), arch.outputs),
        fake=None
        if texts["dfnet.fake"] == "none"
        else _whole("dfnet.fake", texts["dfnet.fake"], 0, arch.outputs - 1),
        extra={key: _limited(key, text, MAX_HEADER) for key, text in extra.items()},
    )
    _check_values(meta)
    return arch, meta


class _Values:
    """Typed access to texts; keys without `dfnet.`."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        return _choice(f"dfnet.{key}", self.texts[f"dfnet.{key}"], allowed)

    def reals(self, key: str, count: int) -> list[float]:
        key = f"dfnet.{key}"
        return [_real(key, part) for part in _split(key, self.texts[key], count)]

    def wholes(self, key: str, ranges: list[tuple[int, int]], separator: str = ",") -> list[int]:
        key = f"dfnet.{key}"
        parts = _split(key, self.texts[key], len(ranges), separator)
        return [_whole(key, part, *limits) for part, limits in zip(parts, ranges, strict=True)]


def _optional_whole(texts: Mapping[str, str], key: str, least: int, absent: int) -> int:
    return _whole(key, texts[key], least, 10**9) if key in texts else absent


def _parse_look(texts: Mapping[str, str], arch: Architecture) -> str:
    if (key := "dfnet.look") not in texts:
        return ""
    how, *numbers = _split(key, texts[key], 3)
    _choice(key, how, LOOKS)
    if not arch.attention:
        raise ModelFileError(f"metadata {key}: is for networks with attention maps")
    if arch.frames > 1:
        raise ModelFileError(f"metadata {key}: is for pictures, this network takes sequences")
    if not all(0 <= _real(key, number) <= 1 for number in numbers):
        raise _bad(key, texts[key], "two numbers of 0 to 1 behind its first word")
    return texts[key]


def _parse_arch(texts: Mapping[str, str]) -> Architecture:
    limit = 10**9  # only so that the text is an integer; Architecture knows the ranges
    try:
        arch = Architecture.parse(
            texts["dfnet.stages"],
            variant=texts["dfnet.variant"],
            activation=texts["dfnet.activation"],
            stem=_whole("dfnet.stem", texts["dfnet.stem"], 0, limit),
            head=_whole("dfnet.head", texts["dfnet.head"], 0, limit),
            outputs=_whole("dfnet.outputs", texts["dfnet.outputs"], 0, limit),
            attention=_optional_whole(texts, "dfnet.attention", 1, 0),
            gate=_optional_whole(texts, "dfnet.gate", 1, 0),
            frames=_optional_whole(texts, "dfnet.frames", 2, 1),
        )
        Padding.parse(texts["dfnet.padding"], arch)
    except ArchitectureError as error:
        raise ModelFileError(f"metadata: {error}") from error
    return arch


def _parse_crop(texts: Mapping[str, str]) -> dict[str, object]:
    """Fields of Metadata from the optional keys about crops."""
    found: dict[str, object] = {}
    for name, choices in CROP_CHOICES.items():
        key = "dfnet." + name.replace("_", ".")
        found[name] = _choice(key, texts.get(key, choices[0]), choices)
    least = texts.get("dfnet.face.least", "0")
    found["face_least"] = _whole("dfnet.face.least", least, 0, 4096)
    align = texts.get("dfnet.face.align", "")
    if "dfnet.face.align" in texts:
        _check_align(align)
    found["face_align"] = align
    return found


def _check_align(text: str) -> None:
    key = "dfnet.face.align"
    size, how, *numbers = _split(key, text, 12)
    for side in _split(key, size, 2, "x"):
        _whole(key, side, 32, 4096)
    _choice(key, how, ("real", "truncate"))
    values = [_real(key, number) for number in numbers]
    if not all(-4096 <= value <= 8192 for value in values):
        raise _bad(key, text, "a template near its picture")
    if len(set(zip(values[::2], values[1::2], strict=True))) == 1:
        raise _bad(key, text, "five different points")


def _check_crop(meta: Metadata) -> None:
    """What may not go together."""
    square = meta.face_shape == "square"
    if square and meta.face_unit == "height":
        raise _bad("dfnet.face.unit", meta.face_unit, "for the shape square")
    if square and meta.face_rounding == "whole":
        raise _bad("dfnet.face.rounding", meta.face_rounding, "for the shape square")
    if not square and meta.face_rounding == "even":
        raise _bad("dfnet.face.rounding", meta.face_rounding, "for the shape box")


def _parse_labels(text: str, outputs: int) -> list[str]:
    labels = text.split("\n") if text else []
    if labels and len(labels) != outputs:
        raise ModelFileError(f"metadata dfnet.labels: {len(labels)} for {outputs} outputs")
    return [_limited("dfnet.labels", label, MAX_LABEL) for label in labels]


def check_digits(source_sha256: str, digest: str) -> None:
    """Both hashes are written as the format wants them."""
    if not re.fullmatch("[0-9a-f]{64}", source_sha256):
        raise _bad("dfnet.source.sha256", source_sha256, "64 lower-case hexadecimal digits")
    if not re.fullmatch("[0-9a-f]{32}", digest):
        raise _bad(_HASH_KEY, digest, "32 lower-case hexadecimal digits")


def _check_values(meta: Metadata) -> None:
    """What remains: values that only make sense within limits or together."""
    _check_crop(meta)
    if min(meta.std) <= 0:
        raise ModelFileError("metadata dfnet.std: must be greater than 0")
    if meta.temperature <= 0:
        raise ModelFileError("metadata dfnet.temperature: must be greater than 0")
    low, high = meta.thresholds
    if not 0 <= low <= high <= 1:
        raise ModelFileError("metadata dfnet.thresholds: must be rising and within 0 to 1")
    check_digits(meta.source_sha256, meta.xxh3)
    filters = meta.filter.split(",")
    if len(filters) > 2 or not set(filters) <= set(FILTERS):
        raise _bad("dfnet.filter", meta.filter, "one or two of " + ", ".join(FILTERS))
    if meta.resize.startswith("shorter:"):
        # The crop must fit into every resized picture, whichever of its sides is the shorter,
        # unless something is said of what lies around it.
        least = max(meta.input) if meta.resize_border == "none" else 1
        _whole("dfnet.resize", meta.resize[8:], least, 2 * 4096)
    else:
        _choice("dfnet.resize", meta.resize, ("squash", "longer"))


# ---- reading: the file ----


def read_header(
    file: IO[bytes],
) -> tuple[dict[str, str], dict[str, _Entry], xxh3.Hasher, int]:
    """Metadata as texts, tensors in the file's order, the hash so far and the data's size.

    `file` then stands at the data. Raises ModelFileError for what is not such a header.
    """
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError("is not a regular file")
    start = file.read(8)
    if len(start) < 8:
        raise ModelFileError(f"has {status.st_size} bytes, too few for a model file")
    (length,) = struct.unpack("<Q", start)
    if length > MAX_HEADER or 8 + length > status.st_size or (8 + length) % _ALIGNMENT:
        raise ModelFileError(
            f"the header's length {length} is not possible; this is no dfnet model"
        )
    header = file.read(length)
    if len(header) != length:
        raise ModelFileError("the file became shorter while it was read")
    texts, entries, digits = _parse_header(header)
    hasher = xxh3.new()
    if digits >= 0:
        if header[digits : digits + 32] != texts[_HASH_KEY].encode()[:32]:
            raise ModelFileError(f"metadata {_HASH_KEY}: is written with escapes")
        header = header[:digits] + _NO_HASH.encode() + header[digits + 32 :]
    hasher.update(start + header)
    return texts, entries, hasher, status.st_size - 8 - length


def read_data(
    arch: Architecture,
    file: IO[bytes],
    entries: dict[str, _Entry],
    hasher: xxh3.Hasher,
    size: int,
    digest: str,
) -> dict[str, np.ndarray]:
    """The tensors, canonical order, behind `read_header`; `digest` is what the hash must be."""
    _check_layout(arch, entries, size)
    tensors = _read_tensors(file, entries, hasher)
    if xxh3.hexdigest(hasher) != digest:
        raise ModelFileError("the hash differs: the file is damaged")
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise ModelFileError(f"tensor {name}: holds NaN or infinity")
    return {name: tensors[name] for name in arch.tensors()}


def _read(file: IO[bytes]) -> tuple[Architecture, dict[str, np.ndarray], Metadata]:
    texts, entries, hasher, size = read_header(file)
    arch, meta = _parse_metadata(texts)
    return arch, read_data(arch, file, entries, hasher, size, meta.xxh3), meta


def _check_layout(arch: Architecture, entries: dict[str, _Entry], size: int) -> None:
    """Names, shapes, and that the data is one seamless row of `size` bytes."""
    shapes = arch.tensors()
    _compare_names(shapes, entries)
    offset = 0
    for name, entry in entries.items():
        if entry.dtype not in _DTYPES:
            raise ModelFileError(f"tensor {name}: dtype {entry.dtype[:20]!r} is not F32 or F16")
        if entry.shape != shapes[name]:
            raise ModelFileError(_wrong_shape(name, entry.shape, shapes[name]))
        element = _DTYPES[entry.dtype].itemsize
        end = offset + math.prod(entry.shape) * element
        if (entry.begin, entry.end) != (offset, end):
            raise ModelFileError(
                f"tensor {name}: lies at [{entry.begin},{entry.end}], expected [{offset},{end}]"
            )
        if entry.begin % element:
            raise ModelFileError(f"tensor {name}: its first byte is not a multiple of {element}")
        offset = end
    if offset != size:
        raise ModelFileError(f"the tensors take {offset} bytes, the file has {size}")


def _read_tensors(
    file: IO[bytes], entries: dict[str, _Entry], hasher: xxh3.Hasher
) -> dict[str, np.ndarray]:
    """Tensors in float32; every byte goes through the hash too."""
    tensors = {}
    for name, entry in entries.items():
        array = np.empty(entry.shape, _DTYPES[entry.dtype])
        data = memoryview(array.reshape(-1)).cast("B")
        if file.readinto(data) != len(data):  # type: ignore[attr-defined]
            raise ModelFileError(f"tensor {name}: the file became shorter while it was read")
        hasher.update(data)
        tensors[name] = array.astype(np.float32, copy=False)
    return tensors


def metadata_fields() -> tuple[str, ...]:
    """Of Metadata, for tools that print them."""
    return tuple(f.name for f in fields(Metadata))
