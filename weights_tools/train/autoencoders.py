"""Generator-like fakes without a generator: real faces passed through small autoencoders.

Called by `prepare`. A generator leaves traces of how it makes a large picture from a small one:
by repeating pixels, by bilinear interpolation or by transposed convolutions, each followed by
convolutions. Three autoencoders, one of each kind, are trained on real training faces for a few
minutes; what they make of a real face is a fake whose real counterpart shows the same person in
the same light. The later steps of each also please a small patch discriminator.

There are two sets of three. "recon" squeezes to an eighth of the size and comes out soft: alone it
teaches that soft is fake. "fine" squeezes to a quarter, and its fakes are sharpened until their
fine detail is as strong as the real's, so that only the kind of detail is left to tell.

Written to the cache: recon.npz and fine.npz with real, fake uint8 [n, 256, 256, 3] (the upper left
`side` pixels count), side [n], kind [n] (0 nearest, 1 bilinear, 2 transposed), box [n, 4],
landmarks [n, 5, 2], source [n] (set name), index [n] (in that set).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as functional
from torch import nn
from tqdm import tqdm

from . import forge, sets

KINDS = ("nearest", "bilinear", "transposed")
LARGEST = 256
_SIDES = (128, 160, 192, 224, 256)


@dataclass(frozen=True)
class Plan:
    """One set of three: widths of the layers that halve the size, channels between encoder and
    decoder, side of the training crops, whether the detail is made as strong as the real's."""

    widths: tuple[int, ...]
    latent: int
    side: int
    sharpen: bool


PLANS = {
    "recon": Plan((16, 32, 48), 24, 96, False),
    "fine": Plan((24, 48), 16, 64, True),
}
_MARGIN = 1.9  # side of the square around the face, in longer sides of its box


class Autoencoder(nn.Module):
    """To a fraction of the size and back; input and output [n, 3, h, w] in [-1, 1]."""

    def __init__(self, kind: str, plan: Plan) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"autoencoder {kind!r} is none of {', '.join(KINDS)}")

        def down(a: int, b: int) -> list[nn.Module]:
            return [nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.2)]

        def up(a: int, b: int) -> list[nn.Module]:
            if kind == "transposed":
                return [nn.ConvTranspose2d(a, b, 4, 2, 1), nn.LeakyReLU(0.2)]
            grow = nn.Upsample(scale_factor=2, mode=kind)
            return [grow, nn.Conv2d(a, b, 3, padding=1), nn.LeakyReLU(0.2)]

        widths = plan.widths
        encode = [m for a, b in zip((3, *widths), widths, strict=False) for m in down(a, b)]
        self.encode = nn.Sequential(*encode, nn.Conv2d(widths[-1], plan.latent, 3, padding=1))
        steps = zip((widths[-1], *widths[::-1]), widths[::-1], strict=False)
        self.decode = nn.Sequential(
            nn.Conv2d(plan.latent, widths[-1], 3, padding=1),
            nn.LeakyReLU(0.2),
            *[m for a, b in steps for m in up(a, b)],
            nn.Conv2d(widths[0], 3, 3, padding=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(x))


def _critic() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(16, 32, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(32, 1, 3, padding=1),
    )


def _detail(x: torch.Tensor) -> torch.Tensor:
    return x - functional.avg_pool2d(x, 3, 1, 1)


@dataclass(frozen=True)
class Source:
    """A square face crop [side, side, 3] with where its face is."""

    crop: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    set: str
    index: int


def face_square(
    pictures: sets.PictureSet, index: int, margin: float, side: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crop, box and landmarks of a square around the face, area-resized to `side`."""
    picture = pictures.pictures[index]
    x, y, w, h = pictures.box[index]
    length = max(w, h) * margin
    height, width = picture.shape[:2]
    left = int(max(0, round(x + w / 2 - length / 2)))
    top = int(max(0, round(y + h / 2 - length / 2)))
    edge = int(min(round(length), width - left, height - top))
    crop = cv2.resize(
        np.ascontiguousarray(picture[top : top + edge, left : left + edge]),
        (side, side),
        interpolation=cv2.INTER_AREA,
    )
    scale = side / edge
    box = np.array([(x - left) * scale, (y - top) * scale, w * scale, h * scale], np.float32)
    return crop, box, (pictures.landmarks[index] - (left, top)) * scale


def train(kind: str, plan: Plan, crops: np.ndarray, steps: int, seed: int) -> Autoencoder:
    """An autoencoder of `kind` for crops uint8 [n, side, side, 3]."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network, critic = Autoencoder(kind, plan), _critic()
    optimiser = torch.optim.Adam(network.parameters(), 2e-3, betas=(0.5, 0.99))
    opponent = torch.optim.Adam(critic.parameters(), 1e-3, betas=(0.5, 0.99))
    for step in tqdm(range(steps), desc=f"autoencoder {kind}", mininterval=5):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * (1 - step / steps) + 1e-4
        batch = crops[rng.integers(len(crops), size=8)]
        if rng.random() < 0.5:
            batch = batch[:, :, ::-1]
        x = torch.from_numpy(batch.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1)
        y = network(x)
        loss = functional.l1_loss(y, x) + 2 * functional.l1_loss(_detail(y), _detail(x))
        if step > steps * 0.5:
            loss = loss - 0.02 * critic(y).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step > steps * 0.45:
            judged = functional.relu(1 - critic(x)).mean()
            judged = judged + functional.relu(1 + critic(y.detach())).mean()
            opponent.zero_grad()
            judged.backward()
            opponent.step()
    return network.eval()


def reconstruct(network: Autoencoder, crop: np.ndarray) -> np.ndarray:
    """What the autoencoder makes of a crop whose sides are multiples of 8."""
    with torch.inference_mode():
        x = torch.from_numpy(crop.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1)
        y = ((network(x)[0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return y.numpy().transpose(1, 2, 0)


def as_sharp(picture: np.ndarray, model: np.ndarray, most: float = 3.0) -> np.ndarray:
    """`picture` with its fine detail amplified, at most `most` times, to the strength of the
    detail of `model`; softer ones only."""
    soft = cv2.GaussianBlur(picture, (0, 0), 1.2).astype(np.float32)
    detail = picture - soft
    wanted = float((model - cv2.GaussianBlur(model, (0, 0), 1.2).astype(np.float32)).std())
    gain = min(max(wanted / max(float(detail.std()), 1e-3), 1.0), most)
    return np.clip(soft + gain * detail + 0.5, 0, 255).astype(np.uint8)


def load(cache: Path, name: str, kind: str) -> Autoencoder:
    """A trained one of the set `name`."""
    network = Autoencoder(kind, PLANS[name])
    state = torch.load(cache / f"autoencoder-{name}-{kind}.pth", weights_only=True)
    network.load_state_dict(state)
    return network.eval()


def decoders(cache: Path) -> list[forge.Decoder]:
    """All that the cache holds, as forge.graft wants them; loader processes can be sent them."""
    return [partial(reconstruct, load(cache, n, k)) for n in PLANS for k in KINDS]


def fake_of(network: Autoencoder, plan: Plan, crop: np.ndarray) -> np.ndarray:
    """The fake that a set's autoencoder makes of a crop."""
    made = reconstruct(network, crop)
    return as_sharp(made, crop) if plan.sharpen else made


def prepare(cache: Path, name: str, *, steps: int, each: int, seed: int) -> None:
    """Train the three of the set `name` and write NAME.npz: `each` fakes of every kind."""
    rng, plan = np.random.default_rng(seed), PLANS[name]
    loaded = [sets.load(cache, n) for n in ("ciplab-real", "ffhq-real", "utk-real")]
    places = [(s, int(i)) for s in loaded[:2] for i in s.indices(sets.TRAIN)]
    soft = [(loaded[2], int(i)) for i in loaded[2].indices(sets.TRAIN)]
    crops = np.stack([face_square(s, i, 1.6, plan.side)[0] for s, i in places + soft[:300]])
    names = ("real", "fake", "side", "kind", "box", "landmarks", "source", "index")
    columns: dict[str, list[object]] = {n: [] for n in names}
    for number, kind in enumerate(KINDS):
        network = train(kind, plan, crops, steps, seed + number)
        torch.save(network.state_dict(), cache / f"autoencoder-{name}-{kind}.pth")
        chosen = [places[i] for i in rng.permutation(len(places))[: each * 3 // 4]]
        chosen += [soft[i] for i in rng.permutation(len(soft))[: each - len(chosen)]]
        for pictures, index in tqdm(chosen, desc=f"reconstruct {kind}", mininterval=5):
            side = int(rng.choice(_SIDES[:2] if pictures.name == "utk-real" else _SIDES))
            crop, box, landmarks = face_square(pictures, index, _MARGIN, side)
            pad = ((0, LARGEST - side), (0, LARGEST - side), (0, 0))
            row = (
                np.pad(crop, pad),
                np.pad(fake_of(network, plan, crop), pad),
                side,
                number,
                box,
                landmarks,
                pictures.name,
                index,
            )
            for column, value in zip(names, row, strict=True):
                columns[column].append(value)
    np.savez(cache / f"{name}.npz", **{k: np.array(v) for k, v in columns.items()})
