"""What leaves the training code: weights as they will be stored, held-out pictures as files.

Called by the commands `mean`, `round`, `card` and `pictures`. A model file holds the batch
normalisations folded into the convolutions, in F16. `rounded` does both to a trained network and
writes the result back as a network of the same names, so that everything measured afterwards is
measured on the very numbers that are shipped; `weights_tools convert --dtype f16` loses nothing.

`card` writes what people should know into a model file, where `dfnet info` shows it.

`pictures` writes KIND/real and KIND/fake (if there are any) as PNG, so that both classes have the
same, lossless last step. Training pictures never go there.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from ..model_file import read_header, read_model, write_model
from . import sets
from .network import EPSILON, Network
from .wsdan import WsDan

_KINDS = {
    "composite": ("ciplab-real", "ciplab-fake"),
    "portrait": ("ffhq-real", "sd3-fake"),
    "soft": ("utk-real",),  # reals only
}


def mean_of(states: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The mean of the weights of one run at several times; counters are the last one's.
    ValueError if they are of several networks."""
    if any(
        {k: v.shape for k, v in s.items()} != {k: v.shape for k, v in states[0].items()}
        for s in states
    ):
        raise ValueError("weights of several networks have no mean")
    return {
        name: torch.stack([s[name] for s in states]).mean(0)
        if value.dtype.is_floating_point
        else value
        for name, value in states[-1].items()
    }


def _half(x: torch.Tensor) -> torch.Tensor:
    return x.half().double()


@torch.no_grad()
def _round_pair(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    scale = norm.weight.double() / (norm.running_var.double() + EPSILON).sqrt()
    weight = _half(convolution.weight.double() * scale[:, None, None, None])
    bias = _half(norm.bias.double() - norm.running_mean.double() * scale)
    convolution.weight.copy_(weight)
    # A normalisation that only adds the bias.
    norm.running_mean.zero_()
    norm.running_var.fill_(1)
    norm.weight.fill_((1 + EPSILON) ** 0.5)
    norm.bias.copy_(bias)


@torch.no_grad()
def rounded(network: Network | WsDan) -> None:
    """Fold and round in place; the network is for use only from then on, not for training."""
    if isinstance(network, WsDan):
        _round_features(network.EFN)
        _round_pair(network.attentions.conv, network.attentions.bn)
        network.fc.weight.copy_(_half(network.fc.weight))
        return
    _round_features(network)
    network._fc.weight.copy_(_half(network._fc.weight))
    network._fc.bias.copy_(_half(network._fc.bias))


def _round_features(network: Network) -> None:
    _round_pair(network._conv_stem, network._bn0)
    for block in network._blocks:
        if block.block.expand != 1:
            _round_pair(block._expand_conv, block._bn0)
        _round_pair(block._depthwise_conv, block._bn1)
        _round_pair(block._project_conv, block._bn2)
        layers = [block._se_reduce, block._se_expand] if block.block.squeezed else []
        for layer in layers:
            layer.weight.copy_(_half(layer.weight))
            layer.bias.copy_(_half(layer.bias))
    _round_pair(network._conv_head, network._bn1)


#: Texts of a card, with `x.` before them the keys in the file.
CARD = ("training", "accuracy", "limits")


def card(model: Path, out: Path, texts: dict[str, str]) -> str:
    """`model` with these texts of its card; returns the new file's hash. Weights, thresholds and
    the other texts stay. ModelFileError if the file is none or a text is too long."""
    with model.open("rb") as file:
        entries = read_header(file)[1]
    dtype = "f16" if any(entry.dtype == "F16" for entry in entries.values()) else "f32"
    arch, tensors, meta = read_model(model)
    meta.extra.update({f"x.{name}": text for name, text in texts.items()})
    write_model(out, arch, tensors, meta, dtype)
    return meta.xxh3


def pictures(cache: Path, part: int, out: Path) -> dict[str, int]:
    """Write them; folder -> number of pictures. Pictures without a face are there, too."""
    counts = {}
    for kind, names in _KINDS.items():
        for label, name in zip(("real", "fake"), names, strict=False):
            folder = out / kind / label
            folder.mkdir(parents=True, exist_ok=True)
            loaded = sets.load(cache, name)
            places = np.flatnonzero(loaded.part == part)
            for i in places:
                path = folder / f"{Path(str(loaded.names[i])).stem}.png"
                if not cv2.imwrite(str(path), loaded.pictures[i][..., ::-1]):
                    raise ValueError(f"{path}: cannot be written")
            counts[f"{kind}/{label}"] = len(places)
    return counts
