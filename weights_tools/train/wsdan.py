"""WS-DAN to train: attention maps that pool an EfficientNet's features, a centre for each class.

Called by loop.py (training), measure.py, parity.py and export.py. After Hu et al., arXiv
1901.09891, with the settings of the second team of the DeepFake Detection Challenge. Tensor
names are theirs, so that `weights_tools convert` knows the state dict:

    EFN.*                      the backbone, efficientnet_pytorch's names, without classifier
    attentions.conv, .bn       1x1 convolution [m, c] and normalisation: the maps, behind a ReLU
    fc.weight                  [1, m * c], no bias

Features X [n, c, h, w] and maps A [n, m, h, w] give parts P[m, c], the mean over all places of
A * X; their signed square roots, divided by the length of the whole vector, are f [n, m * c];
the logit is fc(100 f).
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import nn

from . import attention
from .network import EPSILON, Network, start_from

SCALE = 100.0
_ROOT_EPSILON = 1e-12
#: How far a class's centre goes towards a batch's mean.
_CENTRE_RATE = 0.05
_CROP_WEIGHT, _DROP_WEIGHT = 1 / 3, 1 / 2  # of the raw pictures' loss
#: The second look: what part of the greatest attention is looked at, and how much around it.
LOOK_FROM, LOOK_MARGIN = 0.1, 0.05


class _Attentions(nn.Module):
    def __init__(self, channels: int, maps: int, momentum: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, maps, 1, bias=False)
        self.bn = nn.BatchNorm2d(maps, eps=EPSILON, momentum=momentum)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.bn(self.conv(x)))


class WsDan(nn.Module):
    """An EfficientNet of `name` under `maps` attention maps, with one output."""

    def __init__(
        self,
        name: str,
        maps: int,
        *,
        drop_path: float = 0.0,
        dropout: float = 0.0,
        momentum: float = 0.05,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.EFN = Network(name, drop_path=drop_path, momentum=momentum)
        self.EFN._fc = nn.Identity()
        channels = self.EFN.arch.head
        self.attentions = _Attentions(channels, maps, momentum)
        self.fc = nn.Linear(maps * channels, 1, bias=False)
        nn.init.normal_(self.fc.weight, std=1e-3)

    def attend(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(parts P [n, m, c], maps [n, m, h, w]) of normalised pictures."""
        features = self.EFN.features(x)
        maps = self.attentions(features)
        flat = features.flatten(2).transpose(1, 2)
        return maps.flatten(2) @ flat / flat.shape[1], maps

    def describe(self, parts: torch.Tensor) -> torch.Tensor:
        """Unit vectors f [n, m * c] of parts."""
        rooted = parts.sign() * (parts.abs() + _ROOT_EPSILON).sqrt()
        return functional.normalize(rooted.flatten(1), dim=1)

    def classify(self, described: torch.Tensor) -> torch.Tensor:
        """Logits [n] of unit vectors."""
        return self.fc(SCALE * described).squeeze(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [n] of one look."""
        return self.classify(self.describe(self.attend(x)[0]))

    def look_twice(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [n], the mean of two looks: at all of the picture and at what the mean map
        attends to (FORMAT.md, `dfnet.look`)."""
        parts, maps = self.attend(x)
        first = self.classify(self.describe(parts))
        closer = torch.empty_like(x)
        for i, mean in enumerate(maps.mean(1, keepdim=True)):
            top, bottom, left, right = look_box(mean, (x.shape[2], x.shape[3]))
            closer[i] = attention.enlarged(x[i : i + 1, :, top:bottom, left:right], x.shape[2:])
        return (first + self(closer)) / 2


def look_box(mean: torch.Tensor, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(top, bottom, left, right), ends not included, of what a mean map [1, h, w] attends to
    in a picture of `size`."""
    if float(mean.amax()) <= 0:
        return 0, size[0], 0, size[1]
    where = attention.mask(mean, size, torch.tensor([LOOK_FROM]))[0]
    ends = []
    for line, length in ((where.any(1), size[0]), (where.any(0), size[1])):
        places = line.nonzero()[:, 0]
        if len(places) == 0:
            return 0, size[0], 0, size[1]
        first = max(0, int(float(places[0]) - LOOK_MARGIN * length))
        last = min(length, int(float(places[-1]) + LOOK_MARGIN * length))
        if last - first < 2:
            first = min(first, length - 2)
            last = first + 2
        ends += [first, last]
    return ends[0], ends[1], ends[2], ends[3]


def start(network: WsDan, weights: dict[str, torch.Tensor]) -> None:
    """The backbone starts from a plain network's weights, attention and classifier anew.
    ValueError if they are another network's."""
    start_from(network.EFN, {k: v for k, v in weights.items() if not k.startswith("_fc.")})


def centres_of(network: WsDan) -> torch.Tensor:
    """Where the centres of real and fake begin: zeros [2, m * c]."""
    return torch.zeros(2, network.fc.weight.shape[1])


def pull(centres: torch.Tensor, f: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The mean squared distance of vectors f [n, m * c] from their class's centre, divided by
    its own length; then moves `centres`. Targets between 0 and 1, mixtures, belong to none."""
    unit = functional.normalize(centres, dim=1)  # a copy: of before the move
    pure = (targets == 0) | (targets == 1)
    loss = ((f - unit[targets.round().long()]) ** 2).sum(1)[pure].mean()
    with torch.no_grad():
        for label in (0, 1):
            own = f[targets == label]
            if len(own):
                centres[label] += _CENTRE_RATE * (own - unit[label]).mean(0)
    return loss


def backward(
    network: WsDan,
    centres: torch.Tensor,
    x: torch.Tensor,
    targets: torch.Tensor,
    smooth: torch.Tensor,
    generator: torch.Generator,
    *,
    second: bool,
    centre: float,
) -> float:
    """Gradients of one step; returns the loss of the pictures as they are.

    `targets` say the class, `smooth` are what the logits should say. With `second`, another pass
    sees the pictures by their own maps: of every four, two (a real and its fake) cropped, two
    dropped, so that each step has both at the price of one.
    """
    parts, maps = network.attend(x)
    f = network.describe(parts)
    kept = functional.dropout(parts, network.dropout, network.training)
    loss = functional.binary_cross_entropy_with_logits
    raw = loss(network.classify(network.describe(kept)), smooth)
    (raw + centre * pull(centres, f, targets)).backward()
    if second:
        maps = maps.detach()
        cropped = torch.arange(len(x)) % 4 < 2
        seen = torch.empty_like(x)
        seen[cropped] = attention.crop(x[cropped], maps[cropped], generator)
        seen[~cropped] = attention.drop(x[~cropped], maps[~cropped], generator)
        weight = torch.where(cropped, _CROP_WEIGHT, _DROP_WEIGHT)
        each = loss(network(seen), smooth, reduction="none")
        # As if each half were a batch: its mean, times its weight.
        (2 * (weight * each).mean()).backward()
    return float(raw.detach())
