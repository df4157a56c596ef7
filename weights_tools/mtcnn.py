"""The face detector MTCNN: its networks, its model file, and where its weights come from.

Called by `__main__` (`convert-mtcnn`), by `info` and by the tests. FORMAT.md, section 7, is the
contract. The architecture is that of Zhang et al. 2016 (arXiv 1604.02878) as the PyPI package
facenet-pytorch has trained weights for it (MIT); its three state dicts are read by the readers
of this package, so that nothing in them is executed and torch is not needed.

Activations are NCHW float64. A network's outputs are its linear outputs, in the order logit of
"no face", logit of "face", four box offsets (left, top, right, bottom), and for O-Net the five
landmarks' x and then their y.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import model_file as mf
from .checkpoint import LazyTensor, open_checkpoint
from .errors import InputRefused
from .reference import as_stored, uniform

NETS = ("pnet", "rnet", "onet")
#: Inputs of R-Net and O-Net are squares of this side; P-Net takes any picture from 12 x 12.
SIDES = {"pnet": 12, "rnet": 24, "onet": 48}
OUTPUTS = {"pnet": 6, "rnet": 6, "onet": 16}
_MAX_REFERENCE = 64
_FACE_RANGE = (6.0, 65535.0)
_FACTOR_RANGE = (0.1, 0.95)
_MAX_PART = 16 << 20


@dataclass(frozen=True)
class Layer:
    """`kernel` 0: fully connected. `source` is its name in facenet-pytorch's state dict."""

    name: str
    cout: int
    cin: int
    kernel: int
    source: str
    slope: str = ""  # source of the PReLU behind it; output layers have none

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Tensors of the layer in the file's order."""
        square = (self.kernel, self.kernel) if self.kernel else ()
        shapes = {f"{self.name}.weight": (self.cout, self.cin, *square)}
        shapes[f"{self.name}.bias"] = (self.cout,)
        if self.slope:
            shapes[f"{self.name}.slope"] = (self.cout,)
        return shapes

    def sources(self) -> dict[str, str]:
        """Tensor of the file -> tensor of the state dict."""
        names = {f"{self.name}.{part}": f"{self.source}.{part}" for part in ("weight", "bias")}
        if self.slope:
            names[f"{self.name}.slope"] = f"{self.slope}.weight"
        return names


LAYERS = (
    Layer("pnet.conv1", 10, 3, 3, "conv1", "prelu1"),
    Layer("pnet.conv2", 16, 10, 3, "conv2", "prelu2"),
    Layer("pnet.conv3", 32, 16, 3, "conv3", "prelu3"),
    Layer("pnet.face", 2, 32, 1, "conv4_1"),
    Layer("pnet.box", 4, 32, 1, "conv4_2"),
    Layer("rnet.conv1", 28, 3, 3, "conv1", "prelu1"),
    Layer("rnet.conv2", 48, 28, 3, "conv2", "prelu2"),
    Layer("rnet.conv3", 64, 48, 2, "conv3", "prelu3"),
    Layer("rnet.dense4", 128, 576, 0, "dense4", "prelu4"),
    Layer("rnet.face", 2, 128, 0, "dense5_1"),
    Layer("rnet.box", 4, 128, 0, "dense5_2"),
    Layer("onet.conv1", 32, 3, 3, "conv1", "prelu1"),
    Layer("onet.conv2", 64, 32, 3, "conv2", "prelu2"),
    Layer("onet.conv3", 64, 64, 3, "conv3", "prelu3"),
    Layer("onet.conv4", 128, 64, 2, "conv4", "prelu4"),
    Layer("onet.dense5", 256, 1152, 0, "dense5", "prelu5"),
    Layer("onet.face", 2, 256, 0, "dense6_1"),
    Layer("onet.box", 4, 256, 0, "dense6_2"),
    Layer("onet.points", 10, 256, 0, "dense6_3"),
)


class Mtcnn:
    """The architecture, as far as the model file's writer wants to know it."""

    variant = "mtcnn"

    @staticmethod
    def tensors() -> dict[str, tuple[int, ...]]:
        """Name -> shape in canonical order."""
        return {name: shape for layer in LAYERS for name, shape in layer.shapes().items()}


@dataclass
class DetectorMetadata:
    """FORMAT.md, section 7; the defaults are facenet-pytorch's."""

    name: str = "MTCNN"
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    min_face: float = 20.0
    factor: float = 0.709
    source: str = ""
    source_sha256: str = "0" * 64
    license: str = ""
    reference: tuple[int, int, int] = (20160, 17, 22)  # seed, height, width of P-Net's input
    outputs: dict[str, list[float]] = field(default_factory=dict)  # net -> numbers
    xxh3: str = ""
    extra: dict[str, str] = field(default_factory=dict)


# ---- networks ----


def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Valid convolution: x [n,i,h,w], weight [o,i,k,k] -> [n,o,h-k+1,w-k+1]."""
    k = weight.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(2, 3))
    return np.einsum("nihwyx,oiyx->nohw", windows, weight, optimize=True) + bias[:, None, None]


def prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """x where it is >= 0, else slope * x; x [n,c,...], slope [c]."""
    return np.where(x >= 0, x, x * slope.reshape(1, -1, *[1] * (x.ndim - 2)))


def max_pool(x: np.ndarray, kernel: int) -> np.ndarray:
    """Greatest of kernel x kernel, stride 2, windows that hang over included (ceil mode)."""
    h, w = (-(-(n - kernel) // 2) + 1 for n in x.shape[2:])
    room = ((0, 0), (0, 0), (0, 2 * h + kernel - x.shape[2]), (0, 2 * w + kernel - x.shape[3]))
    x = np.pad(x, room, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))
    return windows[:, :, : 2 * h : 2, : 2 * w : 2].max(axis=(4, 5))


def _layer(tensors: Mapping[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    weight, bias = (tensors[f"{name}.{p}"].astype(np.float64) for p in ("weight", "bias"))
    y = conv(x, weight, bias) if weight.ndim == 4 else x @ weight.T + bias
    slope = tensors.get(f"{name}.slope")
    return y if slope is None else prelu(y, slope.astype(np.float64))


def _flat(x: np.ndarray) -> np.ndarray:
    """[n,c,h,w] -> [n, w*h*c]: the dense layers take columns, then rows, then channels."""
    return x.transpose(0, 3, 2, 1).reshape(len(x), -1)


def pnet(tensors: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """x [n,3,h,w] -> outputs [n,rows,columns,6]."""
    x = max_pool(_layer(tensors, "pnet.conv1", x), 2)
    x = _layer(tensors, "pnet.conv3", _layer(tensors, "pnet.conv2", x))
    y = np.concatenate([_layer(tensors, f"pnet.{head}", x) for head in ("face", "box")], axis=1)
    return y.transpose(0, 2, 3, 1)


def rnet(tensors: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """x [n,3,24,24] -> outputs [n,6]."""
    x = max_pool(_layer(tensors, "rnet.conv1", x), 3)
    x = max_pool(_layer(tensors, "rnet.conv2", x), 3)
    x = _layer(tensors, "rnet.dense4", _flat(_layer(tensors, "rnet.conv3", x)))
    return np.concatenate([_layer(tensors, f"rnet.{head}", x) for head in ("face", "box")], axis=1)


def onet(tensors: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """x [n,3,48,48] -> outputs [n,16]."""
    x = max_pool(_layer(tensors, "onet.conv1", x), 3)
    x = max_pool(_layer(tensors, "onet.conv2", x), 3)
    x = max_pool(_layer(tensors, "onet.conv3", x), 2)
    x = _layer(tensors, "onet.dense5", _flat(_layer(tensors, "onet.conv4", x)))
    heads = ("face", "box", "points")
    return np.concatenate([_layer(tensors, f"onet.{head}", x) for head in heads], axis=1)


def reference_outputs(
    tensors: Mapping[str, np.ndarray], reference: tuple[int, int, int]
) -> dict[str, list[float]]:
    """What the three nets give for the reference inputs, which have successive seeds.

    Rounded as a file keeps them.
    """
    seed, height, width = reference
    found = {}
    for i, (name, net) in enumerate(zip(NETS, (pnet, rnet, onet), strict=True)):
        h, w = (height, width) if i == 0 else (SIDES[name], SIDES[name])
        x = uniform((seed + i) & (2**64 - 1), 1, 3, h, w)
        found[name] = net(tensors, x).reshape(-1)
    if not all(np.isfinite(values).all() for values in found.values()):
        raise mf.ModelFileError("the reference outputs are not finite: the weights overflow")
    return {name: as_stored(values) for name, values in found.items()}


# ---- the file ----


def write_detector(
    path: str | os.PathLike[str],
    tensors: Mapping[str, np.ndarray],
    meta: DetectorMetadata,
    dtype: str = "f32",
) -> None:
    """Write a detector's model file, as `model_file.write_model` writes a classifier's.

    Computes the reference outputs, sets `meta.outputs` and `meta.xxh3`. Raises ModelFileError for
    what the format does not allow, OSError if writing fails.
    """
    stored = mf._Stored(Mtcnn(), tensors, dtype)  # type: ignore[arg-type]
    meta.outputs = reference_outputs(stored, meta.reference)
    texts = _texts(meta)
    _parse(texts)
    meta.xxh3 = mf._write_file(os.fspath(path), mf._header(texts, stored), stored)


def read_detector(
    path: str | os.PathLike[str],
) -> tuple[dict[str, np.ndarray], DetectorMetadata]:
    """Tensors (float32, canonical order) and metadata of a detector's file.

    Refuses, with a ModelFileError that names the place, what FORMAT.md lists. OSError if the
    file cannot be read.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            texts, entries, hasher, size = mf.read_header(file)
            meta = _parse(texts)
            tensors = mf.read_data(Mtcnn(), file, entries, hasher, size, meta.xxh3)
            return tensors, meta
    except mf.ModelFileError as error:
        raise mf.ModelFileError(f"{path}: {error}") from error


def _texts(meta: DetectorMetadata) -> dict[str, str]:
    texts = {
        "dfnet.version": str(mf.VERSION),
        mf._HASH_KEY: mf._NO_HASH,
        "dfnet.role": "detector",
        "dfnet.name": meta.name,
        "dfnet.detector": "mtcnn",
        "dfnet.detector.thresholds": mf._reals(meta.thresholds),
        "dfnet.detector.min_face": repr(float(meta.min_face)),
        "dfnet.detector.factor": repr(float(meta.factor)),
        "dfnet.source": meta.source,
        "dfnet.source.sha256": meta.source_sha256,
        "dfnet.license": meta.license,
        "dfnet.reference": mf._integers(meta.reference),
    }
    texts |= {f"dfnet.reference.{net}": mf._reals(meta.outputs[net]) for net in NETS}
    for key in sorted(meta.extra):
        if not key.startswith("x."):
            raise mf.ModelFileError(f"metadata key {key[:80]!r}: a user's key begins with x.")
        texts[key] = meta.extra[key]
    return texts


_KEYS = (
    "version xxh3 role name detector detector.thresholds detector.min_face detector.factor source"
    " source.sha256 license reference reference.pnet reference.rnet reference.onet"
)


def _within(key: str, values: list[float], low: float, high: float) -> list[float]:
    for value in values:
        if not low <= value <= high:
            raise mf.ModelFileError(f"metadata dfnet.{key}: is {value}, allowed is {low} to {high}")
    return values


def cells(n: int) -> int:
    """Rows (or columns) of P-Net's output for n of its input."""
    return (n - 1) // 2 - 4 if n >= SIDES["pnet"] else 0


def _parse(texts: Mapping[str, str]) -> DetectorMetadata:
    """Check and convert every value; ModelFileError names the key."""
    known = {f"dfnet.{key}" for key in _KEYS.split()}
    extra = {key: text for key, text in texts.items() if key not in known}
    for key in extra:
        if not key.startswith("x."):
            raise mf.ModelFileError(f"metadata key {key[:80]!r}: is not one of a detector's")
    if len(extra) > mf.MAX_USER_KEYS:
        raise mf.ModelFileError(f"metadata: {len(extra)} keys begin with x., allowed are 32")
    for key in sorted(known - texts.keys()):
        raise mf.ModelFileError(f"metadata {key}: is missing")
    get = mf._Values(texts)
    get.choice("role", ("detector",))
    get.choice("detector", ("mtcnn",))
    size = (SIDES["pnet"], _MAX_REFERENCE)
    seed, height, width = get.wholes("reference", [(0, 2**64 - 1), size, size])
    counts = dict(OUTPUTS, pnet=cells(height) * cells(width) * OUTPUTS["pnet"])
    meta = DetectorMetadata(
        name=mf._limited("dfnet.name", texts["dfnet.name"], mf.MAX_NAME, least=1),
        thresholds=tuple(
            _within("detector.thresholds", get.reals("detector.thresholds", 3), 0.0, 1.0)
        ),
        min_face=_within("detector.min_face", get.reals("detector.min_face", 1), *_FACE_RANGE)[0],
        factor=_within("detector.factor", get.reals("detector.factor", 1), *_FACTOR_RANGE)[0],
        source=mf._limited("dfnet.source", texts["dfnet.source"]),
        source_sha256=texts["dfnet.source.sha256"],
        license=mf._limited("dfnet.license", texts["dfnet.license"]),
        reference=(seed, height, width),
        outputs={net: get.reals(f"reference.{net}", counts[net]) for net in NETS},
        xxh3=texts[mf._HASH_KEY],
        extra={key: mf._limited(key, text, mf.MAX_HEADER) for key, text in extra.items()},
    )
    mf.check_digits(meta.source_sha256, meta.xxh3)
    return meta


# ---- facenet-pytorch ----

_GET_IT = "get it with `pip download --no-deps facenet-pytorch==2.6.0`"
LICENSE = (
    "MIT (facenet-pytorch, Copyright 2019 Timothy Esler), weights ported there from"
    " davidsandberg/facenet (MIT), trained by the authors of MTCNN"
)


def convert_mtcnn(
    package: str | os.PathLike[str] | None, out: str | os.PathLike[str], dtype: str = "f32"
) -> DetectorMetadata:
    """Make a detector's file from facenet-pytorch's weights.

    `package` is its wheel, a folder that holds pnet.pt, rnet.pt and onet.pt or the package, or
    None for the installed package, which is looked up but never imported. Raises InputRefused.
    """
    with tempfile.TemporaryDirectory() as folder:
        parts = _parts(package, Path(folder))
        tensors: dict[str, np.ndarray] = {}
        digest = hashlib.sha256()
        for net in NETS:
            tensors |= _state(net, parts[net])
            digest.update(parts[net].read_bytes())
    meta = DetectorMetadata(
        name="MTCNN of facenet-pytorch",
        source="facenet-pytorch: pnet.pt, rnet.pt, onet.pt",
        source_sha256=digest.hexdigest(),
        license=LICENSE,
    )
    write_detector(out, tensors, meta, dtype)
    return meta


def _parts(package: str | os.PathLike[str] | None, scratch: Path) -> dict[str, Path]:
    """The three files, from wherever they are."""
    if package is None:
        spec = importlib.util.find_spec("facenet_pytorch")
        if spec is None or spec.origin is None:
            raise InputRefused(f"facenet-pytorch is not installed; {_GET_IT}, then --package WHEEL")
        package = Path(spec.origin).parent
    package = Path(package)
    if package.is_file():
        return _unpack(package, scratch)
    for inner in ("", "data", "facenet_pytorch/data"):
        found = {net: package / inner / f"{net}.pt" for net in NETS}
        if all(path.is_file() for path in found.values()):
            return found
    raise InputRefused(f"{package}: holds no pnet.pt, rnet.pt and onet.pt; {_GET_IT}")


def _unpack(wheel: Path, scratch: Path) -> dict[str, Path]:
    found = {}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for net in NETS:
                member = archive.getinfo(f"facenet_pytorch/data/{net}.pt")
                if member.file_size > _MAX_PART:
                    raise InputRefused(f"{wheel}: {net}.pt has {member.file_size} bytes")
                found[net] = scratch / f"{net}.pt"
                found[net].write_bytes(archive.read(member))
    except KeyError as error:
        raise InputRefused(f"{wheel}: is no wheel of facenet-pytorch; {_GET_IT}") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise InputRefused(f"{wheel}: is no wheel: {error}; {_GET_IT}") from error
    return found


def _state(net: str, path: Path) -> dict[str, np.ndarray]:
    """Tensors of one network under the names of the model file."""
    tree = open_checkpoint(path).tree
    if not isinstance(tree, Mapping):
        raise InputRefused(f"{path.name}: holds no state dict")
    tensors: dict[str, np.ndarray] = {}
    wanted = {}
    for layer in LAYERS:
        if layer.name.startswith(net):
            wanted |= {source: name for name, source in layer.sources().items()}
    shapes = Mtcnn.tensors()
    for source, name in wanted.items():
        tensor = tree.get(source)
        if not isinstance(tensor, LazyTensor):
            raise InputRefused(f"{path.name}: tensor {source} is missing")
        if tensor.shape != shapes[name]:
            raise InputRefused(
                f"{path.name}: tensor {source} has shape {list(tensor.shape)},"
                f" expected {list(shapes[name])}"
            )
        tensors[name] = tensor.read()
    for source in tree:
        if source not in wanted:
            raise InputRefused(f"{path.name}: tensor {str(source)[:80]!r} has no place in MTCNN")
    return tensors


def is_detector(path: str | os.PathLike[str]) -> bool:
    """True if the file's header says that it is a detector; whoever reads it then says what is
    wrong with it otherwise. OSError if it cannot be read."""
    with open(path, "rb") as file:
        try:
            return mf.read_header(file)[0].get("dfnet.role") == "detector"
        except mf.ModelFileError:
            return False


def describe(path: str | os.PathLike[str]) -> dict[str, object]:
    """The facts of a detector's file as JSON-ready values. Raises ModelFileError or OSError."""
    tensors, meta = read_detector(path)
    return {
        "file": os.fspath(path),
        "bytes": os.path.getsize(path),
        "xxh3": meta.xxh3,
        "role": "detector",
        "name": meta.name,
        "detector": "mtcnn",
        "thresholds": list(meta.thresholds),
        "min_face": meta.min_face,
        "factor": meta.factor,
        "parameters": sum(array.size for array in tensors.values()),
        "source": meta.source,
        "source_sha256": meta.source_sha256,
        "license": meta.license,
        "reference": list(meta.reference),
        "extra": dict(meta.extra),
        "tensors": {name: list(array.shape) for name, array in tensors.items()},
    }


def as_text(facts: Mapping[str, object]) -> str:
    """`describe` for people."""
    lines = [f"{key:<14}{value}" for key, value in facts.items() if key not in ("tensors", "extra")]
    lines += [f"  {name} {shape}" for name, shape in facts["tensors"].items()]  # type: ignore[attr-defined]
    return "\n".join(lines)
