"""Checkpoints laid out as published face forgery detectors lay out theirs, with random weights.

Imported under its bare name by test_containers.py and by tests/parity/systems_parity.py. Keys,
shapes and element types are written down here once more, independently of weights_tools.naming;
only widths and numbers of blocks come from weights_tools.arch. `reduced()` narrows the variants,
so that a B7 has a few hundred thousand weights.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from unittest import mock

import numpy as np
import pth_writer as pw

from weights_tools import arch as arch_module
from weights_tools.arch import Architecture, variant

MAPS = 8
State = dict[str, np.ndarray]

#: Width, depth; the native size stays, on which static padding depends.
_REDUCED = {"b1": (0.2, 1.1), "b3": (0.25, 1.0), "b4": (0.3, 1.0), "b7": (0.4, 1.1)}


@contextlib.contextmanager
def reduced() -> Iterator[None]:
    """While it lasts, these variants are narrow and shallow everywhere in weights_tools."""
    table = arch_module._V1_SCALE
    small = {name: (*scale, table[name][2]) for name, scale in _REDUCED.items()}
    with mock.patch.dict(table, small):
        yield


def _conv_norm(shapes: dict, conv: str, norm: str, shape: tuple[int, ...]) -> None:
    shapes[f"{conv}.weight"] = shape
    for part in ("weight", "bias", "running_mean", "running_var"):
        shapes[f"{norm}.{part}"] = shape[:1]
    shapes[f"{norm}.num_batches_tracked"] = ()


def _linear(shapes: dict, name: str, *shape: int) -> None:
    shapes[f"{name}.weight"] = shape
    shapes[f"{name}.bias"] = shape[:1]


def lukemelas(arch: Architecture, at: str = "", temporal: bool = False) -> dict[str, tuple]:
    """efficientnet_pytorch, without its _fc."""
    shapes: dict[str, tuple] = {}
    _conv_norm(shapes, f"{at}_conv_stem", f"{at}_bn0", (arch.stem, 3, 3, 3))
    for b in arch.blocks():
        name = f"{at}_blocks.{b.index}."
        if b.expand != 1 and temporal:
            expand = (b.mid, b.cin, 3, 1, 1)
            _conv_norm(shapes, name + "_expand_conv.conv", name + "_bn0", expand)
        elif b.expand != 1:
            _conv_norm(shapes, name + "_expand_conv", name + "_bn0", (b.mid, b.cin, 1, 1))
        depthwise = (b.mid, 1, b.kernel, b.kernel)
        _conv_norm(shapes, name + "_depthwise_conv", name + "_bn1", depthwise)
        _linear(shapes, name + "_se_reduce", b.squeezed, b.mid, 1, 1)
        _linear(shapes, name + "_se_expand", b.mid, b.squeezed, 1, 1)
        _conv_norm(shapes, name + "_project_conv", name + "_bn2", (b.cout, b.mid, 1, 1))
    last = arch.blocks()[-1].cout
    _conv_norm(shapes, f"{at}_conv_head", f"{at}_bn1", (arch.head, last, 1, 1))
    return shapes


def timm(arch: Architecture, at: str) -> dict[str, tuple]:
    """timm, with its classifier of 1000 outputs."""
    shapes: dict[str, tuple] = {}
    _conv_norm(shapes, f"{at}conv_stem", f"{at}bn1", (arch.stem, 3, 3, 3))
    for b in arch.blocks():
        name = f"{at}blocks.{b.stage}.{b.position}."
        depthwise = (b.mid, 1, b.kernel, b.kernel)
        norms = iter((name + "bn1", name + "bn2", name + "bn3"))
        if b.expand != 1:
            _conv_norm(shapes, name + "conv_pw", next(norms), (b.mid, b.cin, 1, 1))
        _conv_norm(shapes, name + "conv_dw", next(norms), depthwise)
        _linear(shapes, name + "se.conv_reduce", b.squeezed, b.mid, 1, 1)
        _linear(shapes, name + "se.conv_expand", b.mid, b.squeezed, 1, 1)
        last = "conv_pw" if b.expand == 1 else "conv_pwl"
        _conv_norm(shapes, name + last, next(norms), (b.cout, b.mid, 1, 1))
    channels = arch.blocks()[-1].cout
    _conv_norm(shapes, f"{at}conv_head", f"{at}bn2", (arch.head, channels, 1, 1))
    _linear(shapes, f"{at}classifier", 1000, arch.head)
    return shapes


def _values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 from a seed of the name's own; activations keep their scale more or less."""
    last = name.rpartition(".")[2]
    if last == "num_batches_tracked":
        return np.array(100_000)
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    if last == "running_var":
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    values = rng.standard_normal(shape, dtype=np.float32)
    if name == "attentions.bn.bias":
        return values * np.float32(0.1) - np.float32(1.5)  # maps that are 0 in most places
    if last == "weight" and len(shape) == 1:
        return 1 + np.float32(0.1) * values
    scale = (2 / np.prod(shape[1:])) ** 0.5 if last == "weight" else 0.1
    return values * np.float32(scale)


@dataclass(frozen=True)
class Kind:
    """One container. `system` is what the converter must call it, "" if it must ask."""

    name: str
    system: str
    variant: str
    prefix: str  # of the network
    outputs: int
    shapes: Callable[[Architecture], dict[str, tuple]]
    wrap: Callable[[dict], dict]
    head: str = "_fc"  # module of the classifier
    half: bool = False
    maps: int = 0
    gate: bool = False
    temporal: bool = False
    normed: bool = False  # BatchNorm1d before the classifier
    static: bool = True  # padding of efficientnet_pytorch up to 0.6.3, else like TensorFlow's
    size: tuple[int, int] = (224, 224)
    unused: str = ""  # module of a classifier that is in the file and unused

    def architecture(self) -> Architecture:
        """Without the parts that the library does not have."""
        return variant(self.variant, self.outputs)

    def state(self) -> State:
        """Source name -> array as the file has it."""
        made = {name: _values(name, s) for name, s in self.shapes(self.architecture()).items()}
        if not self.half:
            return made
        with np.errstate(over="ignore"):  # the counters become infinite, as in the real file
            return {name: array.astype(np.float16) for name, array in made.items()}

    def tree(self, state: State) -> dict:
        """What torch.save got."""
        return self.wrap({name: pw.tensor(array) for name, array in state.items()})


def _selimsef(arch: Architecture) -> dict[str, tuple]:
    shapes = timm(arch, "module.encoder.")
    _linear(shapes, "module.fc", 1, arch.head)
    return shapes


def _wm(arch: Architecture) -> dict[str, tuple]:
    shapes = lukemelas(arch, "EFN.")
    _linear(shapes, "EFN._fc", 1000, arch.head)
    _conv_norm(shapes, "attentions.conv", "attentions.bn", (MAPS, arch.head, 1, 1))
    shapes["fc.weight"] = (2, MAPS * arch.head)
    return shapes


def _own_fc(at: str, outputs: int, temporal: bool = False) -> Callable:
    def shapes(arch: Architecture) -> dict[str, tuple]:
        made = lukemelas(arch, at, temporal)
        _linear(made, f"{at}_fc", outputs, arch.head)
        return made

    return shapes


def _icpr(gate: bool, siamese: bool) -> Callable:
    def shapes(arch: Architecture) -> dict[str, tuple]:
        at = "feat_ext." if siamese else ""
        made = lukemelas(arch, f"{at}efficientnet.")
        if gate:
            channels = arch.blocks()[9].cout
            _linear(made, f"{at}efficientnet.attconv", 1, channels, 1, 1)
        _linear(made, f"{at}classifier", 1, arch.head)
        if siamese:
            for part in ("weight", "bias", "running_mean", "running_var"):
                made[f"classifier.0.{part}"] = (arch.head,)
            made["classifier.0.num_batches_tracked"] = ()
            _linear(made, "classifier.1", 1, arch.head)
        return made

    return shapes


def _bare(state: dict) -> dict:
    return state


def _center(state: dict) -> dict:
    channels = state["attentions.conv.weight"].shape[1]
    center = pw.tensor(np.zeros((2, MAPS * channels), np.float32))
    return {"logs": {"epoch": 7}, "state_dict": state, "feature_center": center}


def _forensics(state: dict) -> dict:
    optimizer = {"state": {}, "param_groups": [{"lr": 0.01, "params": [0]}]}
    return {
        "step": 60000,
        "arch": "efficientnet",
        "state_dict": state,
        "best_loss": 0.2,
        "optimizer": optimizer,
    }


def _training(state: dict) -> dict:
    losses = {"train_loss": 0.1, "val_loss": 0.2, "iteration": 9, "batch_size": 32, "epoch": 1}
    return {"net": state, "opt": {"state": {}, "param_groups": []}, **losses}


def _forensics_kind(name: str) -> Kind:
    return Kind(
        f"robustforensics-{name}",
        "robustforensics",
        name,
        "module.",
        2,
        _own_fc("module.", 2),
        _forensics,
        head="module._fc",
        size=(299, 299),
    )


def _icpr_kind(name: str, gate: bool, siamese: bool, wrap: Callable = _bare) -> Kind:
    at = "feat_ext." if siamese else ""
    return Kind(
        name,
        "icpr2020dfdc",
        "b4",
        f"{at}efficientnet.",
        1,
        _icpr(gate, siamese),
        wrap,
        head="classifier.1" if siamese else "classifier",
        gate=gate,
        normed=siamese,
        static=False,
        unused="feat_ext.classifier" if siamese else "",
    )


KINDS = (
    Kind(
        "selimsef",
        "selimsef",
        "b7",
        "module.encoder.",
        1,
        _selimsef,
        lambda state: {"epoch": 36, "state_dict": state, "bce_best": 0.2},
        head="module.fc",
        static=False,
        size=(380, 380),
        unused="module.encoder.classifier",
    ),
    Kind(
        "wm",
        "wm",
        "b3",
        "EFN.",
        2,
        _wm,
        _center,
        "fc",
        maps=MAPS,
        size=(300, 300),
        unused="EFN._fc",
    ),
    Kind("ntechlab", "", "b7", "", 1, _own_fc("", 1), _bare, half=True, size=(224, 192)),
    Kind(
        "ntechlab-sequence",
        "ntechlab-sequence",
        "b7",
        "",
        1,
        _own_fc("", 1, temporal=True),
        _bare,
        half=True,
        temporal=True,
        size=(224, 192),
    ),
    *(_forensics_kind(name) for name in ("b0", "b1", "b3")),
    _icpr_kind("icpr-b4", gate=False, siamese=False),
    _icpr_kind("icpr-autoatt", gate=True, siamese=False),
    _icpr_kind("icpr-b4st", gate=False, siamese=True),
    _icpr_kind("icpr-autoattst", gate=True, siamese=True),
    _icpr_kind("icpr-training", gate=True, siamese=False, wrap=_training),
    Kind(
        "sbi",
        "sbi",
        "b4",
        "net.",
        2,
        _own_fc("net.", 2),
        lambda state: {"model": state, "optimizer": {"state": {}}, "epoch": 99},
        head="net._fc",
        static=False,
        size=(380, 380),
    ),
)
