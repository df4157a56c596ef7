"""A small prepared cache of drawn faces for the tests of weights_tools.train.

Called by test_train_*.py. The faces are ellipses with eyes, nose and mouth in random places and
colours: no person, but enough for landmarks, masks, blends and a step of training.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

SIDES = {
    "ciplab-real": 128,
    "ciplab-fake": 128,
    "ffhq-real": 144,
    "sd3-fake": 144,
    "utk-real": 96,
}
_COUNT = 18


def face(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(picture, box, landmarks) of one drawn face."""
    background = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
    picture = cv2.resize(background, (side, side), interpolation=cv2.INTER_CUBIC)
    middle = side * (0.5 + rng.uniform(-0.05, 0.05, 2))
    half = side * rng.uniform(0.24, 0.3)
    skin = tuple(int(v) for v in rng.integers(90, 220, 3))
    where = tuple(int(v) for v in middle)
    cv2.ellipse(picture, where, (int(half), int(half * 1.25)), 0, 0, 360, skin, -1)
    offsets = np.array([[-0.4, -0.3], [0.4, -0.3], [0, 0.1], [-0.3, 0.5], [0.3, 0.5]])
    marks = (middle + offsets * half + rng.normal(0, 0.6, (5, 2))).astype(np.float32)
    for x, y in marks:
        cv2.circle(picture, (int(x), int(y)), max(2, side // 40), (20, 20, 40), -1)
    noise = rng.normal(0, 3, picture.shape)
    picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    box = np.array([*(middle - half * np.array([1, 1.25])), 2 * half, 2.5 * half], np.float32)
    return picture, box, marks


def make(cache: Path) -> None:
    """Write every set; a third of each goes to each part."""
    cache.mkdir(parents=True, exist_ok=True)
    for number, (name, side) in enumerate(SIDES.items()):
        rng = np.random.default_rng(number)
        pictures, boxes, marks = zip(*(face(rng, side) for _ in range(_COUNT)), strict=True)
        np.save(cache / f"{name}.npy", np.stack(pictures))
        np.savez(
            cache / f"{name}.npz",
            names=np.array([f"{i}.jpg" for i in range(_COUNT)]),
            label=np.full(_COUNT, int(name.endswith("fake"))),
            part=np.arange(_COUNT) % 3,
            group=np.array([f"{name}/{i}" for i in range(_COUNT)]),
            box=np.stack(boxes),
            landmarks=np.stack(marks),
            found=np.ones(_COUNT, int),
        )
