"""Labelled pictures in folders, and the one preparation that all of them get.

Called by commands.py, bench.py and control.py. A picture's label is the innermost folder named
`real` or `fake` above it. Its key, from which everything random about it follows, is its path
below the searched folder without that name: `set/real/07.jpg` and `set/fake/07.jpg` are altered
alike.

Two classes that went through different hands differ in size and in the traces of their codec,
and a model may tell them apart by that alone. So every picture is scaled to at most the same
side, altered or not, and encoded once more as a JPEG of one quality.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np

from ..errors import InputRefused
from .alterations import decode, encode, seed_of

_PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".pnm"}
_CLIPS = {".mp4", ".avi", ".mov", ".mkv", ".webm"}
_LABELS = {"real": False, "fake": True}


@dataclass(frozen=True)
class Picture:
    """One labelled file."""

    path: str
    key: str
    fake: bool


@dataclass
class Found:
    """What lies in the folders."""

    pictures: list[Picture] = field(default_factory=list)
    clips: list[Picture] = field(default_factory=list)
    unlabelled: int = 0
    other: int = 0


def find(root: str, label: bool | None = None) -> Found:
    """The pictures and clips below `root` in their paths' order; symbolic links are followed.

    With `label` all of them have it, whatever their folders are called.
    """
    found = Found()
    if not os.path.isdir(root):
        raise InputRefused(f"{root}: is not a folder")
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        # A link to a folder above would go round in circles.
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for name in sorted(files):
            _sort_in(found, root, folder, name, label)
    return found


def _sort_in(found: Found, root: str, folder: str, name: str, label: bool | None) -> None:
    ending = os.path.splitext(name)[1].lower()
    if ending not in _PICTURES | _CLIPS:
        found.other += 1
        return
    parts = os.path.relpath(os.path.join(folder, name), root).split(os.sep)
    if label is None:
        places = [i for i, part in enumerate(parts[:-1]) if part in _LABELS]
        if not places:
            found.unlabelled += 1
            return
        label = _LABELS[parts.pop(places[-1])]
    kind = found.clips if ending in _CLIPS else found.pictures
    kind.append(Picture(os.path.join(folder, name), "/".join(parts), label))


def limited(pictures: Iterable[Picture], limit: int) -> list[Picture]:
    """At most `limit` of each class (0: all), chosen by the hashes of their keys."""
    chosen = list(pictures)
    if limit:
        rank = {p: (seed_of(p.key, "limit", 0), p.key, p.path) for p in chosen}
        for fake in (False, True):
            group = sorted((p for p in chosen if p.fake == fake), key=rank.__getitem__)
            dropped = set(group[limit:])
            chosen = [p for p in chosen if p not in dropped]
    return chosen


@dataclass(frozen=True)
class Preparation:
    """What is done to every picture, altered or not."""

    side: int = 0  # the longer side is at most this; 0: as it is
    quality: int = 90  # of the JPEG that each picture finally becomes; 0: none

    def begin(self, pixels: np.ndarray) -> np.ndarray:
        """Before the alteration."""
        longer = max(pixels.shape[:2])
        if not self.side or longer <= self.side:
            return pixels
        height, width = (max(1, round(n * self.side / longer)) for n in pixels.shape[:2])
        return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)

    def end(self, pixels: np.ndarray) -> np.ndarray:
        """After it."""
        return decode(encode(pixels, self.quality)) if self.quality else pixels
