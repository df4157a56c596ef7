"""MTCNN's cascade in numpy, written from the paper and the behaviour of facenet-pytorch alone.

The oracle of tests/detect: `python3 weights_tools/tests/mtcnn_cascade.py` writes a model of
pseudo-random weights (its header only; the C test makes the weights from the same generator) and
the faces that this cascade finds in a pseudo-random picture. It shares the networks with
weights_tools.mtcnn, which are compared with torch, and nothing with the library.

Networks run in float64, boxes in float32, as in facenet-pytorch.
"""

from __future__ import annotations

import struct
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from weights_tools import mtcnn  # noqa: E402
from weights_tools.reference import splitmix64, uniform  # noqa: E402

DATA = ROOT / "tests/detect/data"
F = np.float32
Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    name: str
    min_face: float
    factor: float
    thresholds: tuple[float, float, float]


def random_tensors() -> dict[str, np.ndarray]:
    """Weights of the golden model: tensor i from seed 1000 + i, times powers of two that keep
    activations at their scale. All values are exact in float32."""
    tensors = {}
    for i, (name, shape) in enumerate(mtcnn.Mtcnn.tensors().items()):
        layer, part = name.rsplit(".", 1)
        if part == "weight":
            shift = 0
            while 4**shift < int(np.prod(shape[1:])):
                shift += 1
            shift += {"face": -2, "box": 2, "points": 2}.get(layer.split(".")[1], 0)
        else:
            shift = {"bias": 4, "slope": 3}[part]
        tensors[name] = uniform(1000 + i, *shape) / 2.0**shift
    return tensors


def random_picture(seed: int = 7, rows: int = 11, columns: int = 13) -> np.ndarray:
    """Squares of 8 x 8 pixels: uint8 [8 rows, 8 columns, 3]."""
    values = (splitmix64(seed, rows * columns * 3) >> np.uint64(56)).astype(np.uint8)
    return values.reshape(rows, columns, 3).repeat(8, axis=0).repeat(8, axis=1)


def area(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Means over areas: [h,w,3] -> normalised [1,3,height,width]."""

    def edges(n: int, m: int) -> list[tuple[int, int]]:
        return [(i * m // n, -(-(i + 1) * m // n)) for i in range(n)]

    out = np.empty((height, width, 3))
    for y, (top, bottom) in enumerate(edges(height, pixels.shape[0])):
        for x, (left, right) in enumerate(edges(width, pixels.shape[1])):
            out[y, x] = pixels[top:bottom, left:right].mean(axis=(0, 1), dtype=np.float64)
    return ((out - 127.5) / 128).transpose(2, 0, 1)[None]


def probability(out: np.ndarray) -> np.ndarray:
    """Of a face, from the two logits in front."""
    return 1 / (1 + np.exp(out[..., 0] - out[..., 1]))


def suppress(boxes: np.ndarray, scores: np.ndarray, limit: float, smaller: bool) -> list[int]:
    """Greedy non-maximum suppression; boxes [n,4]. `smaller`: overlap relative to the smaller
    box, corners counted as pixels, of equal scores the last first."""
    one = 1 if smaller else 0
    n = len(boxes)
    order = sorted(range(n), key=lambda i: (-scores[i], -i if smaller else i))
    kept: list[int] = []
    for i in order:
        x1, y1, x2, y2 = (float(v) for v in boxes[i])
        size = (x2 - x1 + one) * (y2 - y1 + one)
        for k in kept:
            a1, b1, a2, b2 = (float(v) for v in boxes[k])
            w = min(x2, a2) - max(x1, a1) + one
            h = min(y2, b2) - max(y1, b1) + one
            both = max(w, 0) * max(h, 0)
            other = (a2 - a1 + one) * (b2 - b1 + one)
            if both / (min(size, other) if smaller else size + other - both) > limit:
                break
        else:
            kept.append(i)
    return kept


def squares(boxes: np.ndarray) -> np.ndarray:
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    side = np.maximum(w, h)
    x, y = boxes[:, 0] + w * F(0.5) - side * F(0.5), boxes[:, 1] + h * F(0.5) - side * F(0.5)
    return np.stack([x, y, x + side, y + side], axis=1)


def moved(boxes: np.ndarray, offsets: np.ndarray, one: int) -> np.ndarray:
    w, h = boxes[:, 2] - boxes[:, 0] + F(one), boxes[:, 3] - boxes[:, 1] + F(one)
    return boxes + offsets.astype(F) * np.stack([w, h, w, h], axis=1)


def crops(pixels: np.ndarray, boxes: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Network input [n,3,side,side] of the boxes that have pixels, and which these are."""
    made, which = [], []
    for i, box in enumerate(boxes):
        x1, y1 = (max(int(v), 1) for v in box[:2])
        x2, y2 = min(int(box[2]), pixels.shape[1]), min(int(box[3]), pixels.shape[0])
        if x2 >= x1 and y2 >= y1:
            made.append(area(pixels[y1 - 1 : y2, x1 - 1 : x2], side, side))
            which.append(i)
    empty = np.empty((0, 3, side, side))
    return (np.concatenate(made) if made else empty), np.array(which, int)


def windows(
    tensors: Tensors, pixels: np.ndarray, case: Case, noise: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P-Net over the pyramid: boxes [n,4], scores [n], offsets [n,4] after each level's NMS."""
    height, width = pixels.shape[:2]
    scale = 12 / case.min_face
    side = min(height, width) * scale
    found = []
    while side >= 12:
        size = int(height * scale + 1), int(width * scale + 1)
        out = noise(mtcnn.pnet(tensors, area(pixels, *size)))[0]
        score = probability(out)
        y, x = np.nonzero(score >= case.thresholds[0])
        corner = np.stack([x, y], axis=1).astype(F) * 2
        boxes = np.floor(np.concatenate([corner + 1, corner + 12], axis=1) / F(scale))
        kept = suppress(boxes, score[y, x], 0.5, False)
        found.append((boxes[kept], score[y, x][kept], out[y, x, 2:6][kept]))
        scale *= case.factor
        side *= case.factor
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))  # type: ignore[return-value]


def detect(
    tensors: Tensors,
    pixels: np.ndarray,
    case: Case,
    noise: Callable[[np.ndarray], np.ndarray] = lambda out: out,
    counts: list[int] | None = None,
) -> np.ndarray:
    """Faces [n,15]: x, y, w, h, score, five landmarks x y; largest first. `noise` sees every
    output of a network; `counts` gets the candidates behind each stage."""
    boxes, scores, offsets = windows(tensors, pixels, case, noise)
    kept = suppress(boxes, scores, 0.7, False)
    boxes = squares(moved(boxes[kept], offsets[kept], 0))
    counts = [] if counts is None else counts
    counts.append(len(boxes))

    x, which = crops(pixels, boxes, 24)
    out = noise(mtcnn.rnet(tensors, x)) if len(x) else np.empty((0, 6))
    good = probability(out) > case.thresholds[1]
    boxes, out = boxes[which][good], out[good]
    kept = suppress(boxes, probability(out), 0.7, False)
    boxes = squares(moved(boxes[kept], out[kept][:, 2:6], 1))
    counts.append(len(boxes))

    x, which = crops(pixels, boxes, 48)
    out = noise(mtcnn.onet(tensors, x)) if len(x) else np.empty((0, 16))
    good = probability(out) > case.thresholds[2]
    boxes, out = boxes[which][good], out[good]
    size = boxes[:, 2:] - boxes[:, :2] + 1
    points = out[:, 6:].reshape(-1, 2, 5).transpose(0, 2, 1) * size[:, None] + boxes[:, None, :2]
    boxes = moved(boxes, out[:, 2:6], 1)
    kept = suppress(boxes, probability(out), 0.7, True)
    counts.append(len(kept))
    faces = [
        [*boxes[i, :2], *(boxes[i, 2:] - boxes[i, :2]), probability(out)[i], *(points[i] - 1).flat]
        for i in kept
    ]
    faces.sort(key=lambda f: -f[2] * f[3])
    return np.array(faces, dtype=np.float64).reshape(-1, 15)


CASES = (
    Case("model", 20.0, 0.709, (0.6, 0.12, 0.47)),
    Case("fine", 14.0, 0.85, (0.62, 0.15, 0.48)),
    Case("coarse", 40.0, 0.5, (0.5, 0.09, 0.4)),
    Case("none_at_once", 20.0, 0.709, (0.99, 0.1, 0.1)),
    Case("none_after_r", 20.0, 0.709, (0.6, 0.9, 0.1)),
    Case("none_after_o", 20.0, 0.709, (0.6, 0.12, 0.9)),
)


def lines_of(case: Case, tensors: Tensors, pixels: np.ndarray) -> list[str]:
    """The case as the C test reads it. ValueError if rounding could change what is found."""
    faces = detect(tensors, pixels, case)
    for seed in range(3):
        random = np.random.default_rng(seed)
        other = detect(
            tensors, pixels, case, lambda out, r=random: out + r.normal(0, 2e-6, out.shape)
        )
        if other.shape != faces.shape or (len(faces) and np.abs(other - faces).max() > 0.01):
            raise ValueError(f"case {case.name}: stands on a threshold; change it a little")
    numbers = (case.min_face, case.factor, *case.thresholds)
    lines = [f"{case.name} {' '.join(map(repr, numbers))} {len(faces)}"]
    return lines + [" ".join(f"{v:.6g}" for v in face) for face in faces]


def header_of(tensors: Tensors) -> bytes:
    """Length and header of the model file, hash filled in."""
    case = CASES[0]
    meta = mtcnn.DetectorMetadata(
        name="random MTCNN",
        thresholds=case.thresholds,
        min_face=case.min_face,
        factor=case.factor,
        source="mtcnn_cascade.py",
        license="MIT",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        mtcnn.write_detector(path, tensors, meta)
        data = path.read_bytes()
    return data[: 8 + struct.unpack("<Q", data[:8])[0]]


def main() -> None:
    """Writes the data of tests/detect."""
    tensors, pixels = random_tensors(), random_picture()
    lines: list[str] = []
    for case in CASES:
        counts: list[int] = []
        detect(tensors, pixels, case, counts=counts)
        print(case.name, counts)
        lines += lines_of(case, tensors, pixels)
    DATA.mkdir(parents=True, exist_ok=True)
    (DATA / "random_mtcnn.header").write_bytes(header_of(tensors))
    (DATA / "faces.txt").write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


if __name__ == "__main__":
    main()
