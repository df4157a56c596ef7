"""A clip of two people that tests make of the committed face crops: who is where at any time is
known, so that tracks can be checked.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WIDTH, HEIGHT, RATE = 640, 360, 25

# Centre (x, y) at a time in seconds; None: not in the picture.
Way = Callable[[float], tuple[float, float] | None]


@dataclass
class Person:
    """A face crop of `side` pixels, uint8 [side, side, 3], and where its centre is."""

    face: np.ndarray
    way: Way

    @property
    def side(self) -> int:
        return len(self.face)


def resize(picture: np.ndarray, side: int) -> np.ndarray:
    """uint8 [h, w, 3] to [side, side, 3]: means of what falls into each pixel."""
    height, width = picture.shape[:2]
    out = np.empty((side, side, 3), np.uint8)
    rows = [picture[y * height // side : max(y * height // side + 1, (y + 1) * height // side)]
            for y in range(side)]  # fmt: skip
    for y, row in enumerate(rows):
        for x in range(side):
            a, b = x * width // side, (x + 1) * width // side
            out[y, x] = row[:, a : max(a + 1, b)].mean(axis=(0, 1))
    return out


def between(points: list[tuple[float, float, float] | None]) -> Way:
    """Straight ways from (seconds, x, y) to the next; None between two: not there."""

    def way(t: float) -> tuple[float, float] | None:
        for a, b in zip(points, points[1:], strict=False):
            if a and b and a[0] <= t <= b[0]:
                share = (t - a[0]) / (b[0] - a[0])
                return a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2])
        return None

    return way


def draw(people: list[Person], t: float) -> np.ndarray:
    """uint8 [HEIGHT, WIDTH, 3]; later ones stand in front of earlier ones."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    frame = np.stack([90 + x // 16, 100 + y // 8, 120 + (x + y) // 32], -1).astype(np.uint8)
    for person in people:
        centre = person.way(t)
        if not centre:
            continue
        left, top = (round(c - person.side / 2) for c in centre)
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + person.side, WIDTH), min(top + person.side, HEIGHT)
        if x0 < x1 and y0 < y1:
            frame[y0:y1, x0:x1] = person.face[y0 - top : y1 - top, x0 - left : x1 - left]
    return frame


def film(ffmpeg: str, path: Path, people: list[Person], seconds: float) -> None:
    """Writes the clip, H.264."""
    command = [ffmpeg, "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24",
               "-s", f"{WIDTH}x{HEIGHT}", "-r", str(RATE), "-i", "-", "-pix_fmt", "yuv420p",
               "-crf", "18", "-preset", "veryfast", str(path)]  # fmt: skip
    frames = [draw(people, i / RATE).tobytes() for i in range(round(seconds * RATE))]
    subprocess.run(command, input=b"".join(frames), check=True)
