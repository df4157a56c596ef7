"""Held-out pictures as folders, for the evaluator that asks libdfnet.

Called by the command `pictures`. KIND/real and KIND/fake get links to nothing: copies in PNG, so
that both classes have the same, lossless last step. Training pictures never go there.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from . import sets

_KINDS = {
    "composite": ("ciplab-real", "ciplab-fake"),
    "portrait": ("ffhq-real", "sd3-fake"),
}


def pictures(cache: Path, part: int, out: Path) -> dict[str, int]:
    """Write them; folder -> number of pictures. Pictures without a face are there, too."""
    counts = {}
    for kind, names in _KINDS.items():
        for label, name in zip(("real", "fake"), names, strict=True):
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
