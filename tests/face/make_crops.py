"""Writes the crops that test_crops.c expects: the published ways to crop a face, with OpenCV.

    python tests/face/make_crops.py        (versions: tests/image/requirements.txt)

Each function below does what one system of the DeepFake Detection Challenge does with a face,
in its own order and with OpenCV and numpy only; beside it stands the same in words of
weights_tools/FORMAT.md, which is what the library gets. Sizes are a tenth of the systems', so
that the results stay small. Pictures are noise, in which every shift and every other weight
shows.

Writes into tests/face/data crops.txt, a block a case (name; seed, width, height; box or
landmarks or nothing; metadata lines; an empty line), and crops.rgb, the results as uint8
[height][width][3] one after another.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]

DATA = Path(__file__).parent / "data"
MEAN_AND_STD = {"mean": "0.0,0.0,0.0", "std": "1.0,1.0,1.0"}


def noise(seed: int, width: int, height: int) -> Pixels:
    """Bytes from SplitMix64's high ends, as test_crops.c draws them."""
    with np.errstate(over="ignore"):
        steps = np.arange(1, width * height * 3 + 1, dtype=np.uint64)
        z = np.uint64(seed) + steps * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(56)).astype(np.uint8).reshape(height, width, 3)


# ---- the systems ---------------------------------------------------------------------------


def selimsef(image: Pixels, box: Box, size: int = 38) -> Pixels:
    """1st: thirds of whole sides as margins, longer side to size, black canvas."""
    x, y, w, h = box
    xmin, ymin, xmax, ymax = int(x), int(y), int(x + w), int(y + h)
    pad_w, pad_h = (xmax - xmin) // 3, (ymax - ymin) // 3
    crop = image[max(ymin - pad_h, 0) : ymax + pad_h, max(xmin - pad_w, 0) : xmax + pad_w]
    height, width = crop.shape[:2]
    if max(height, width) != size:
        scale = size / max(height, width)
        if width > height:
            new = (size, int(height * scale))
        else:
            new = (int(width * scale), size)
        how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        crop = cv2.resize(crop, new, interpolation=how)
    canvas = np.zeros((size, size, 3), np.uint8)
    height, width = crop.shape[:2]
    top, left = (size - height) // 2, (size - width) // 2
    canvas[top : top + height, left : left + width] = crop
    return canvas


def wm(image: Pixels, points: list[tuple[float, float]], size: int) -> Pixels:
    """2nd: similarity to a template of 40 x 40, then size x size."""
    template = np.array(
        [(122.5, 141.25), (197.5, 141.25), (160, 178.75), (137.5, 225.25), (182.5, 225.25)]
    )
    template = template / 8
    source = np.array([(int(x), int(y)) for x, y in points], np.float64)
    # Least squares over (a, b, tx, ty) of x' = a x - b y + tx, y' = b x + a y + ty.
    rows = []
    for x, y in source:
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows), template.reshape(-1), rcond=None)[0]
    matrix = np.array([[a, -b, tx], [b, a, ty]])
    aligned = cv2.warpAffine(image, matrix, (40, 40), flags=cv2.INTER_LINEAR)
    if size == 40:
        return np.asarray(aligned, np.uint8)
    return np.asarray(cv2.resize(aligned, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def half_larger(image: Pixels, box: Box) -> Pixels:
    """3rd: box x 1.5 about its centre, int(), clipped."""
    x, y, w, h = box
    cx, cy = x + w / 2, y + h / 2
    x0, x1 = int(cx - 0.75 * w), int(cx + 0.75 * w)
    y0, y1 = int(cy - 0.75 * h), int(cy + 0.75 * h)
    return image[max(y0, 0) : y1, max(x0, 0) : x1]


def ntechlab(image: Pixels, box: Box, smallest: int) -> Pixels:
    """3rd: smallest side to `smallest`, reflected to at least 56 x 48, its middle of that."""
    crop = half_larger(image, box)
    height, width = crop.shape[:2]
    scale = smallest / min(height, width)
    new = (round(width * scale), round(height * scale))
    if new != (width, height):
        crop = np.asarray(cv2.resize(crop, new, interpolation=cv2.INTER_LINEAR), np.uint8)
    add_h, add_w = max(0, 56 - crop.shape[0]), max(0, 48 - crop.shape[1])
    top, left = int(add_h / 2.0), int(add_w / 2.0)
    crop = cv2.copyMakeBorder(crop, top, add_h - top, left, add_w - left, cv2.BORDER_REFLECT_101)
    y, x = (crop.shape[0] - 56) // 2, (crop.shape[1] - 48) // 2
    return np.asarray(crop[y : y + 56, x : x + 48], np.uint8)


def robustforensics(image: Pixels, box: Box, size: int = 33) -> Pixels:
    """4th: a square of 1.3 times the longer side, even, moved inside."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (int(v) for v in (box[0], box[1], box[0] + box[2], box[1] + box[3]))
    side = int(max(x1 - x0, y1 - y0) * 1.3) // 2 * 2
    side = min(side, width, height)
    cx, cy = (x0 + x1) // 2, (y0 + y1) // 2
    x = min(max(cx - side // 2, 0), width - side)
    y = min(max(cy - side // 2, 0), height - side)
    crop = image[y : y + side, x : x + side]
    return np.asarray(cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def icpr2020dfdc(image: Pixels, box: Box, size: int = 36) -> Pixels:
    """41st: 0.2 and, on top, 0.4 of the height as margins; black up to size; squashed."""
    x, y, w, h = box
    x0, x1 = int(x - 0.2 * h), int(x + w + 0.2 * h)
    y0, y1 = int(y - 0.4 * h), int(y + h + 0.2 * h)
    crop = image[max(y0, 0) : y1, max(x0, 0) : x1]
    add_h, add_w = max(0, size - crop.shape[0]), max(0, size - crop.shape[1])
    top, left = int(add_h / 2.0), int(add_w / 2.0)
    crop = cv2.copyMakeBorder(
        crop, top, add_h - top, left, add_w - left, cv2.BORDER_CONSTANT, value=(0, 0, 0)
    )
    return np.asarray(cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def sbi(image: Pixels, box: Box, size: int = 38) -> Pixels:
    """Self-Blended Images: an eighth of each side as margin, squashed."""
    x, y, w, h = box
    x0, x1 = int(x - w / 8), int(x + w + w / 8)
    y0, y1 = int(y - h / 8), int(y + h + h / 8)
    crop = image[max(y0, 0) : y1, max(x0, 0) : x1]
    return np.asarray(cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


# ---- the same as metadata --------------------------------------------------------------------


def metadata(size: str, resize: str, kernel: str, margin: str, **more: str) -> dict[str, str]:
    """Keys without dfnet., - for the dots of their names."""
    keys = {"input": size, "resize": resize, "filter": kernel, **MEAN_AND_STD}
    keys |= {"face.margin": margin, "face.shape": "box", "face.outside": "clamp"}
    keys |= {"face.pad": "0,0,0"}
    return keys | {key.replace("_", "."): value for key, value in more.items()}


THIRD = repr(1 / 3)
TEMPLATE = ",".join(
    repr(v / 8) for v in (122.5, 141.25, 197.5, 141.25, 160, 178.75, 137.5, 225.25, 182.5, 225.25)
)
METADATA = {
    "selimsef": metadata(
        "38x38",
        "longer",
        "opencv-area,opencv-cubic",
        ",".join([THIRD] * 4),
        face_rounding="whole",
    ),
    "wm-40": metadata(
        "40x40", "squash", "opencv-linear", "0,0,0,0", face_align="40x40,truncate," + TEMPLATE
    ),
    "wm-37": metadata(
        "37x37", "squash", "opencv-linear", "0,0,0,0", face_align="40x40,truncate," + TEMPLATE
    ),
    "ntechlab-48": metadata(
        "56x48",
        "shorter:48",
        "opencv-linear",
        "0.25,0.25,0.25,0.25",
        face_rounding="truncate",
        resize_border="reflect",
        resize_rounding="albumentations",
    ),
    "ntechlab-56": metadata(
        "56x48",
        "shorter:56",
        "opencv-linear",
        "0.25,0.25,0.25,0.25",
        face_rounding="truncate",
        resize_rounding="albumentations",
    ),
    "robustforensics": metadata(
        "33x33",
        "squash",
        "opencv-linear",
        "0.15,0.15,0.15,0.15",
        face_shape="square",
        face_outside="shift",
        face_rounding="even",
    ),
    "icpr2020dfdc": metadata(
        "36x36",
        "squash",
        "opencv-linear",
        "0.2,0.4,0.2,0.2",
        face_unit="height",
        face_rounding="truncate",
        face_least="36",
    ),
    "sbi": metadata(
        "38x38", "squash", "opencv-linear", "0.125,0.125,0.125,0.125", face_rounding="truncate"
    ),
}
CROPS: dict[str, Callable[[Pixels, Box], Pixels]] = {
    "selimsef": selimsef,
    "ntechlab-48": lambda image, box: ntechlab(image, box, 48),
    "ntechlab-56": lambda image, box: ntechlab(image, box, 56),
    "robustforensics": robustforensics,
    "icpr2020dfdc": icpr2020dfdc,
    "sbi": sbi,
}

# In a picture of 120 x 90: inside, small, at each corner, beyond the edges, large, at halves.
BOXES = [
    (40.25, 30.5, 30.0, 24.75),
    (50.75, 41.25, 9.5, 12.25),
    (-4.5, -3.25, 30.25, 26.5),
    (97.5, 70.25, 30.0, 40.75),
    (3.0, 4.0, 110.0, 84.0),
]
# Where five landmarks lie in the template, roughly, before they are turned and scaled.
FACE = [(122.5, 141.25), (197.5, 141.25), (160.0, 178.75), (137.5, 225.25), (182.5, 225.25)]


def landmarks(seed: int) -> list[tuple[float, float]]:
    """A face somewhere in the picture, tilted, quarters of pixels."""
    draw = random.Random(seed)
    angle, scale = draw.uniform(-0.7, 0.7), draw.uniform(0.08, 0.4)
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    found = []
    for x, y in FACE:
        dx, dy = x - 160 + draw.uniform(-9, 9), y - 180 + draw.uniform(-9, 9)
        found.append((c * dx - s * dy + 60, s * dx + c * dy + 40))
    return [(round(4 * x) / 4, round(4 * y) / 4) for x, y in found]


def main() -> None:
    blocks, results = [], []
    for name, keys in METADATA.items():
        for index in range(len(BOXES)):
            seed = 100 * len(name) + index
            image = noise(seed, 120, 90)
            if name.startswith("wm"):
                points = landmarks(index)
                where = " ".join(f"{x} {y}" for x, y in points)
                results.append(wm(image, points, int(name[3:])))
            else:
                where = " ".join(str(v) for v in BOXES[index])
                results.append(CROPS[name](image, BOXES[index]))
            lines = [f"{name} {seed} 120 90", where]
            blocks.append("\n".join(lines + [f"{k} = {v}" for k, v in keys.items()]) + "\n")
    DATA.mkdir(exist_ok=True)
    (DATA / "crops.txt").write_text("\n".join(blocks))
    (DATA / "crops.rgb").write_bytes(b"".join(r.tobytes() for r in results))


if __name__ == "__main__":
    main()
