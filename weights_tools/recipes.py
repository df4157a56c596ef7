"""What a checkpoint does not say: batch-norm epsilon, padding and preprocessing by library.

Called by `convert`. The values are those with which each library trained or evaluates its own
weights. Sources: timm 1.0.31 default configurations (`timm/models/efficientnet.py`), torchvision
0.28 weight enums (`torchvision/models/efficientnet.py`), efficientnet_pytorch 0.6.3 to 0.7.1
(`utils.py`, ImageNet example). A wrong epsilon or padding crashes nothing; it quietly makes a
worse model, hence no guessing: a timm model must be named.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace

from .arch import NATIVE_SIZE, Architecture
from .errors import InputRefused, shown

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)

CONVERTED_SUFFIXES = (".safetensors", ".pth.tar", ".pth", ".pt", ".tar", ".bin")

_TIMM_NAME = re.compile(
    r"(?P<tf>tf_)?efficientnet(?P<v2>v2)?_(?P<size>b[0-8]|l2|lite[0-4]|[sml])(?=$|[._-])(?P<tags>.*)"
)

# timm evaluates these at a size of its own: (size, crop fraction).
_TIMM_SIZES = {
    "lite3": (300, 0.904),
    "lite4": (380, 0.920),
    "l2": (800, 0.960),
    "v2-s": (384, 1.0),
    "v2-m": (480, 1.0),
    "v2-l": (480, 1.0),
    "v2-b0": (224, 0.875),
    "v2-b1": (240, 0.882),
    "v2-b2": (260, 0.890),
    "v2-b3": (300, 0.904),
}
_CROPS = {
    224: 0.875,
    240: 0.882,
    260: 0.890,
    280: 0.897,
    300: 0.904,
    380: 0.922,
    456: 0.934,
    528: 0.942,
    600: 0.949,
    672: 0.954,
}
# timm's own (non-tf) weights, evaluated at (size, crop fraction).
_TIMM_NATIVE_SIZES = {
    "b1": (256, 1.0),
    "b2": (288, 1.0),
    "b3": (320, 1.0),
    "b4": (384, 1.0),
    "b5": (448, 1.0),
}
# torchvision: resize of the shorter side, crop.
_TORCHVISION_SIZES = {
    "b0": (256, 224),
    "b1": (256, 240),
    "b2": (288, 288),
    "b3": (320, 300),
    "b4": (384, 380),
    "b5": (456, 456),
    "b6": (528, 528),
    "b7": (600, 600),
    "v2-s": (384, 384),
    "v2-m": (480, 480),
    "v2-l": (480, 480),
}


@dataclass(frozen=True)
class Recipe:
    """Defaults for one model; every field can be overridden on the command line.

    `crop` is the fraction of the resized picture that remains, to rescale the resize for another
    input size. `origin` says in words where the values come from.
    """

    eps: float
    padding: str
    size: int
    resize: str
    crop: float
    filter: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    origin: str


def base_name(path: str | os.PathLike[str]) -> str:
    """The file's name without folder and without the suffixes that checkpoints carry."""
    name = os.path.basename(os.fspath(path))
    for suffix in CONVERTED_SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def recipe(scheme: str, arch: Architecture, name: str | None, file_name: str) -> Recipe:
    """The defaults for a model of `scheme`.

    `name` is what the user calls the model (timm's name, for example), `file_name` the file's
    base name, which serves in its place. Raises InputRefused where both do not suffice.
    """
    if scheme == "timm":
        return _timm(arch, name, file_name)
    label = name or file_name
    if scheme == "torchvision":
        return _torchvision(arch, label)
    return _lukemelas(arch, label)


def _timm(arch: Architecture, name: str | None, file_name: str) -> Recipe:
    match = _TIMM_NAME.fullmatch(name or file_name)
    if match is None:
        which = f"--name {shown(name)}" if name else f"the file's name {shown(file_name)}"
        raise InputRefused(
            f"has timm's tensor names, and timm's padding and batch-norm epsilon depend on the "
            f"model's name, which {which} does not tell; give it, for example --name "
            f"tf_efficientnet_{arch.variant.removeprefix('v2-')} (or without tf_)"
        )
    named = ("v2-" if match["v2"] else "") + match["size"]
    if named != arch.variant:
        raise InputRefused(
            f"is called {shown(match[0])}, but its tensors are those of {arch.variant}"
        )
    tags = re.split(r"[._-]", match["tags"])
    tf = match["tf"] is not None
    found = _timm_tf(named, tags) if tf else _timm_native(named, tags)
    return replace(found, origin=f"timm's {match[0] if name else match[0] + ' (file name)'}")


def _timm_tf(named: str, tags: list[str]) -> Recipe:
    size, crop = _TIMM_SIZES.get(named) or (NATIVE_SIZE[named], _CROPS[NATIVE_SIZE[named]])
    if named == "l2" and "475" in tags:
        size, crop = 475, 0.936
    half = named.startswith("lite") or named in ("v2-s", "v2-m", "v2-l") or "ap" in tags
    half = half or (named == "v2-b3" and "in21k" in tags)
    if named == "v2-b3" and "in21k" in tags and "ft" in "".join(tags):
        crop = 0.9
    bilinear = named in ("lite3", "lite4")
    return Recipe(
        eps=1e-3,
        padding="same",
        size=size,
        resize="squash" if named in ("v2-m", "v2-l") else _shorter(size, crop),
        crop=crop,
        filter="pillow-bilinear" if bilinear else "pillow-bicubic",
        mean=HALF if half else IMAGENET_MEAN,
        std=HALF if half else IMAGENET_STD,
        origin="",
    )


def _timm_native(named: str, tags: list[str]) -> Recipe:
    known = _TIMM_NATIVE_SIZES.get(named) or _TIMM_SIZES.get(named)
    size, crop = known or (NATIVE_SIZE[named], _CROPS[NATIVE_SIZE[named]])
    recent = named in ("b0", "b1") and "ra4" in tags  # the ra4_e3600 weights
    if recent:
        size, crop = NATIVE_SIZE[named], 0.9
    return Recipe(
        eps=1e-5,
        padding="sym",
        size=size,
        resize="squash" if named == "b5" else _shorter(size, crop),
        crop=crop,
        filter="pillow-bicubic",
        mean=HALF if recent else IMAGENET_MEAN,
        std=HALF if recent else IMAGENET_STD,
        origin="",
    )


def _torchvision(arch: Architecture, label: str) -> Recipe:
    if arch.variant not in _TORCHVISION_SIZES:
        raise InputRefused(f"has torchvision's tensor names, but torchvision has no {arch.variant}")
    resize, size = _TORCHVISION_SIZES[arch.variant]
    second = arch.variant == "b1" and re.match(r"efficientnet_b1([-_.]v2|-c27df63c)", label.lower())
    if second:
        resize = 255
    bilinear = bool(second) or arch.variant in ("v2-s", "v2-m")
    half = arch.variant == "v2-l"
    return Recipe(
        eps=1e-5 if arch.variant in ("b0", "b1", "b2", "b3", "b4") else 1e-3,
        padding="sym",
        size=size,
        resize=f"shorter:{resize}",
        crop=size / resize,
        filter="pillow-bilinear" if bilinear else "pillow-bicubic",
        mean=HALF if half else IMAGENET_MEAN,
        std=HALF if half else IMAGENET_STD,
        origin=f"torchvision's {arch.variant} ({'IMAGENET1K_V2' if second else 'IMAGENET1K_V1'})",
    )


def _lukemelas(arch: Architecture, label: str) -> Recipe:
    size = NATIVE_SIZE[arch.variant]
    lite = arch.variant.startswith("lite")
    advprop = label.lower().startswith("adv-")  # the library's own names of its AdvProp files
    return Recipe(
        eps=1e-3,
        padding="same",
        size=size,
        # Without squeeze-excite the weights are ports of Google's lite models, which were trained
        # with (x - 127) / 128 and evaluated with a margin around the crop.
        resize=_shorter(size, _CROPS[size]) if lite else f"shorter:{size}",
        crop=_CROPS[size] if lite else 1.0,
        filter="pillow-bilinear" if arch.variant in ("lite3", "lite4") else "pillow-bicubic",
        mean=HALF if lite or advprop else IMAGENET_MEAN,
        std=HALF if lite or advprop else IMAGENET_STD,
        origin=f"efficientnet_pytorch's {'adv-' if advprop else ''}{arch.variant}",
    )


def _shorter(size: int, crop: float) -> str:
    # timm floors size / crop_pct (timm/data/transforms_factory.py).
    return f"shorter:{int(size / crop)}"


def for_input(chosen: Recipe, height: int, width: int, about_faces: bool) -> str:
    """How a picture becomes height x width, if the user says nothing about it.

    A face crop has its margin from the detector's box and is squashed: cropping it again would
    cut the face. Other pictures keep the library's proportion of crop and picture.
    """
    if about_faces:
        return "squash"
    if (height, width) == (chosen.size, chosen.size) or not chosen.resize.startswith("shorter:"):
        return chosen.resize
    return f"shorter:{int(max(height, width) / chosen.crop)}"


def static_padding(arch: Architecture, rule: str) -> str:
    """`fixed:` numbers for the static padding of efficientnet_pytorch at the native size.

    `static-old` (up to 0.6.3) evaluates TensorFlow's formula at the native size for every layer,
    `static-new` (from 0.6.4) follows the size through the network.
    """
    size = NATIVE_SIZE[arch.variant]
    numbers = []
    for kernel in arch.stride2_kernels():
        half = (size + 1) // 2
        total = max((half - 1) * 2 + kernel - size, 0)
        numbers += [total // 2, total - total // 2]
        if rule == "static-new":
            size = half
    return "fixed:" + ",".join(str(number) for number in numbers)
