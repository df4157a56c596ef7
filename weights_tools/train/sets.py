"""Picture sets on disk: decoding once, faces found once, and the split into three parts.

`prepare` reads the folder of faces and writes one pair of files a set into the cache:

    NAME.npy   uint8 [n, height, width, 3], RGB, every picture as it was decoded
    NAME.npz   names [n], label [n], part [n], group [n], box [n, 4] (x, y, w, h),
               landmarks [n, 5, 2], found [n] (0: no face; the box is then the middle of it)

Parts are 0 train, 1 validation, 2 test, drawn from a hash of the group's name, so that they stay
as they are when pictures come or go. A group is one picture, or several that show the same
photograph (see `same_photographs`): these must not be on two sides of a split.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from .faces import Detector

TRAIN, VALIDATION, TEST = 0, 1, 2
PARTS = ("train", "validation", "test")

#: set -> (folder below the faces folder, label, most pictures, share for validation and test)
SETS: dict[str, tuple[str, int, int, tuple[float, float]]] = {
    "ciplab-real": ("ciplab/real", 0, 10_000, (0.15, 0.15)),
    "ciplab-fake": ("ciplab/fake", 1, 10_000, (0.15, 0.15)),
    "ffhq-real": ("ffhq/real", 0, 10_000, (0.15, 0.15)),
    "sd3-fake": ("sd3/fake", 1, 10_000, (0.15, 0.15)),
    "utk-real": ("utk/real", 0, 4_000, (0.08, 0.08)),
}


@dataclass
class PictureSet:
    """One prepared set; `pictures` is mapped from disk and never written."""

    name: str
    label: int
    pictures: np.ndarray
    names: np.ndarray
    part: np.ndarray
    group: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    found: np.ndarray

    def indices(self, part: int) -> np.ndarray:
        """Indices of the pictures of `part` in which a face was found."""
        return np.flatnonzero((self.part == part) & (self.found > 0))


def load(cache: Path, name: str) -> PictureSet:
    """A prepared set; FileNotFoundError says that `prepare` has not run."""
    facts = np.load(cache / f"{name}.npz")
    return PictureSet(
        name=name,
        label=int(facts["label"][0]),
        pictures=np.load(cache / f"{name}.npy", mmap_mode="r"),
        **{k: facts[k] for k in ("names", "part", "group", "box", "landmarks", "found")},
    )


def part_of(group: str, shares: tuple[float, float]) -> int:
    """The part of a group, from a hash of its name: the same in every run and on every machine."""
    number = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") / 2**64
    if number < shares[1]:
        return TEST
    return VALIDATION if number < shares[0] + shares[1] else TRAIN


def read_picture(path: Path) -> np.ndarray:
    """RGB [h, w, 3] uint8; ValueError if it cannot be decoded."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path}: cannot be decoded")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """Grey 16 x 16, mean 0, length 1: dot products are correlations."""
    grey = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (16, 16), interpolation=3)
    vector = grey.astype(np.float32).ravel()
    vector -= vector.mean()
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def same_photographs(thumbnails: np.ndarray, least: float) -> np.ndarray:
    """Group number [n]: pictures whose thumbnails correlate by `least` or more, transitively."""
    parent = np.arange(len(thumbnails))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    similar = thumbnails @ thumbnails.T >= least
    for a, b in np.argwhere(np.triu(similar, 1)):
        parent[root(int(b))] = root(int(a))
    return np.array([root(i) for i in range(len(parent))])


def prepare(faces: Path, cache: Path, names: list[str]) -> None:
    """Decode, find faces, split; see the head of this file. Sets of one family share groups."""
    cache.mkdir(parents=True, exist_ok=True)
    detector = Detector()
    for name in names:
        folder, label, most, _ = SETS[name]
        files = sorted((faces / folder).iterdir())
        # A large set is thinned by hash, not by name: names are sorted by age there.
        files = sorted(files, key=lambda f: hashlib.sha256(f.name.encode()).digest())[:most]
        pictures, box, landmarks, found = [], [], [], []
        for file in tqdm(files, desc=name, mininterval=5):
            picture = read_picture(file)
            seen = detector.faces(picture)
            height, width = picture.shape[:2]
            if seen:
                box.append(seen[0].box)
                landmarks.append(seen[0].landmarks)
            else:
                middle = [width * 0.2, height * 0.15, width * 0.6, height * 0.7]
                box.append(np.array(middle, np.float32))
                landmarks.append(np.zeros((5, 2), np.float32))
            found.append(1 if seen else 0)
            pictures.append(picture)
        shapes = {p.shape for p in pictures}
        if len(shapes) != 1:
            raise ValueError(f"{name}: pictures of several sizes: {sorted(shapes)[:4]}")
        np.save(cache / f"{name}.npy", np.stack(pictures))
        np.savez(
            cache / f"{name}.npz",
            names=np.array([f.name for f in files]),
            label=np.full(len(files), label),
            box=np.stack(box),
            landmarks=np.stack(landmarks),
            found=np.array(found),
        )


def split(cache: Path, families: list[list[str]], least: float = 0.97) -> dict[str, list[int]]:
    """Write part and group into the sets' facts; counts per set: [train, validation, test].

    A family is a list of sets whose pictures may show the same photographs.
    """
    counts: dict[str, list[int]] = {}
    for family in families:
        facts = {name: dict(np.load(cache / f"{name}.npz")) for name in family}
        thumbnails = np.concatenate(
            [
                np.stack([thumbnail(p) for p in np.load(cache / f"{name}.npy", mmap_mode="r")])
                for name in family
            ]
        )
        labels = np.concatenate([[f"{name}/{n}" for n in facts[name]["names"]] for name in family])
        groups = same_photographs(thumbnails, least)
        start = 0
        for name in family:
            n = len(facts[name]["names"])
            own = [str(labels[g]) for g in groups[start : start + n]]
            part = np.array([part_of(g, SETS[name][3]) for g in own])
            np.savez(
                cache / f"{name}.npz", **(facts[name] | {"group": np.array(own), "part": part})
            )
            counts[name] = [int((part == p).sum()) for p in range(3)]
            start += n
    return counts
