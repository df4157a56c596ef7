"""A model file as a torch module, made of torch.nn layers only, which every exporter understands.

Called by export.py. Batch normalisation is folded in our files, as exporters would fold it.
Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from weights_tools.arch import Architecture, Block


class SqueezeExcite(nn.Module):
    """Gate of each channel from the mean of all; 1x1 convolutions, as in torchvision."""

    def __init__(self, channels: int, squeezed: int, activation: str) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.act = activate(activation)
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(self.expand(self.act(self.reduce(self.pool(x)))))


class MBConv(nn.Module):
    """Expand, depthwise, squeeze-excite, project; added to its input where shapes allow."""

    def __init__(self, b: Block, activation: str) -> None:
        super().__init__()
        if b.type != "mb":
            raise ValueError("the peers' networks have no fused blocks")
        layers: dict[str, nn.Module] = {}
        if b.expand != 1:
            layers["expand"] = nn.Conv2d(b.cin, b.mid, 1)
            layers["expand_act"] = activate(activation)
        layers["depthwise"] = nn.Conv2d(
            b.mid, b.mid, b.kernel, b.stride, padding=b.kernel // 2, groups=b.mid
        )
        layers["depthwise_act"] = activate(activation)
        if b.squeezed:
            layers["se"] = SqueezeExcite(b.mid, b.squeezed, activation)
        layers["project"] = nn.Conv2d(b.mid, b.cout, 1)
        # Registered by name, so that parameters are called as in the file.
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.layers = list(layers.values())
        self.residual = b.residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for layer in self.layers:
            y = layer(y)
        return x + y if self.residual else y


class Network(nn.Module):
    """Input [n, 3, height, width], logits [n, outputs]; padding `sym`, torchvision's."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, arch.stem, 3, 2, padding=1)
        self.stem_act = activate(arch.activation)
        self.blocks = nn.Sequential(*(MBConv(b, arch.activation) for b in arch.blocks()))
        self.head = nn.Conv2d(arch.stages[-1].channels, arch.head, 1)
        self.head_act = activate(arch.activation)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(arch.head, arch.outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.blocks(self.stem_act(self.stem(x)))
        y = self.pool(self.head_act(self.head(y)))
        return self.classifier(torch.flatten(y, 1))


def activate(name: str) -> nn.Module:
    """A layer for `swish` or `relu6`."""
    return nn.ReLU6() if name == "relu6" else nn.SiLU()


def build(arch: Architecture, tensors: Mapping[str, np.ndarray]) -> Network:
    """The module with the file's weights, ready to infer; every tensor must fit."""
    network = Network(arch).eval()
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    # torch warns about arrays that it could not write to; it only reads these.
    state = {
        name: torch.tensor(np.asarray(array, np.float32)).reshape(shapes[name])
        for name, array in tensors.items()
    }
    network.load_state_dict(state, strict=True)
    return network.requires_grad_(False)
