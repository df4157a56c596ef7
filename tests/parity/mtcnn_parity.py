"""Parity of face detection: libdfnet's MTCNN against facenet-pytorch 2.6.0 on pictures.

    python3 tests/parity/mtcnn_parity.py --pictures FOLDER [--detector FILE] [--library FILE]
                                         [--count N] [--time] [--json FILE]

FOLDER holds pictures of faces (JPEG, PNG; subfolders too). From them, pictures are made and
given to both as the same pixels: single faces as they are, enlarged ones, and collages with
several and with small faces; nothing is written. What must hold, over all faces: both find the
same ones, the boxes' IoU is at least 0.95 for 98 % of them, landmarks are within 1 pixel (2 on
faces above 300 pixels). Which of several windows with exactly the same score (often 1.0) stays is
chance in facenet-pytorch: its last suppression sorts with numpy's default sort, which is not
stable and depends on the processor. So this is compared with a stable sort in its place; the row
"unstable" counts what differs without. The networks alone are compared on random input. Prints a
table; exit code 1 if something does not hold, 2 if something is missing.

--time: a 1080p collage, one thread each, in turns, the least of many. Where torchvision's
compiled operators are missing, its non-maximum suppression is a stand-in below whose time is
not counted for facenet-pytorch.

Needs requirements.txt, and `pip install --no-deps facenet-pytorch==2.6.0`, requests, tqdm,
pillow.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cpu_torchvision import torchvision

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from weights_tools import mtcnn  # noqa: E402
from weights_tools.engine import Detector, Library, find_library  # noqa: E402
from weights_tools.reference import uniform  # noqa: E402

MOST_FACES = 256
STAND_IN = {"seconds": 0.0, "calls": 0}


def stand_in_nms(boxes: torch.Tensor, scores: torch.Tensor, limit: float) -> torch.Tensor:
    """torchvision.ops.nms in numpy: indices of the kept boxes by falling score."""
    start = time.perf_counter()
    b = boxes.numpy()
    order = np.argsort(-scores.numpy(), kind="stable")
    area = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    kept = []
    while order.size:
        i, rest = order[0], order[1:]
        kept.append(i)
        sides = np.minimum(b[i, 2:], b[rest, 2:]) - np.maximum(b[i, :2], b[rest, :2])
        both = np.prod(np.maximum(sides, 0), axis=1)
        order = rest[~(both / (area[i] + area[rest] - both) > np.float32(limit))]
    STAND_IN["seconds"] += time.perf_counter() - start
    STAND_IN["calls"] += 1
    return torch.as_tensor(np.array(kept, np.int64))


def facenet() -> type:
    """facenet-pytorch's MTCNN, with or without torchvision's compiled operators."""
    try:
        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (RuntimeError, NotImplementedError):
        library = torch.library.Library("torchvision", "IMPL")
        library.impl("nms", stand_in_nms, "CPU")
        STAND_IN["library"] = library  # freed, it would take the stand-in with it
        torchvision.ops.boxes._assert_has_ops = lambda: None
    from facenet_pytorch import MTCNN
    from facenet_pytorch.models.utils import detect_face

    detect_face.np = STABLE
    return MTCNN


class _StableNumpy:
    """numpy for facenet-pytorch, with a stable argsort; `on` False: with its own."""

    def __init__(self) -> None:
        self.on = True

    def __getattr__(self, name: str) -> object:
        return getattr(np, name)

    def argsort(self, values: np.ndarray) -> np.ndarray:
        return np.argsort(values, kind="stable" if self.on else None)


STABLE = _StableNumpy()

# ---- libdfnet ----


@dataclass
class Face:
    """One face: corners [4] x1 y1 x2 y2, landmarks [5, 2], score."""

    box: np.ndarray
    points: np.ndarray
    score: float

    @property
    def side(self) -> float:
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))


def detect(detector: Detector, pixels: np.ndarray) -> list[Face]:
    """libdfnet's faces of an RGB picture, uint8 [height, width, 3]."""
    found = []
    for face in detector.faces(pixels, MOST_FACES):
        x, y, w, h = face.box
        found.append(Face(np.array([x, y, x + w, y + h]), face.landmarks, face.score))
    return found


def detect_with(reference: object, pixels: np.ndarray) -> list[Face]:
    boxes, scores, points = reference.detect(pixels, landmarks=True)  # type: ignore[attr-defined]
    if boxes is None:
        return []
    rows = zip(boxes, scores, points, strict=True)
    return [Face(np.asarray(b, float), np.asarray(p, float), float(s)) for b, s, p in rows]


# ---- pictures ----


def make_pictures(folder: Path, count: int) -> list[tuple[str, np.ndarray]]:
    """(kind, RGB pixels) of `count` pictures, always the same for the same folder."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not files:
        raise SystemExit(f"{folder}: holds no JPEG and no PNG")
    random = np.random.default_rng(20160)

    def one() -> Image.Image:
        return Image.open(files[random.integers(len(files))]).convert("RGB")

    def fitted(side: int) -> Image.Image:
        picture = one()
        scale = side / max(picture.size)
        size = (max(1, round(n * scale)) for n in picture.size)
        return picture.resize(tuple(size), Image.Resampling.BICUBIC)

    made = []
    for i in range(count):
        kind = ("single", "single", "large", "several", "small", "crowd")[i % 6]
        if kind == "single":
            picture = one()
        elif kind == "large":
            picture = fitted(int(random.integers(700, 1100)))
        else:
            least, most, places = {"several": (150, 330, 6), "small": (40, 110, 8)}.get(
                kind, (60, 220, 24)
            )
            width, height = (1920, 1080) if kind == "crowd" else (960, 640)
            picture = Image.new("RGB", (width, height), tuple(random.integers(0, 256, 3).tolist()))
            for _ in range(places):
                part = fitted(int(random.integers(least, most)))
                x = int(random.integers(-part.width // 5, width - part.width * 4 // 5))
                y = int(random.integers(-part.height // 5, height - part.height * 4 // 5))
                picture.paste(part, (x, y))
        made.append((kind, np.ascontiguousarray(picture)))
    return made


def full_hd(folder: Path) -> np.ndarray:
    """A 1080p collage of 24 pictures side by side."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    canvas = Image.new("RGB", (1920, 1080))
    step = max(1, len(files) // 24)
    for i in range(24):
        part = Image.open(files[i * step % len(files)]).convert("RGB").resize((320, 270))
        canvas.paste(part, (i % 6 * 320, i // 6 * 270))
    return np.ascontiguousarray(canvas)


# ---- comparison ----


def iou(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    both = float(np.prod(sides))
    return both / (float(np.prod(a[2:] - a[:2])) + float(np.prod(b[2:] - b[:2])) - both)


@dataclass
class Row:
    """What was found on the pictures of one kind."""

    pictures: int = 0
    faces: int = 0
    small: int = 0  # of them, below 40 pixels
    unmatched: int = 0  # found by one side only
    moved: int = 0  # in another place of the list
    overlaps: list[float] = field(default_factory=list)
    points: list[float] = field(default_factory=list)  # distance / what is allowed
    scores: list[float] = field(default_factory=list)

    def add(self, expected: list[Face], found: list[Face]) -> None:
        self.pictures += 1
        self.faces += len(expected)
        self.small += sum(face.side < 40 for face in expected)
        left = list(range(len(found)))
        for place, face in enumerate(expected):
            best = max(left, key=lambda i: iou(face.box, found[i].box), default=None)
            if best is None or iou(face.box, found[best].box) < 0.5:
                self.unmatched += 1
                continue
            left.remove(best)
            self.moved += best != place
            other = found[best]
            self.overlaps.append(iou(face.box, other.box))
            distance = np.linalg.norm(face.points - other.points, axis=1).max()
            self.points.append(float(distance) / (2.0 if face.side > 300 else 1.0))
            self.scores.append(abs(face.score - other.score))
        self.unmatched += len(left)

    def passes(self) -> bool:
        close = sum(v >= 0.95 for v in self.overlaps)
        return (
            not self.unmatched
            and close >= 0.98 * len(self.overlaps)
            and all(v <= 1 for v in self.points)
        )

    def text(self, kind: str) -> str:
        return (
            f"{kind:<9}{self.pictures:>9}{self.faces:>7}{self.small:>7}{self.unmatched:>11}"
            f"{self.moved:>7}{min(self.overlaps, default=1):>10.5f}"
            f"{max(self.points, default=0):>11.5f}{max(self.scores, default=0):>12.2e}"
        )


def compare_networks(reference: object, path: str) -> float:
    """Largest difference of the float64 networks of weights_tools from torch's, over outputs of
    probabilities, boxes and landmarks."""
    tensors, _ = mtcnn.read_detector(path)
    worst = 0.0
    for i, name in enumerate(mtcnn.NETS):
        shape = (2, 3, 61, 74) if name == "pnet" else (5, 3, mtcnn.SIDES[name], mtcnn.SIDES[name])
        x = uniform(77 + i, *shape) / 2
        out = getattr(mtcnn, name)(tensors, x)
        with torch.no_grad():
            parts = getattr(reference, name)(torch.from_numpy(x).float())
        parts = [p.numpy().transpose(0, 2, 3, 1) if p.ndim == 4 else p.numpy() for p in parts]
        face = 1 / (1 + np.exp(out[..., 0] - out[..., 1]))
        worst = max(worst, float(np.abs(face - parts[-1][..., 1]).max()))
        worst = max(worst, float(np.abs(out[..., 2:6] - parts[0]).max()))
        if name == "onet":
            worst = max(worst, float(np.abs(out[..., 6:] - parts[1]).max()))
    return worst


def measure(reference: object, detector: Detector, pixels: np.ndarray) -> tuple[float, float]:
    """Seconds of facenet-pytorch and of libdfnet: in turns, the least of many."""
    theirs, ours = [], []
    end = time.perf_counter() + 40
    while time.perf_counter() < end or len(theirs) < 5:
        STAND_IN["seconds"] = 0.0
        start = time.perf_counter()
        detect_with(reference, pixels)
        theirs.append(time.perf_counter() - start - STAND_IN["seconds"])
        for _ in range(2):
            start = time.perf_counter()
            detect(detector, pixels)
            ours.append(time.perf_counter() - start)
    return min(theirs), min(ours)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--detector", default=str(ROOT / "build/models/mtcnn.safetensors"))
    parser.add_argument("--library", help="libdfnet.so (default: as weights_tools finds it)")
    parser.add_argument("--count", type=int, default=120, help="pictures (default: %(default)s)")
    parser.add_argument("--time", action="store_true", help="compare speed on a 1080p picture")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        reference = facenet()()
    except ImportError as error:
        print(f"{error}; see the top of this file", file=sys.stderr)
        return 2
    model = Library(args.library or find_library()).load_detector(args.detector)
    detector = model.detector()
    facts: dict[str, object] = {}
    good = True

    difference, allowed = model.verify()
    nets = compare_networks(reference, args.detector)
    print(
        f"networks: libdfnet from float64 {difference:.2e} (allowed {allowed:.2e}),"
        f" torch {nets:.2e}"
    )
    good &= nets < 1e-4
    facts |= {"networks": difference, "networks_torch": nets}

    rows: dict[str, Row] = {}
    total, unstable = Row(), Row()
    for kind, pixels in make_pictures(args.pictures, args.count):
        found = detect(detector, pixels)
        expected = detect_with(reference, pixels)
        for row in (rows.setdefault(kind, Row()), total):
            row.add(expected, found)
        STABLE.on = False
        unstable.add(detect_with(reference, pixels), found)
        STABLE.on = True
    print("kind      pictures  faces  small  unmatched  moved  least IoU  landmarks  score diff")
    for kind, row in (*rows.items(), ("all", total), ("unstable", unstable)):
        print(row.text(kind))
    print("passed" if total.passes() else "FAILED", "(landmarks: distance / allowed distance)")
    good &= total.passes() and total.faces > 0
    facts |= {"faces": total.faces, "unmatched": total.unmatched}
    close = sum(v >= 0.95 for v in unstable.overlaps) / max(1, len(unstable.overlaps))
    print(f"with its unstable sort: IoU at least 0.95 on {close:.2%}")
    good &= close >= 0.98 and not unstable.unmatched
    facts |= {"unstable_close": close}
    facts |= {"least_iou": min(total.overlaps), "landmarks": max(total.points)}

    if args.time:
        theirs, ours = measure(reference, detector, full_hd(args.pictures))
        without = ", its stand-in NMS not counted" if STAND_IN["calls"] else ""
        print(
            f"1920x1080, one thread: facenet-pytorch {theirs * 1e3:.0f} ms{without}, "
            f"libdfnet {ours * 1e3:.0f} ms, {theirs / ours:.2f} times as fast"
        )
        facts |= {"facenet_seconds": theirs, "libdfnet_seconds": ours}
    if args.json:
        args.json.write_text(json.dumps(facts, indent=1) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
