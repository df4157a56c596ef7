"""Face swaps with Poisson blending, made beforehand because solving the seam takes long.

Called by `prepare`; read by data.py. Written to the cache: poisson.npz with fake-SET uint8
[k, h, w, 3] for each set, row [n] in it, source [n], index [n] of the target, box [n, 4].
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import forge, masks, sets


def make(
    pictures: sets.PictureSet, shaped: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(fakes [count, h, w, 3], indices of their targets); the other face is the likest of six
    (forge.likest)."""
    marks = pictures.landmarks[shaped].astype(np.float64)
    fakes, targets = [], []
    for _ in tqdm(range(count), desc=f"swap {pictures.name}", mininterval=5):
        target = int(rng.integers(len(shaped)))
        others = rng.permutation(len(shaped))[:7]
        others = others[others != target][:6]
        other = forge.likest(marks, target, others)
        fakes.append(
            forge.swap(
                pictures.pictures[shaped[other]],
                pictures.landmarks[shaped[other]],
                np.ascontiguousarray(pictures.pictures[shaped[target]]),
                pictures.landmarks[shaped[target]],
                rng,
                poisson=True,
            )
        )
        targets.append(shaped[target])
    return np.stack(fakes), np.array(targets)


def prepare(
    cache: Path, counts: dict[str, int], *, seed: int, part: int = sets.TRAIN, out: str = "poisson"
) -> None:
    """Write OUT.npz with `counts` swaps inside each set."""
    rng = np.random.default_rng(seed)
    columns: dict[str, list[np.ndarray]] = {k: [] for k in ("row", "source", "index", "box")}
    fakes = {}
    for name, count in counts.items():
        pictures = sets.load(cache, name)
        places = pictures.indices(part)
        shaped = np.array([i for i in places if masks.usable(pictures.landmarks[i])])
        fakes[f"fake-{name}"], targets = make(pictures, shaped, count, rng)
        columns["row"].append(np.arange(count))
        columns["source"].append(np.full(count, name))
        columns["index"].append(targets)
        columns["box"].append(pictures.box[targets])
    np.savez(cache / f"{out}.npz", **fakes, **{k: np.concatenate(v) for k, v in columns.items()})
