"""Attention cropping and attention dropping (WS-DAN: Hu et al., arXiv 1901.09891).

Called by loop.py. The attention maps are channels of the network's last feature maps, as in the
paper's TensorFlow program, which needs no extra layer: here those that count most for the
picture's score. A part is chosen with a probability that grows with its map's mean. Cropping
shows the network that part alone and larger; dropping hides it, so that the network must find
other traces. No gradient flows through either.

Maps are float [n, m, h, w], not negative; pictures float [n, 3, height, width], normalised, so
that what is dropped becomes 0, the mean colour.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional

#: Ranges of the thresholds, in parts of the map's maximum, from which the part is taken.
CROP_THETA = (0.4, 0.6)
DROP_THETA = (0.2, 0.5)
#: The crop's box is extended by this part of the picture on each side.
CROP_PADDING = 0.1


def maps_of(features: torch.Tensor, weights: torch.Tensor, count: int) -> torch.Tensor:
    """The `count` channels of each picture that move its score most: maps [n, count, h, w].

    features: [n, c, h, w]; weights: [c], the classifier's. A channel's part in the score is
    its weight times its mean.
    """
    positive = features.detach().float().clamp_min(0)
    moved = positive.mean((2, 3)) * weights.detach().float().abs()
    chosen = moved.topk(count, dim=1).indices
    index = chosen[:, :, None, None].expand(-1, -1, *features.shape[2:])
    return positive.gather(1, index)


def choose(maps: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One map of each picture, [n, h, w], drawn with p proportional to sqrt(mean)."""
    chance = (maps.mean((2, 3)) + 1e-12).sqrt()
    chosen = torch.multinomial(chance, 1, generator=generator)[:, 0]
    return maps[torch.arange(len(maps)), chosen]


def mask(part: torch.Tensor, size: tuple[int, int], theta: torch.Tensor) -> torch.Tensor:
    """Bool [n, height, width]: where the map, enlarged to `size`, reaches theta [n] of its own
    maximum. A map of zeros gives the whole picture."""
    large = functional.interpolate(part[:, None], size=size, mode="bilinear", align_corners=True)[
        :, 0
    ]
    return large >= (theta * part.amax((1, 2)))[:, None, None]


def _theta(n: int, bounds: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(n, generator=generator)


def box_of(where: torch.Tensor, padding: float) -> tuple[int, int, int, int]:
    """(top, bottom, left, right), ends not included, of a mask [h, w] extended by `padding` of
    each side's length, inside the picture, at least 2 pixels wide and high."""
    height, width = where.shape
    rows, columns = where.any(1).nonzero()[:, 0], where.any(0).nonzero()[:, 0]
    if len(rows) == 0:
        return 0, height, 0, width
    ends = []
    for line, length in ((rows, height), (columns, width)):
        first = max(0, int(line[0]) - int(padding * length))
        last = min(length, int(line[-1]) + 1 + int(padding * length))
        if last - first < 2:
            first = min(first, length - 2)
            last = first + 2
        ends += [first, last]
    return ends[0], ends[1], ends[2], ends[3]


def enlarged(picture: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A picture [1, 3, h, w] brought to `size`, the corners' centres on the corners: [3, ...]."""
    return functional.interpolate(picture, size=size, mode="bilinear", align_corners=True)[0]


def crop(pictures: torch.Tensor, maps: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The pictures with a part of each enlarged to the whole size."""
    size = (pictures.shape[2], pictures.shape[3])
    part = choose(maps, generator)
    where = mask(part, size, _theta(len(maps), CROP_THETA, generator))
    result = torch.empty_like(pictures)
    for i in range(len(pictures)):
        top, bottom, left, right = box_of(where[i], CROP_PADDING)
        result[i] = enlarged(pictures[i : i + 1, :, top:bottom, left:right], size)
    return result


def drop(pictures: torch.Tensor, maps: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The pictures with a part of each set to 0."""
    size = (pictures.shape[2], pictures.shape[3])
    part = choose(maps, generator)
    where = mask(part, size, _theta(len(maps), DROP_THETA, generator))
    return pictures * ~where[:, None]
