"""The twenty alterations at five levels that a picture may have gone through.

Called by `bench` (one picture, one cell at a time) and by the tests. A picture is uint8 RGB
[height, width, 3]; it comes back as a new array, of another width only from `aspect`. Kinds and
ranges follow those of the DeepFake Detection Challenge (blur, codec, geometry, colour, noise,
resolution; overlaid pictures, text, shapes, dots), AugLy's units and DeeperForensics-1.0's levels.

Whatever is drawn at random (a sign, a place, noise) comes from a hash of the picture's key, the
alteration's name and the level: the same file gets the same pixels whoever asks, in whichever
order, and a real and a fake picture of one key are altered alike. Level 1 is the mildest.

Two of the twenty, `h264` and `fps`, need a clip: they have their place and levels in TABLE,
`alter` refuses them, and clips.py does them. There overlays also move: they stay, roll or flash.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

LEVELS = (1, 2, 3, 4, 5)
#: How an overlay behaves in a clip; a name like `overlay_text@roll` asks for one of them.
MOTIONS = ("stay", "roll", "flash")
#: Share of the pictures that the challenge-like mix alters (of the test clips of DFDC).
MIX_SHARE = 0.79

Rng = np.random.RandomState
#: A level's parameter; of overlay_shapes their number and their size.
Value = float | tuple[int, float]
#: (picture, parameter of the level, random numbers) -> altered picture
Change = Callable[[np.ndarray, Any, Rng], np.ndarray]

_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_PAINTS = (_BLACK, _WHITE, (255, 0, 0), (0, 255, 0), (0, 0, 255))
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Alteration:
    """One row of the table. `values` has a parameter for each level, None where none is."""

    name: str
    what: str  # the parameter, for people
    values: tuple[Value | None, ...]
    change: Change | None  # None: on clips only

    @property
    def on_pictures(self) -> bool:
        return self.change is not None

    @property
    def is_overlay(self) -> bool:
        return self.name.startswith("overlay_")

    def levels(self) -> tuple[int, ...]:
        """The levels that exist."""
        return tuple(level for level in LEVELS if self.values[level - 1] is not None)


def seed_of(key: str, name: str, level: int) -> int:
    """32 bits that key, name and level determine."""
    text = f"{key}\0{name}\0{level}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "little")


def random_for(key: str, name: str, level: int) -> Rng:
    """Random numbers of one cell of one picture.

    RandomState, not default_rng: numpy promises that its streams never change.
    """
    return np.random.RandomState(seed_of(key, name, level))


def alter(pixels: np.ndarray, name: str, level: int, key: str) -> np.ndarray:
    """The picture after one alteration; ValueError if there is no such cell on pictures.

    Level 0 is one outside the table: then the name ends in its parameter, `gaussian_blur=2`.
    """
    row, value = lookup(name, level)
    assert row.change
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"a picture is uint8 [height, width, 3], not {pixels.shape}")
    return row.change(np.ascontiguousarray(pixels), value, random_for(key, name, level))


def _row(name: str, clips: bool) -> Alteration:
    """The row of a name without its parameter."""
    base, at, motion = name.partition("@")
    row = BY_NAME.get(base)
    if row is None or (at and not clips):
        raise ValueError(f"there is no alteration {name!r}; there are {', '.join(BY_NAME)}")
    if row.change is None and not clips:
        raise ValueError(f"{base} alters clips, not pictures")
    if at and not (row.is_overlay and motion in MOTIONS):
        raise ValueError(f"{name}: only overlays move, and they {', '.join(MOTIONS)}")
    return row


def lookup(name: str, level: int, clips: bool = False) -> tuple[Alteration, Value]:
    """The row and the parameter of a cell; ValueError if there is none on pictures (clips)."""
    base, equals, text = name.partition("=")
    row = _row(base, clips)
    if bool(equals) != (level == 0):
        raise ValueError(f"{name}: a level is 1 to 5, or 0 with a parameter in the name")
    if equals:
        value = _parse_value(name, text)
        values = [v for v in row.values if isinstance(v, int | float)]
        if len(values) < len(LEVELS):
            raise ValueError(f"{base} has levels only")
        if not min(values) <= value <= max(values):
            raise ValueError(f"{name}: {min(values):g} to {max(values):g} is the levels' range")
        return row, value
    if level not in row.levels():
        raise ValueError(f"{name} has no level {level}")
    return row, row.values[level - 1]  # type: ignore[return-value]


def _parse_value(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name}: {text!r} is not a number")
    return value


def cells(
    names: list[str] | None = None, levels: list[int] | None = None, clips: bool = False
) -> list[tuple[str, int]]:
    """All (name, level) on pictures (on clips), of these names and levels, in the table's order.

    Names with a motion or a parameter follow as they are. ValueError for one that there is not.
    """
    own = [(name, 0) for name in names or [] if "=" in name]
    for name, level in own:
        lookup(name, level, clips)
    for name in names or []:
        _row(name.partition("=")[0], clips)
    wanted = [row.name for row in TABLE if row.on_pictures or clips]
    if names is not None:
        wanted = [name for name in wanted if name in names]
        wanted += [name for name in names if "@" in name and "=" not in name]
    table = [
        (name, level)
        for name in wanted
        for level in BY_NAME[name.partition("@")[0]].levels()
        if levels is None or level in levels
    ]
    return table + own


def mix_cell(key: str, clips: bool = False) -> tuple[str, int] | None:
    """What the challenge-like mix does to a picture: with MIX_SHARE an alteration, else nothing.

    Every alteration is as likely as any other, then every level of it.
    """
    rng = random_for(key, "mix", 0)
    if rng.random_sample() >= MIX_SHARE:
        return None
    rows = [row for row in TABLE if row.on_pictures or clips]
    row = rows[rng.randint(len(rows))]
    levels = row.levels()
    return row.name, levels[rng.randint(len(levels))]


# ---- blur, resolution, codec ----


def _gaussian_blur(pixels: np.ndarray, sigma: float, _rng: Rng) -> np.ndarray:
    return cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)


def _box_blur(pixels: np.ndarray, side: float, _rng: Rng) -> np.ndarray:
    return cv2.blur(pixels, (int(side), int(side)), borderType=cv2.BORDER_REFLECT_101)


def _motion_blur(pixels: np.ndarray, length: float, rng: Rng) -> np.ndarray:
    """Along a line of so many pixels in a random direction."""
    kernel = line_kernel(length, rng.uniform(0, math.pi))
    return cv2.filter2D(pixels, -1, kernel, borderType=cv2.BORDER_REFLECT_101)


def line_kernel(length: float, angle: float) -> np.ndarray:
    """float32 [n, n] that sums to 1: points along a line through the middle, at `angle` radians.

    Each point is shared between its four neighbours, so that no direction is thicker.
    """
    half = math.ceil((length - 1) / 2)
    along = np.linspace(-(length - 1) / 2, (length - 1) / 2, 16 * math.ceil(length))
    kernel = np.zeros((2 * half + 3,) * 2)
    x, y = along * math.cos(angle) + half + 1, along * math.sin(angle) + half + 1
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - left, y - top
    for dy, wy in ((0, 1 - fy), (1, fy)):
        for dx, wx in ((0, 1 - fx), (1, fx)):
            np.add.at(kernel, (top + dy, left + dx), wy * wx)
    return (kernel / kernel.sum()).astype(np.float32)


def _resolution(pixels: np.ndarray, factor: float, _rng: Rng) -> np.ndarray:
    """Shrunk by averaging, enlarged linearly."""
    height, width = pixels.shape[:2]
    small = (max(1, round(width * factor)), max(1, round(height * factor)))
    shrunk = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)


def encode(pixels: np.ndarray, quality: int) -> bytes:
    """JPEG bytes of a picture, chroma at half resolution."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"a picture of {pixels.shape[1]}x{pixels.shape[0]} cannot be a JPEG")
    return data.tobytes()


def decode(data: bytes) -> np.ndarray:
    """Pixels of what `encode` made."""
    return cv2.cvtColor(
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB
    )


def _jpeg(pixels: np.ndarray, quality: float, _rng: Rng) -> np.ndarray:
    return decode(encode(pixels, int(quality)))


# ---- geometry ----


def _rotation(pixels: np.ndarray, degrees: float, rng: Rng) -> np.ndarray:
    """About the middle, to either side; black where nothing was."""
    height, width = pixels.shape[:2]
    angle = degrees * rng.choice((-1, 1))
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    return cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR)


def _flip(pixels: np.ndarray, axis: float, _rng: Rng) -> np.ndarray:
    return np.ascontiguousarray(np.flip(pixels, axis=int(axis)))


def _crop_pad(pixels: np.ndarray, keep: float, _rng: Rng) -> np.ndarray:
    """The middle stays where it is, the rest becomes black."""
    height, width = pixels.shape[:2]
    h, w = max(1, round(height * keep)), max(1, round(width * keep))
    top, left = (height - h) // 2, (width - w) // 2
    out = np.zeros_like(pixels)
    out[top : top + h, left : left + w] = pixels[top : top + h, left : left + w]
    return out


def _aspect(pixels: np.ndarray, stretch: float, _rng: Rng) -> np.ndarray:
    height, width = pixels.shape[:2]
    size = (max(1, round(width * stretch)), height)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)


# ---- colour, noise ----


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _brightness(pixels: np.ndarray, add: float, rng: Rng) -> np.ndarray:
    return _bytes(pixels + 255 * add * float(rng.choice((-1, 1))))


def _contrast(pixels: np.ndarray, factor: float, _rng: Rng) -> np.ndarray:
    return _bytes((pixels - 128.0) * factor + 128.0)


def _saturation(pixels: np.ndarray, factor: float, _rng: Rng) -> np.ndarray:
    """Towards the grey of the same luma (BT.601)."""
    luma = pixels @ np.array((0.299, 0.587, 0.114))
    return _bytes(luma[..., None] * (1 - factor) + pixels * factor)


def _gaussian_noise(pixels: np.ndarray, deviation: float, rng: Rng) -> np.ndarray:
    return _bytes(pixels + 255 * deviation * rng.standard_normal(pixels.shape))


def _salt_pepper(pixels: np.ndarray, share: float, rng: Rng) -> np.ndarray:
    draw = rng.random_sample(pixels.shape[:2])
    out = pixels.copy()
    out[draw < share / 2] = 0
    out[(draw >= share / 2) & (draw < share)] = 255
    return out


# ---- distractors ----


def _overlay_image(pixels: np.ndarray, area: float, rng: Rng) -> np.ndarray:
    """A patch of soft random colours covers so much of the picture."""
    height, width = pixels.shape[:2]
    ratio = rng.uniform(0.5, 2.0)  # width to height, in shares of the picture
    w = min(width, max(1, round(width * math.sqrt(area * ratio))))
    h = min(height, max(1, round(height * math.sqrt(area / ratio))))
    colours = rng.randint(0, 256, (4, 4, 3)).astype(np.uint8)
    top, left = rng.randint(height - h + 1), rng.randint(width - w + 1)
    out = pixels.copy()
    out[top : top + h, left : left + w] = cv2.resize(
        colours, (w, h), interpolation=cv2.INTER_LINEAR
    )
    return out


def _overlay_text(pixels: np.ndarray, height_share: float, rng: Rng) -> np.ndarray:
    """Two lines of 8 to 10 letters and digits whose capitals have this share of the height."""
    out = pixels.copy()
    height, width = pixels.shape[:2]
    font = cv2.FONT_HERSHEY_SIMPLEX
    thickness = max(1, round(height * height_share / 10))
    scale = cv2.getFontScaleFromHeight(font, max(1, round(height * height_share)), thickness)
    for _ in range(2):
        text = "".join(_LETTERS[i] for i in rng.randint(len(_LETTERS), size=rng.randint(8, 11)))
        (w, h), below = cv2.getTextSize(text, font, scale, thickness)
        # It begins inside the picture and may run out of it on the right.
        left = rng.randint(max(1, width - min(w, width) + 1))
        base = rng.randint(min(h, height - 1), max(min(h, height - 1) + 1, height - below))
        colour = tuple(int(c) for c in rng.randint(0, 256, 3))
        cv2.putText(out, text, (left, base), font, scale, colour, thickness, cv2.LINE_AA)
    return out


def _overlay_shapes(pixels: np.ndarray, what: tuple[int, float], rng: Rng) -> np.ndarray:
    """Filled circles and rectangles: how many, and how wide as a share of the width."""
    count, size = what
    out = pixels.copy()
    height, width = pixels.shape[:2]
    side = max(1, round(width * size))
    for _ in range(count):
        x, y = rng.randint(width), rng.randint(height)
        colour = _PAINTS[rng.randint(len(_PAINTS))]
        if rng.randint(2):
            cv2.circle(out, (x, y), max(1, side // 2), colour, cv2.FILLED, cv2.LINE_AA)
        else:
            left, top = x - side // 2, y - side // 2
            cv2.rectangle(out, (left, top), (left + side - 1, top + side - 1), colour, cv2.FILLED)
    return out


def _overlay_dots(pixels: np.ndarray, count: float, rng: Rng) -> np.ndarray:
    """Discs of random colours with a radius of .1 to .5 % of the shorter side."""
    out = pixels.copy()
    height, width = pixels.shape[:2]
    for _ in range(int(count)):
        # In 1/16 pixel, since such a disc may be smaller than one.
        centre = (rng.randint(width * 16), rng.randint(height * 16))
        radius = max(1, round(16 * min(height, width) * rng.uniform(0.001, 0.005)))
        colour = tuple(int(c) for c in rng.randint(0, 256, 3))
        cv2.circle(out, centre, radius, colour, cv2.FILLED, cv2.LINE_AA, 4)
    return out


# name | parameter | levels 1 to 5 | change
_ROWS: tuple[tuple[str, str, tuple[Value | None, ...], Change | None], ...] = (
    ("gaussian_blur", "sigma, pixels", (1, 1.5, 2.2, 2.8, 3.5), _gaussian_blur),
    ("box_blur", "side, pixels", (3, 5, 7, 9, 12), _box_blur),
    ("motion_blur", "length, pixels", (5, 9, 13, 17, 21), _motion_blur),
    ("resolution", "factor", (0.75, 0.5, 0.33, 0.25, 0.17), _resolution),
    ("jpeg", "quality", (80, 60, 40, 25, 10), _jpeg),
    ("h264", "CRF", (23, 28, 32, 36, 40), None),
    ("fps", "frames a second", (24, 20, 15, 10, 5), None),
    ("rotation", "degrees, either way", (5, 10, 15, 20, 30), _rotation),
    ("flip", "axis: 1 left-right, 0 upside down", (1, None, None, None, 0), _flip),
    ("brightness", "+ or -, of 1", (0.05, 0.1, 0.15, 0.2, 0.3), _brightness),
    ("contrast", "factor about 128", (0.85, 0.725, 0.6, 0.475, 0.35), _contrast),
    ("saturation", "factor", (0.8, 0.6, 0.4, 0.2, 0), _saturation),
    ("gaussian_noise", "deviation, of 1", (0.02, 0.04, 0.07, 0.1, 0.2), _gaussian_noise),
    ("salt_pepper", "share of pixels", (0.002, 0.005, 0.01, 0.02, 0.05), _salt_pepper),
    ("overlay_image", "share of the area", (0.01, 0.03, 0.06, 0.1, 0.15), _overlay_image),
    ("overlay_text", "capitals, of the height", (0.03, 0.05, 0.08, 0.12, 0.16), _overlay_text),
    (
        "overlay_shapes",
        "number and size, of the width",
        ((1, 0.005), (2, 0.05), (3, 0.08), (4, 0.12), (5, 0.2)),
        _overlay_shapes,
    ),
    ("overlay_dots", "number", (25, 50, 100, 200, 400), _overlay_dots),
    ("crop_pad", "share kept of each side", (0.95, 0.9, 0.8, 0.7, 0.6), _crop_pad),
    ("aspect", "width times", (1.1, 1.2, 1.35, 1.5, 2.0), _aspect),
)

TABLE = tuple(Alteration(*row) for row in _ROWS)
BY_NAME = {row.name: row for row in TABLE}
