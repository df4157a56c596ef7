"""The validation and test pictures, each kind of fake beside reals prepared alike.

Called by loop.py (validation) and measure.py (test). Nothing is random: the same cache gives the
same pictures. `load` returns kind -> (real, fake), uint8 [n, size, size, 3], as the network sees
them at inference.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from . import autoencoders, forge, masks, sets, swaps
from .augment import MARGIN, crop_square, face_crop

#: Side in pixels that the face crops of portraits and photographs are both brought to.
_PORTRAIT_SIDE = 120


def _crops(pictures: sets.PictureSet, places: np.ndarray, size: int) -> np.ndarray:
    return np.stack([face_crop(pictures.pictures[i], pictures.box[i], size) for i in places])


def _matched(pictures: sets.PictureSet, places: np.ndarray, size: int) -> np.ndarray:
    result = []
    for i in places:
        x, y, w, h = crop_square(pictures.pictures[i].shape, pictures.box[i], MARGIN)
        crop = np.ascontiguousarray(pictures.pictures[i][y : y + h, x : x + w])
        side = min(_PORTRAIT_SIDE, max(w, h))
        small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
        result.append(cv2.resize(small, (size, size), interpolation=cv2.INTER_AREA))
    return np.stack(result)


def _blends(
    pictures: sets.PictureSet, places: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    real, fake = [], []
    for i in places:
        if masks.usable(pictures.landmarks[i]):
            picture = np.ascontiguousarray(pictures.pictures[i])
            target, blended = forge.self_blend(picture, pictures.landmarks[i], rng)
            real.append(face_crop(target, pictures.box[i], size))
            fake.append(face_crop(blended, pictures.box[i], size))
    return np.stack(real), np.stack(fake)


def _swaps(
    pictures: sets.PictureSet, places: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    shaped = np.array([i for i in places if masks.usable(pictures.landmarks[i])])
    fakes, targets = swaps.make(pictures, shaped, len(shaped), rng)
    fake = [face_crop(f, pictures.box[t], size) for f, t in zip(fakes, targets, strict=True)]
    return _crops(pictures, targets, size), np.stack(fake)


def _recons(
    cache: Path, name: str, pictures: sets.PictureSet, places: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    real, fake = [], []
    plan = autoencoders.PLANS[name]
    networks = [autoencoders.load(cache, name, kind) for kind in autoencoders.KINDS]
    for number, i in enumerate(places):
        crop, box, _ = autoencoders.face_square(pictures, int(i), 1.9, 256)
        made = autoencoders.fake_of(networks[number % len(networks)], plan, crop)
        real.append(face_crop(crop, box, size))
        fake.append(face_crop(made, box, size))
    return np.stack(real), np.stack(fake)


def _grafts(
    cache: Path,
    pictures: sets.PictureSet,
    places: np.ndarray,
    size: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Every other face is another person's, the rest the picture's own, drawn by each decoder
    in turn."""
    decoders = autoencoders.decoders(cache)
    shaped = np.array([i for i in places if masks.usable(pictures.landmarks[i])])
    marks, fakes = pictures.landmarks[shaped], []
    for number, target in enumerate(shaped):
        picture = np.ascontiguousarray(pictures.pictures[target])
        other = number
        if number % 2:
            others = rng.permutation(len(shaped))[:7]
            other = forge.likest(marks, number, others[others != number][:6])
        fake = forge.graft(
            np.ascontiguousarray(pictures.pictures[shaped[other]]),
            marks[other],
            picture,
            marks[number],
            decoders[number // 2 % len(decoders)],
            rng,
        )
        fakes.append(face_crop(fake, pictures.box[target], size))
    return _crops(pictures, shaped, size), np.stack(fakes)


def load(cache: Path, part: int, size: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """All kinds for a part; portraits twice: as they are, and at one face size."""
    rng = np.random.default_rng(100 + part)
    loaded = {name: sets.load(cache, name) for name in sets.SETS}
    places = {name: s.indices(part) for name, s in loaded.items()}

    def crops(name: str) -> np.ndarray:
        return _crops(loaded[name], places[name], size)

    def matched(name: str) -> np.ndarray:
        return _matched(loaded[name], places[name], size)

    result = {
        "composite": (crops("ciplab-real"), crops("ciplab-fake")),
        "portrait": (crops("ffhq-real"), crops("sd3-fake")),
        "portrait-matched": (matched("ffhq-real"), matched("sd3-fake")),
        "blend": _blends(loaded["ciplab-real"], places["ciplab-real"], size, rng),
        "swap": _swaps(loaded["ciplab-real"], places["ciplab-real"][:80], size, rng),
    }
    whole = [n for n in autoencoders.PLANS if _made(cache, n)]
    if len(whole) == len(autoencoders.PLANS):
        own = np.random.default_rng(200 + part)  # the kinds above keep their draws
        ciplab = loaded["ciplab-real"]
        result["graft"] = _grafts(cache, ciplab, places["ciplab-real"][:80], size, own)
    for name in whole:
        ffhq = loaded["ffhq-real"]
        result[name] = _recons(cache, name, ffhq, places["ffhq-real"], size)
    return result


def _made(cache: Path, name: str) -> bool:
    return all((cache / f"autoencoder-{name}-{k}.pth").exists() for k in autoencoders.KINDS)
