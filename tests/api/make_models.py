"""Writes the tiny model files and pictures of the api suites, and what they must answer.

    PYTHONPATH=. python tests/api/make_models.py    (versions: tests/api/requirements.txt)

* ``models/*.safetensors``: one file a kind of head, crop, resize rule and filter.
* ``pictures/*``: small pictures made by formulas; PPM and PNG.
* ``expected.txt``: a line a case. Its words are
      model picture whole|box X Y W H  CROPX CROPY CROPW CROPH  CRC  LOGIT TOLERANCE FAKE VERDICT
  where the crop rectangle is in pixels, CRC is the CRC-32 of the network's input before it is
  normalised (uint8 [height][width][3], R G B; - if the filter is compared with a tolerance
  only), LOGIT the log-odds of "fake" before the temperature, TOLERANCE what a float32
  implementation may differ from it, FAKE the probability and VERDICT real, uncertain or fake.

Nothing here comes from the library: crop and resize are FORMAT.md's words in exact arithmetic,
Pillow's and OpenCV's resize, and the network is weights_tools.forward in float64. To add a
model, add a row to MODELS; to add a box, one to BOXES.
"""

from __future__ import annotations

import math
import zlib
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from weights_tools.arch import Architecture
from weights_tools.forward import forward
from weights_tools.model_file import Metadata, write_model

Pixels = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]
Rectangle = tuple[int, int, int, int]

HERE = Path(__file__).parent
FORMULA_STAGES = "fused,3,2,2,6,1,0;mb,3,1,2,6,2,4;mb,5,2,3,10,1,2"

PILLOW = {
    "pillow-box": Image.Resampling.BOX,
    "pillow-bilinear": Image.Resampling.BILINEAR,
    "pillow-bicubic": Image.Resampling.BICUBIC,
}
OPENCV = {
    "opencv-area": cv2.INTER_AREA,
    "opencv-linear": cv2.INTER_LINEAR,
    "opencv-cubic": cv2.INTER_CUBIC,
}

#: name -> outputs, changes of the metadata
MODELS: dict[str, tuple[int, dict[str, object]]] = {
    "sigmoid_squash_clamp": (
        1,
        {"output": "sigmoid", "fake": 0, "filter": "pillow-bicubic", "thresholds": (0.3, 0.7)},
    ),
    "softmax_shorter_shift": (
        2,
        {
            "fake": 1,
            "resize": "shorter:47",
            "filter": "pillow-bilinear",
            "flip": True,
            "face_margin": (0.1, 0.1, 0.1, 0.1),
            "face_outside": "shift",
            "temperature": 1.7,
            "thresholds": (0.4, 0.6),
            "labels": ["real", "fake"],
        },
    ),
    "softmax3_longer_pad": (
        3,
        {
            "fake": 0,
            "resize": "longer",
            "filter": "opencv-area,opencv-linear",
            "flip": True,
            "face_margin": (0.25, 0.5, -0.125, 0.1),
            "face_outside": "pad",
            "face_pad": (10, 200, 90),
            "temperature": 0.6,
            "thresholds": (0.25, 0.5),
            "labels": ["fake", "real", "a drawing"],
        },
    ),
    "sigmoid2_square_pad": (
        2,
        {
            "output": "sigmoid",
            "fake": 1,
            "filter": "pillow-box,pillow-bicubic",
            "face_margin": (0.3, 0.2, 0.3, 0.2),
            "face_shape": "square",
            "face_outside": "pad",
            "thresholds": (0.5, 0.5),
        },
    ),
    "square_shift_cubic": (
        2,
        {
            "fake": 0,
            "resize": "shorter:48",
            "filter": "opencv-cubic",
            "face_margin": (0.2, 0.2, 0.2, 0.2),
            "face_shape": "square",
            "face_outside": "shift",
            "thresholds": (0.45, 0.55),
        },
    ),
    "square_clamp_linear": (
        1,
        {
            "output": "sigmoid",
            "fake": 0,
            "resize": "longer",
            "filter": "opencv-linear",
            "face_margin": (0.1, 0.0, 0.1, 0.0),
            "face_shape": "square",
            "face_outside": "clamp",
            "face_pad": (128, 128, 128),
            "temperature": 2.5,
            "thresholds": (0.3, 0.64),
        },
    ),
}

#: x, y, w, h in the picture "scene.ppm" of 97 x 71
BOXES: list[Box] = [
    (20, 15, 40, 36),  # inside
    (20, 15, 45, 36),  # inside, and a tenth of its width is no whole number of pixels
    (30.25, 20.75, 27.5, 33.125),  # fractions
    (-11, 20, 40, 30),  # over the left border
    (70, 20, 40, 30),  # over the right one
    (30, -9, 30, 40),  # over the top
    (30, 50, 30, 40),  # over the bottom
    (-7, -5, 30, 30),  # over a corner
    (-20, -20, 140, 120),  # over all of them
    (48, 33, 3, 4),  # tiny
    (60, 40, 1, 1),  # one pixel
    (60.5, 40.5, 0.25, 0.25),  # less than one
    (0, 0, 97, 71),  # the picture
    (96, 70, 1, 1),  # its last pixel
]


# ---- pictures ----


def noise(seed: int, height: int, width: int, channels: int) -> Pixels:
    """Random bytes [height][width][channels]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def scene(height: int, width: int) -> Pixels:
    """Ramps, a disc and some noise, so that every shift and filter shows."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    disc = (x - width * 0.45) ** 2 + (y - height * 0.5) ** 2 < (0.3 * height) ** 2
    ramps = [255 * x / width, 255 * y / height, 127 + 120 * np.sin(x / 5) * np.cos(y / 7)]
    out = np.stack(ramps, 2)
    out[disc] = 255 - out[disc]
    return np.clip(out + noise(1, height, width, 3) / 8 - 16, 0, 255).astype(np.uint8)


def write_pictures(folder: Path) -> None:
    """The pictures; alpha.png has transparent pixels, grey.png one channel."""
    folder.mkdir(exist_ok=True)
    Image.fromarray(scene(71, 97)).save(folder / "scene.ppm")
    Image.fromarray(scene(60, 44)).save(folder / "tall.png")
    Image.fromarray(noise(2, 37, 50, 1)[:, :, 0]).save(folder / "grey.png")
    Image.fromarray(noise(3, 33, 33, 4), "RGBA").save(folder / "alpha.png")
    Image.fromarray(scene(40, 40)).resize((40, 40)).save(folder / "exact.png")
    Image.fromarray(scene(3, 130)).save(folder / "strip.png")
    Image.fromarray(noise(4, 1, 1, 3)).save(folder / "pixel.png")


def read_picture(path: Path) -> Pixels:
    """RGB; alpha composited on black, in integers rounded to nearest."""
    image = Image.open(path)
    if image.mode == "RGBA":
        rgba = np.asarray(image).astype(np.int64)
        return ((rgba[:, :, :3] * rgba[:, :, 3:] + 127) // 255).astype(np.uint8)
    return np.asarray(image.convert("RGB"))


# ---- FORMAT.md, section 2 ----


def nearest(v: Fraction) -> int:
    """The whole number nearest to v, the greater of two."""
    return math.floor(v + Fraction(1, 2))


def along(start: Fraction, end: Fraction, limit: int, outside: str) -> tuple[int, int]:
    """Whole pixels of one axis, at least one before the border rule."""
    first = nearest(start)
    size = max(1, nearest(end) - first)
    if outside == "shift":
        first = max(0, min(first, limit - size))
    if outside in ("shift", "clamp"):
        last = min(limit, first + size)
        first = max(0, first)
        size = last - first
    return first, size


def crop_rectangle(meta: Metadata, width: int, height: int, box: Box | None) -> Rectangle:
    """x, y, w, h of what the network sees; box = None: the whole picture."""
    if box is None:
        return 0, 0, width, height
    x, y, w, h = (Fraction(v) for v in box)
    left, top, right, bottom = (Fraction(repr(v)) for v in meta.face_margin)
    if meta.face_shape == "square":
        side = max(w, h) * (1 + (left + right + top + bottom) / 2)
        x0, y0 = x + w / 2 - side / 2, y + h / 2 - side / 2
        x1, y1 = x0 + side, y0 + side
    else:
        x0, y0 = x - left * w, y - top * h
        x1, y1 = x + w + right * w, y + h + bottom * h
    cx, cw = along(x0, x1, width, meta.face_outside)
    cy, ch = along(y0, y1, height, meta.face_outside)
    return cx, cy, cw, ch


def cut(picture: Pixels, rectangle: Rectangle, pad: tuple[int, int, int]) -> Pixels:
    """The rectangle of the picture, the pad colour where it leaves it."""
    x, y, w, h = rectangle
    out = np.empty((h, w, 3), np.uint8)
    out[:] = pad
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if x1 > x0 and y1 > y0:
        out[y0 - y : y1 - y, x0 - x : x1 - x] = picture[y0:y1, x0:x1]
    return out


def resample(picture: Pixels, width: int, height: int, filters: str) -> Pixels:
    """Resized with the first filter, or the second if an axis grows."""
    names = filters.split(",")
    grows = width > picture.shape[1] or height > picture.shape[0]
    name = names[-1] if grows else names[0]
    if name in PILLOW:
        return np.asarray(Image.fromarray(picture).resize((width, height), PILLOW[name]))
    resized = cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=OPENCV[name])
    return np.asarray(resized, np.uint8)


def to_input(meta: Metadata, crop: Pixels) -> Pixels:
    """The crop as the network's input, uint8 [height][width][3], not yet normalised."""
    height, width = meta.input
    h, w = crop.shape[:2]
    if meta.resize == "squash":
        return resample(crop, width, height, meta.filter)
    if meta.resize.startswith("shorter:"):
        n = int(meta.resize.split(":")[1])
        size = (n, n * h // w) if w <= h else (n * w // h, n)
        resized = resample(crop, *size, meta.filter)
        left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
        return resized[top : top + height, left : left + width]
    scale = min(Fraction(width, w), Fraction(height, h))
    new_w, new_h = max(1, int(w * scale)), max(1, int(h * scale))
    out = np.empty((height, width, 3), np.uint8)
    out[:] = meta.face_pad
    left, top = (width - new_w) // 2, (height - new_h) // 2
    out[top : top + new_h, left : left + new_w] = resample(crop, new_w, new_h, meta.filter)
    return out


def normalise(meta: Metadata, pixels: Pixels) -> Reals:
    """[3][height][width]."""
    values = (pixels.astype(np.float64) / 255 - np.array(meta.mean)) / np.array(meta.std)
    return values.transpose(2, 0, 1)


# ---- networks ----


class Network:
    """A model, its weights as stored and its answers."""

    def __init__(self, name: str, outputs: int, changes: dict[str, object], **parts: int) -> None:
        seed = sum(name.encode())
        self.name = name
        self.arch = Architecture.parse(
            FORMULA_STAGES,
            activation="relu6" if name == "square_clamp_linear" else "swish",
            stem=4,
            head=16,
            outputs=outputs,
            **parts,
        )
        values: dict[str, object] = {
            "name": name,
            "input": (40, 36),
            "padding": ("same", "sym")[seed % 2],
            "license": "MIT",
            "reference": (seed, 37, 42),
        }
        self.meta = Metadata(**(values | changes))  # type: ignore[arg-type]
        rng = np.random.default_rng(seed)
        self.tensors = {}
        for tensor, shape in self.arch.tensors().items():
            fan_in = max(1, math.prod(shape[1:]))
            scale = 0.1 if tensor.endswith(".bias") else (2.0 / fan_in) ** 0.5
            self.tensors[tensor] = (rng.standard_normal(shape) * scale).astype(np.float32)

    def logits(self, pixels: Pixels) -> Reals:
        """[outputs] of one input; the mean with its mirror image if the model says so."""
        x = normalise(self.meta, pixels)
        views = np.stack([x, x[:, :, ::-1]]) if self.meta.flip else x[None]
        return forward(self.arch, self.tensors, views, self.meta.padding).mean(0)

    def spread(self, inputs: list[Pixels]) -> None:
        """Scales the classifier so that these inputs have logits around 0, 2 apart, or
        scores would all be alike and hide mistakes."""
        all_logits = np.stack([self.logits(pixels) for pixels in inputs])
        scale = 2.0 / all_logits.std(0)
        mean = all_logits.mean(0)
        bias = (self.tensors["classifier.bias"] - mean) * scale
        weight = self.tensors["classifier.weight"] * scale[:, None]
        self.tensors["classifier.weight"] = weight.astype(np.float32)
        self.tensors["classifier.bias"] = bias.astype(np.float32)

    def write(self) -> None:
        """The model file."""
        path = HERE / "models" / f"{self.name}.safetensors"
        write_model(path, self.arch, self.tensors, self.meta)
        if path.stat().st_size > 25 * 1024:
            raise ValueError(f"{path} is too large to be kept in the repository")

    def odds(self, z: Reals, temperature: float) -> float:
        """Log-odds of "fake"."""
        fake = self.meta.fake
        assert fake is not None
        z = z / temperature
        if self.meta.output == "sigmoid":
            return float(z[fake])
        p = np.exp(z - z.max())
        return float(np.log(p[fake]) - np.log(p.sum() - p[fake]))

    def probability(self, z: Reals) -> float:
        """That the face is fake, from softmax or sigmoid of the logits / temperature."""
        z = z / self.meta.temperature
        if self.meta.output == "sigmoid":
            return 1 / (1 + math.exp(-z[self.meta.fake]))
        p = np.exp(z - z.max())
        return float(p[self.meta.fake] / p.sum())

    def verdict(self, p: float) -> str:
        """By the model's own thresholds."""
        real_below, fake_from = self.meta.thresholds
        return "real" if p < real_below else "fake" if p >= fake_from else "uncertain"


# ---- cases ----


def places() -> list[tuple[str, Box | None]]:
    """Picture and box of every case."""
    pictures = sorted(p.name for p in (HERE / "pictures").iterdir())
    result: list[tuple[str, Box | None]] = [(name, None) for name in pictures]
    result += [("scene.ppm", box) for box in BOXES]
    result += [("grey.png", (5, 5, 20, 20)), ("alpha.png", (-3, 4, 30, 26))]
    result += [("strip.png", (100, 0, 3, 3)), ("pixel.png", (0, 0, 1, 1))]
    return result


def tolerance_of(net: Network, pixels: Pixels, logit: float) -> float:
    """float32's own error; with opencv-cubic, that of bytes off by one here and there, too.

    2e-5 is some 200 times the relative rounding error of a float; the classifier's weights
    are large (Network.spread) and multiply that of everything before them.
    """
    result = 2e-5 * max(1.0, abs(logit)) * max(1.0, abs(net.tensors["classifier.weight"]).max())
    if "cubic" in net.meta.filter and "opencv" in net.meta.filter:
        rng = np.random.default_rng(5)
        change = rng.choice([-1, 0, 1], pixels.shape, p=[0.05, 0.9, 0.05])
        other = np.clip(pixels.astype(np.int64) + change, 0, 255).astype(np.uint8)
        result += 3 * abs(net.odds(net.logits(other), 1.0) - logit)
    return result


def lines_of(net: Network) -> list[str]:
    """The cases of one model."""
    inputs: list[tuple[str, Box | None, Rectangle, Pixels]] = []
    for name, box in places():
        picture = read_picture(HERE / "pictures" / name)
        rectangle = crop_rectangle(net.meta, picture.shape[1], picture.shape[0], box)
        crop = cut(picture, rectangle, net.meta.face_pad)
        inputs.append((name, box, rectangle, to_input(net.meta, crop)))
    net.spread([pixels for *_, pixels in inputs])
    net.write()
    lines, verdicts = [], set()
    for name, box, rectangle, pixels in inputs:
        z = net.logits(pixels)
        logit, p = net.odds(z, 1.0), net.probability(z)
        tolerance = tolerance_of(net, pixels, logit)
        exact = "opencv-cubic" not in net.meta.filter
        crc = f"{zlib.crc32(np.ascontiguousarray(pixels).tobytes()):08x}" if exact else "-"
        place = f"box {' '.join(map(repr, map(float, box)))}" if box else "whole 0 0 0 0"
        verdicts.add(net.verdict(p))
        lines.append(
            f"{net.name} {name} {place} {' '.join(map(str, rectangle))} {crc}"
            f" {logit:.9g} {tolerance:.3g} {p:.9g} {net.verdict(p)}"
        )
        if min(abs(p - t) for t in net.meta.thresholds) < 1e-3:
            raise ValueError(f"too near to a threshold to have a verdict: {lines[-1]}")
    if not {"real", "fake"} <= verdicts:
        raise ValueError(f"{net.name}: no case is real, or none is fake")
    return lines


def write_others() -> None:
    """Models that answer no question about faces: one with labels, one that overflows."""
    names = ["daisy", "dandelion", "rose", "sunflower", "tulip \u00e4\u2603"]
    Network("flowers", 5, {"labels": names, "temperature": 1.5}).write()
    net = Network("overflows", 1, {"output": "sigmoid", "fake": 0})
    # Finite weights, finite logits in float64, but not in float32.
    net.tensors["head.bias"] = np.full(16, 1e38, np.float32)
    net.tensors["classifier.weight"] = np.full((1, 16), 10, np.float32)
    net.write()


def write_attention() -> None:
    """Models that look twice, with both ways to average, and one of sequences."""
    one = {"output": "sigmoid", "fake": 0}
    nets = {
        "looks_logits": (2, {"fake": 1, "flip": True, "look": "logits,0.7,0.05"}, 3, 1),
        "looks_softmax": (2, {"fake": 1, "look": "probabilities,0.8,0.0"}, 3, 1),
        "looks_sigmoid": (1, one | {"look": "probabilities,0.9,0.1"}, 3, 1),
        "sequence": (1, one | {"flip": True}, 0, 3),
    }
    for name, (outputs, changes, attention, frames) in nets.items():
        net = Network(name, outputs, changes, attention=attention, frames=frames)
        # Attention that differs from place to place, and logits that differ from face to face.
        if attention:
            net.tensors["attention.weight"] *= np.float32(8)
            net.tensors["classifier.weight"] *= np.float32(0.1)  # it reads vectors of length 100
        net.write()


def main() -> None:
    """See the top of the file."""
    (HERE / "models").mkdir(exist_ok=True)
    write_pictures(HERE / "pictures")
    lines: list[str] = []
    for name, (outputs, changes) in MODELS.items():
        lines += lines_of(Network(name, outputs, changes))
    write_others()
    write_attention()
    (HERE / "expected.txt").write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


if __name__ == "__main__":
    main()
