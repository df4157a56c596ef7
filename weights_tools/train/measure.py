"""AUC with its interval on held-out pictures, by the training code itself.

Called by the commands `measure` and `ablate`. The published numbers come from `weights_tools
evaluate`, which asks libdfnet; this one also knows the kinds that exist only in the cache.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from . import heldout, metrics
from .augment import jpeg
from .loop import logits
from .network import Network
from .wsdan import WsDan


def network_of(weights: Path, name: str) -> Network | WsDan:
    """A network with weights from a state dict, a WS-DAN if they have attention maps; ValueError
    if they are another's."""
    state = torch.load(weights, weights_only=True)
    maps = state.get("attentions.conv.weight")
    made = Network(name) if maps is None else WsDan(name, len(maps))
    network = made.to(memory_format=torch.channels_last)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{weights}: are no weights of {name}") from error
    return network.eval()


def _rotated(picture: np.ndarray) -> np.ndarray:
    side = picture.shape[0]
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), 15, 1)
    return cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_LINEAR)


def _quarter(picture: np.ndarray) -> np.ndarray:
    side = picture.shape[0]
    small = cv2.resize(picture, (side // 4, side // 4), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)


def _noisy(picture: np.ndarray) -> np.ndarray:
    grain = np.random.default_rng(1).normal(0, 25.5, picture.shape)
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


#: Alterations of the crop itself, at the network's size; the bench alters whole pictures.
ALTERED = {
    "blur sigma 2": lambda p: cv2.GaussianBlur(p, (0, 0), 2),
    "JPEG 25": lambda p: jpeg(p, 25),
    "rotated by 15 degrees": _rotated,
    "quarter resolution": _quarter,
    "noise of 10 %": _noisy,
}


def scores(
    network: Network | WsDan,
    pictures: dict[str, tuple[np.ndarray, np.ndarray]],
    *,
    altered: bool = True,
    twice: bool = False,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """kind -> (logits of reals, of fakes), mirrored views averaged in, with `twice` (WS-DAN only)
    second looks, too; pictures as by heldout."""

    def score(pictures: np.ndarray) -> np.ndarray:
        return logits(network, pictures, flip=True, twice=twice)

    result = {}
    for kind, (real, fake) in pictures.items():
        result[kind] = (score(real), score(fake))
        if kind == "composite" and altered:
            for name, change in ALTERED.items():
                pair = (np.stack([change(p) for p in real]), np.stack([change(p) for p in fake]))
                result[f"composite, {name}"] = (score(pair[0]), score(pair[1]))
    return result


def table(
    weights: Path, name: str, cache: Path, part: int, size: int, *, twice: bool = False
) -> None:
    """Print one row a kind: counts, AUC, 95 % interval, log loss. ValueError if `twice` is asked
    of a network without attention maps."""
    network = network_of(weights, name)
    if twice and not isinstance(network, WsDan):
        raise ValueError(f"{weights}: has no attention maps to look twice by")
    pictures = heldout.load(cache, part, size)
    for kind, (real, fake) in scores(network, pictures, twice=twice).items():
        low, high = metrics.interval(real, fake)
        print(
            f"{kind:34} {len(real):4} real {len(fake):4} fake  AUC {metrics.auc(real, fake):.3f}"
            f" [{low:.3f}, {high:.3f}]  log loss {metrics.log_loss(real, fake):.3f}",
            flush=True,
        )
