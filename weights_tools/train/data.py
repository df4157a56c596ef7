"""Batches of pairs: every fake beside a real of the same source or kind.

Called by loop.py, in loader processes. A batch is a function of (seed, step) and nothing else,
so that a resumed run sees what an uninterrupted one would have seen. Kinds of pairs:

    blend      a real and its self-blended copy (forge.self_blend)
    swap       a real and the same with another person's face or parts, quick blending
    poisson    the same, solved with Poisson blending beforehand (prepare.py)
    recon      a real and what an autoencoder made of it, soft (autoencoders.py)
    fine       the same by autoencoders that keep more, as sharp as the real
    graft      a real and the same with a face drawn by such an autoencoder at a low resolution:
               its own, another person's or a generated portrait's
    composite  a composite by hand (CIPLAB) and a real of that set
    portrait   a diffusion portrait and a photograph, brought to the same face size
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from . import autoencoders, forge, masks, sets
from .augment import MARGIN, History

KINDS = ("blend", "swap", "poisson", "recon", "composite", "portrait", "fine", "graft")
_SAME_SOURCE = ("blend", "swap", "poisson", "recon", "fine", "graft")
#: Whose face a graft brings: the target's own, another person's, a generated portrait's.
_GRAFTED = {"own": 0.4, "other": 0.35, "portrait": 0.25}


class Pairs(torch.utils.data.Dataset):
    """Batch number `step` of a recipe's phase: uint8 [2 * pairs, size, size, 3], targets
    float32 [2 * pairs], even places real, odd places fake (or their mixture)."""

    def __init__(
        self,
        cache: Path,
        shares: dict[str, float],
        reals: dict[str, float],
        *,
        seed: tuple[int, ...],
        pairs: int,
        size: int,
        steps: range,
        mixup: float,
        strength: float,
        harsh: bool = False,
        part: int = sets.TRAIN,
    ) -> None:
        unknown = [k for k in shares if k not in KINDS]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no kind of pair: {', '.join(KINDS)}")
        self.seed, self.pairs, self.size, self.steps = seed, pairs, size, steps
        self.mixup, self.strength, self.harsh = mixup, strength, harsh
        self.kinds = [k for k in shares if shares[k] > 0]
        self.weights = np.array([shares[k] for k in self.kinds])
        self.weights /= self.weights.sum()
        self.sets = {n: sets.load(cache, n) for n in sets.SETS}
        self.places = {n: s.indices(part) for n, s in self.sets.items()}
        self.shaped = {
            n: np.array([i for i in p if masks.usable(self.sets[n].landmarks[i])])
            for n, p in self.places.items()
        }
        self.reals = list(reals)
        self.real_weights = np.array([reals[n] for n in self.reals])
        self.real_weights /= self.real_weights.sum()
        self.made = {
            k: np.load(cache / f"{k}.npz") for k in ("recon", "fine", "poisson") if k in self.kinds
        }
        self.made = {k: {f: v[f] for f in v.files} for k, v in self.made.items()}
        self.decoders = autoencoders.decoders(cache) if "graft" in self.kinds else []

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        step = self.steps[number]
        rng = np.random.default_rng([*self.seed, step])
        shape = (2 * self.pairs, self.size, self.size, 3)
        images, targets = np.empty(shape, np.uint8), np.empty(2 * self.pairs, np.float32)
        kinds = rng.choice(len(self.kinds), self.pairs, p=self.weights)
        for i, kind in enumerate(kinds):
            name = self.kinds[kind]
            real, fake = self.pair(name, rng)
            target = 1.0
            if name in _SAME_SOURCE and rng.random() < self.mixup:
                target = float(rng.beta(0.5, 0.5))
                mixed = real + (fake.astype(np.float32) - real) * target
                fake = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)
            images[2 * i], images[2 * i + 1] = real, fake
            targets[2 * i], targets[2 * i + 1] = 0, target
        labels = torch.from_numpy(np.array([KINDS.index(self.kinds[k]) for k in kinds]))
        return torch.from_numpy(images), torch.from_numpy(targets), labels

    def pair(self, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(real, fake) as the network sees them, of one kind."""
        history = History.draw(rng, self.strength, harsh=self.harsh)
        if kind in ("composite", "portrait"):
            names = {
                "composite": ("ciplab-real", "ciplab-fake"),
                "portrait": ("ffhq-real", "sd3-fake"),
            }
            members = []
            for name in names[kind]:
                index = int(rng.choice(self.places[name]))
                pictures = self.sets[name]
                members.append((pictures.pictures[index], pictures.box[index]))
            # The smaller crop's size for both, so that sharpness does not tell them apart.
            least = min(history.side(*member) for member in members)
            if kind == "portrait":
                history.share = max(history.share, min(1.0, 72 / least))
        else:
            members = self._same_source(kind, rng)
            least = history.side(*members[0])
        small = max(40, round(least * history.share))
        size = self.size
        return history.apply(*members[0], small, size), history.apply(*members[1], small, size)

    def _same_source(
        self, kind: str, rng: np.random.Generator
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """[(real, box), (fake, box)], two pictures of one size."""
        if kind in self.made:
            made = self.made[kind]
            row = int(rng.integers(len(made["box"])))
            if kind in ("recon", "fine"):
                side = made["side"][row]
                real, fake = (made[n][row, :side, :side] for n in ("real", "fake"))
                if kind == "fine" and rng.random() < 0.7:  # its colours alone would tell
                    fake = forge.match_colours(fake, real, np.ones(real.shape[:2], np.float32))
                return [(real, made["box"][row]), (fake, made["box"][row])]
            pictures = self.sets[str(made["source"][row])]
            index = int(made["index"][row])
            fake = made[f"fake-{pictures.name}"][made["row"][row]]
            return [(pictures.pictures[index], pictures.box[index]), (fake, pictures.box[index])]
        name = str(rng.choice(self.reals, p=self.real_weights))
        if kind == "blend":
            real, box, landmarks = self.around(name, int(rng.choice(self.shaped[name])))
            target, fake = forge.self_blend(real, landmarks, rng)
            return [(target, box), (fake, box)]
        if kind == "graft":
            return self._graft(name, rng)
        shaped = self.shaped[name]
        place = int(rng.integers(len(shaped)))
        real, box, landmarks = self.around(name, int(shaped[place]))
        other, marks = self._other(name, place, name, rng)
        return [
            (real, box),
            (forge.swap(other, marks, real, landmarks, rng, poisson=False), box),
        ]

    def _other(
        self, name: str, place: int, source: str, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """A face of the set `source`, the likest of four to face number `place` of `name`."""
        marks = self.sets[source].landmarks[self.shaped[source]]
        others = rng.permutation(len(marks))[:5]
        if source == name:
            others = others[others != place]
            chosen = forge.likest(marks, place, others[:4])
        else:
            target = self.sets[name].landmarks[self.shaped[name][place]]
            chosen = forge.likest(np.concatenate([marks, target[None]]), len(marks), others[:4])
        picture, _, landmarks = self.around(source, int(self.shaped[source][chosen]))
        return picture, landmarks

    def _graft(self, name: str, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
        place = int(rng.integers(len(self.shaped[name])))
        real, box, landmarks = self.around(name, int(self.shaped[name][place]))
        whose = str(rng.choice(list(_GRAFTED), p=list(_GRAFTED.values())))
        # A large portrait's face beside a soft, small picture would only show as too sharp.
        if whose == "own" or (whose == "portrait" and name == "utk-real"):
            other, marks = real, landmarks
        else:
            other, marks = self._other(
                name, place, "sd3-fake" if whose == "portrait" else name, rng
            )
        # A generated face is a fake as it is, so half of them are not drawn anew.
        plain = rng.random() < (0.5 if whose == "portrait" else 0.2)
        decoder = None if plain else self.decoders[int(rng.integers(len(self.decoders)))]
        return [(real, box), (forge.graft(other, marks, real, landmarks, decoder, rng), box)]

    def around(self, name: str, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The part of a picture that any crop of its face can show; box and landmarks in it."""
        pictures = self.sets[name]
        box = pictures.box[index]
        picture = pictures.pictures[index]
        reach = max(box[2], box[3]) * MARGIN * 0.8
        x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
        left, top = int(max(0, x - reach)), int(max(0, y - reach))
        right, bottom = int(min(picture.shape[1], x + reach)), int(min(picture.shape[0], y + reach))
        moved = box - np.array([left, top, 0, 0], np.float32)
        marks = pictures.landmarks[index] - np.array([left, top], np.float32)
        return np.ascontiguousarray(picture[top:bottom, left:right]), moved, marks
