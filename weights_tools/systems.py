"""Checkpoints of published face forgery detectors: how to know one, and how it wants its faces.

Called by `convert`, between `naming` (which network) and `recipes` (what its library does). A
checkpoint does not say which crop, size and normalisation it was trained with, nor which version
of its library padded its convolutions; but these projects' files are shaped like nobody else's,
so their own answers can be filled in. To add one, add a row to SYSTEMS and its container to
tests/test_containers.py. The crops are those of examples/pipelines, which a test compares.

Read in selimsef/dfdc_deepfake_challenge, cuihaoleo/kaggle-dfdc,
NTech-Lab/deepfake-detection-challenge, Siyu-C/RobustForensics, polimi-ispl/icpr2020dfdc and
mapooon/SelfBlendedImages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import InputRefused
from .naming import Identified
from .recipes import IMAGENET_MEAN, IMAGENET_STD

_THIRD = (1 / 3, 1 / 3, 1 / 3, 1 / 3)

#: What the frame models of NTechLab see; they differ in the resize and its border only.
_NTECHLAB = {
    "padding": "static-old",  # efficientnet_pytorch 0.6.3
    "input": (224, 192),
    "filter": "opencv-linear",
    "mean": IMAGENET_MEAN,
    "std": IMAGENET_STD,
    "face_margin": (0.25, 0.25, 0.25, 0.25),
    "face_shape": "box",
    "face_outside": "clamp",
    "face_pad": (0, 0, 0),
    "face_rounding": "truncate",
    "resize_rounding": "albumentations",
    "license": "Apache-2.0 (of the repository NTech-Lab/deepfake-detection-challenge)",
}


@dataclass(frozen=True)
class System:
    """One project's network.

    The first fields say what it is: naming scheme, variants, outputs, and what it has beside an
    EfficientNet. `prefix`, `head` and `keys` (of the file's top level, all of them there) tell
    its container from others', regular expressions; `half` that all its numbers are float16.
    `settings` are fields of convert.Options, for those that the user leaves open.
    """

    name: str
    title: str
    scheme: str
    variants: tuple[str, ...]
    outputs: int
    prefix: str
    head: str
    settings: dict[str, object]
    keys: frozenset[str] = frozenset()
    half: bool = False
    attention: bool = False
    gate: bool | None = False  # None: with or without
    sequence: bool = False
    asked: str = ""  # not empty: siblings have the same container; what to say then
    untrained: str = ""  # a classifier that such files hold beside the trained one
    note: str = ""

    def is_network(self, found: Identified) -> bool:
        """The tensors are those of this network, whatever holds them."""
        arch = found.arch
        return (
            found.scheme.name == self.scheme
            and arch.variant in self.variants
            and arch.outputs == self.outputs
            and (arch.attention > 0) == self.attention
            and self.gate in (None, arch.gate > 0)
            and (arch.frames > 1) == self.sequence
        )

    def is_container(self, found: Identified) -> bool:
        """And the file is laid out as this project lays it out."""
        floats = {t.dtype for t in found.state.values() if t.dtype != "I64"}
        return (
            self.is_network(found)
            and re.fullmatch(self.prefix, found.prefix) is not None
            and re.fullmatch(self.head, found.layers[-1].source) is not None
            and self.keys <= found.keys
            and (not self.half or floats == {"F16"})
        )


SYSTEMS: tuple[System, ...] = (
    System(
        name="selimsef",
        title="selimsef, first of the DeepFake Detection Challenge",
        scheme="timm",
        variants=("b7",),
        outputs=1,
        prefix=r"(module\.)?encoder\.",
        head=r"(module\.)?fc",
        settings={
            "name": "tf_efficientnet_b7_ns",
            "input": (380, 380),
            "resize": "longer",
            "filter": "opencv-area,opencv-cubic",
            "mean": IMAGENET_MEAN,
            "std": IMAGENET_STD,
            "face_margin": _THIRD,
            "face_shape": "box",
            "face_outside": "clamp",
            "face_pad": (0, 0, 0),
            "face_rounding": "whole",
            "license": "MIT (of the repository selimsef/dfdc_deepfake_challenge)",
        },
    ),
    System(
        name="wm",
        title="\\WM/, second of the DeepFake Detection Challenge: WS-DAN",
        scheme="efficientnet_pytorch",
        variants=("b3",),
        outputs=2,
        prefix=r"EFN\.",
        head="fc",
        attention=True,
        settings={
            "padding": "static-old",  # requires efficientnet_pytorch 0.6.3
            "input": (300, 300),
            "resize": "squash",
            "filter": "opencv-linear",
            "mean": (0.4479, 0.3744, 0.3473),
            "std": (0.2537, 0.2502, 0.2424),
            "face_margin": (0.0, 0.0, 0.0, 0.0),
            "face_shape": "box",
            "face_outside": "pad",
            "face_pad": (0, 0, 0),
            "face_align": "320x320,truncate,122.5,141.25,197.5,141.25,160,178.75,137.5,225.25,"
            "182.5,225.25",
            "license": "MIT (of the repository cuihaoleo/kaggle-dfdc)",
        },
        note="their submission took the first look only; --look logits,0.1,0.05 looks again",
    ),
    System(
        name="ntechlab-sequence",
        title="NTechLab, third of the DeepFake Detection Challenge: sequence model",
        scheme="efficientnet_pytorch",
        variants=("b7",),
        outputs=1,
        prefix="",
        head="_fc",
        sequence=True,
        settings={**_NTECHLAB, "resize": "shorter:224"},
    ),
    System(
        name="ntechlab-a",
        title="NTechLab, third of the DeepFake Detection Challenge: frame model of large crops",
        scheme="efficientnet_pytorch",
        variants=("b7",),
        outputs=1,
        prefix="",
        head="_fc",
        half=True,
        settings={**_NTECHLAB, "resize": "shorter:192", "resize_border": "reflect"},
        asked="is one of NTechLab's two frame models, which see different crops, and nothing in "
        "the file says which: give --system ntechlab-a (the shorter side to 192, the rest "
        "mirrored), --system ntechlab-b (the shorter side to 224), or --system none for an "
        "ordinary network",
    ),
    System(
        name="ntechlab-b",
        title="NTechLab, third of the DeepFake Detection Challenge: frame model of small crops",
        scheme="efficientnet_pytorch",
        variants=("b7",),
        outputs=1,
        prefix="",
        head="_fc",
        half=True,
        settings={**_NTECHLAB, "resize": "shorter:224"},
    ),
    System(
        name="robustforensics",
        title="Eighteen Years Old (RobustForensics), fourth of the DeepFake Detection Challenge",
        scheme="efficientnet_pytorch",
        variants=("b0", "b1", "b3"),
        outputs=2,
        prefix=r"module\.",
        head=r"module\._fc",
        keys=frozenset(("arch", "best_loss", "state_dict")),
        settings={
            "padding": "static-old",  # an embedded copy of efficientnet_pytorch 0.6
            "input": (299, 299),
            "resize": "squash",
            "filter": "opencv-linear",
            "mean": IMAGENET_MEAN,
            "std": IMAGENET_STD,
            "face_margin": (0.15, 0.15, 0.15, 0.15),
            "face_shape": "square",
            "face_outside": "shift",
            "face_pad": (0, 0, 0),
            "face_rounding": "even",
            "license": "MIT (of the repository Siyu-C/RobustForensics)",
        },
        note="some of their models average the mirror image in, which no file says: --flip",
    ),
    System(
        name="icpr2020dfdc",
        title="Politecnico di Milano (icpr2020dfdc)",
        scheme="efficientnet_pytorch",
        variants=("b4",),
        outputs=1,
        prefix=r"(feat_ext\.)?efficientnet\.",
        head=r"classifier(\.1)?",
        gate=None,
        untrained="feat_ext.classifier",
        settings={
            "padding": "same",  # at 224 the same as up to efficientnet_pytorch 0.6.3
            "input": (224, 224),
            "resize": "squash",
            "filter": "opencv-linear",
            "mean": IMAGENET_MEAN,
            "std": IMAGENET_STD,
            "face_margin": (0.2, 0.4, 0.2, 0.2),
            "face_shape": "box",
            "face_outside": "clamp",
            "face_pad": (0, 0, 0),
            "face_unit": "height",
            "face_rounding": "truncate",
            "face_least": 224,
            "license": "GPL-3.0 (of the repository polimi-ispl/icpr2020dfdc)",
        },
    ),
    System(
        name="sbi",
        title="Self-Blended Images (Shiohara and Yamasaki, CVPR 2022)",
        scheme="efficientnet_pytorch",
        variants=("b4",),
        outputs=2,
        prefix=r"net\.",
        head=r"net\._fc",
        keys=frozenset(("model", "epoch")),
        settings={
            "padding": "same",  # at 380 the same as from efficientnet_pytorch 0.6.4 on
            "input": (380, 380),
            "resize": "squash",
            "filter": "opencv-linear",
            "mean": (0.0, 0.0, 0.0),
            "std": (1.0, 1.0, 1.0),
            "face_margin": (0.125, 0.125, 0.125, 0.125),
            "face_shape": "box",
            "face_outside": "clamp",
            "face_pad": (0, 0, 0),
            "face_rounding": "truncate",
            "license": "research only, not commercial (of mapooon/SelfBlendedImages)",
        },
    ),
)

NAMES = ("auto", "none", *(system.name for system in SYSTEMS))


def find(found: Identified, wanted: str) -> System | None:
    """The system of a checkpoint; `wanted` is one of NAMES.

    Raises InputRefused if the named system has another network, or if the file does not tell
    which of a project's networks it is.
    """
    if wanted == "none":
        return None
    if wanted == "auto":
        return _recognised(found)
    system = next(s for s in SYSTEMS if s.name == wanted)
    if not system.is_network(found):
        raise InputRefused(f"--system {wanted}: expects {_network(system)}, found {_found(found)}")
    return system


def _recognised(found: Identified) -> System | None:
    head = found.layers[-1].source
    for system in SYSTEMS:
        if system.untrained == head and system.is_network(found):
            raise InputRefused(
                f"has no classifier but {head}, which {system.title} leaves untrained in its "
                f"files; the trained one is missing (--system none takes this one)"
            )
        if system.is_container(found):
            if system.asked:
                raise InputRefused(system.asked)
            return system
    return None


def _parts(attention: bool, gate: bool | None, sequence: bool) -> str:
    parts = ["attention maps"] if attention else []
    parts += ["a gate"] if gate else []
    parts += ["convolutions over frames"] if sequence else []
    return f" and {', '.join(parts)}" if parts else ""


def _network(system: System) -> str:
    return (
        f"{system.scheme} names, {' or '.join(system.variants)} with {system.outputs} "
        f"output{'s' if system.outputs > 1 else ''}"
        f"{_parts(system.attention, system.gate, system.sequence)}"
    )


def _found(found: Identified) -> str:
    arch = found.arch
    return (
        f"{found.scheme.name} names, {arch.variant} with {arch.outputs} "
        f"output{'s' if arch.outputs > 1 else ''}"
        f"{_parts(arch.attention > 0, arch.gate > 0, arch.frames > 1)}"
    )
