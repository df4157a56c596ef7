"""Makes fakes of real faces: self-blended faces, faces swapped between people, grafted faces.

Called by data.py while training, by prepare.py for the slow swaps, and by the `forge` command
that makes one demonstration picture. Methods: Self-Blended Images (Shiohara and Yamasaki, CVPR
2022), whose idea is that a blend of two slightly changed copies of one picture shows the traces
of blending and nothing else; and the swap of a face or of its parts between two people by
landmarks, with matched colours and, in the slow kind, Poisson blending (Perez et al. 2003). A
graft is what face-swap videos show: a face that a small decoder drew at a low resolution, enlarged,
matched in colour and laid softly into an untouched picture.

All pictures are uint8 RGB. Every function draws from the generator that it is given, only.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from . import masks

#: What draws a face anew: uint8 [h, w, 3], sides multiples of 16, in and out.
Decoder = Callable[[np.ndarray], np.ndarray]

_UP = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


def tone(picture: np.ndarray, rng: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """A small change of colour, brightness, contrast and saturation."""
    x = picture.astype(np.float32)
    grey = x.mean(2, keepdims=True)
    x = grey + (x - grey) * (1 + strength * rng.uniform(-0.25, 0.25))
    x = (x - 128) * (1 + strength * rng.uniform(-0.12, 0.12)) + 128
    x += strength * rng.uniform(-14, 14)
    x += strength * rng.uniform(-10, 10, 3).astype(np.float32)
    return np.clip(x, 0, 255).astype(np.uint8)


def sharpness(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A little sharper, or smaller and back: the two pictures of a blend differ in detail."""
    height, width = picture.shape[:2]
    if rng.random() < 0.5:
        factor = rng.uniform(1.3, 3.5)
        small = (max(8, int(width / factor)), max(8, int(height / factor)))
        down = int(rng.choice([cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA]))
        up = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
        return cv2.resize(
            cv2.resize(picture, small, interpolation=down), (width, height), interpolation=up
        )
    soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.8, 2.0))
    amount = rng.uniform(0.3, 1.0)
    return cv2.addWeighted(picture, 1 + amount, soft, -amount, 0)


def some_parts(rng: np.random.Generator) -> tuple[str, ...]:
    """One to four of the parts, at random."""
    count = int(rng.choice([1, 2, 3, 4], p=[0.35, 0.35, 0.15, 0.15]))
    return tuple(masks.PARTS[i] for i in sorted(rng.permutation(4)[:count]))


def region(landmarks: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """The polygons of a region chosen at random."""
    name = str(rng.choice(masks.REGIONS, p=[0.22, 0.16, 0.06, 0.08, 0.05, 0.05, 0.06, 0.32]))
    return masks.polygons(landmarks, name, some_parts(rng), rng)


def blend(source: np.ndarray, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """mask * source + (1 - mask) * target."""
    m = mask[..., None]
    mixed = target + (source.astype(np.float32) - target) * m
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def _softness(landmarks: np.ndarray, rng: np.random.Generator) -> float:
    _, across, _ = masks.frame(landmarks)
    return float(np.hypot(*across)) * float(rng.choice([0.015, 0.04, 0.08, 0.14]))


def self_blend(
    picture: np.ndarray,
    landmarks: np.ndarray,
    rng: np.random.Generator,
    *,
    corners: list[np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(real, fake) of one picture: the real is the target of the blend, so that nothing but the
    blend tells them apart. `corners`: the blended region, a random one if None."""
    source = target = picture
    # Which of the two is changed must not matter, so a coin decides.
    changed = tone(picture, rng)
    if rng.random() < 0.6:
        changed = sharpness(changed, rng)
    if rng.random() < 0.5:
        source = changed
    else:
        target = changed
    _, across, _ = masks.frame(landmarks)
    eyes = float(np.hypot(*across))
    if corners is None:
        corners = region(landmarks, rng)
    mask = masks.draw(picture.shape[:2], corners, _softness(landmarks, rng), rng)
    middle = landmarks.mean(0)
    matrix = cv2.getRotationMatrix2D(
        (float(middle[0]), float(middle[1])), rng.uniform(-3, 3), rng.uniform(0.95, 1 / 0.95)
    )
    matrix[:, 2] += rng.uniform(-0.07, 0.07, 2) * eyes
    size = picture.shape[1::-1]
    moved = cv2.warpAffine(
        source, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    strength = float(rng.choice([0.5, 0.75, 1, 1, 1]))
    return target, blend(moved, target, mask * strength)


def alignment(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The 2x3 matrix that turns, scales and shifts landmarks `source` onto `target` (least
    squares, without mirroring; Umeyama 1991)."""
    a, b = source.astype(np.float64), target.astype(np.float64)
    mean_a, mean_b = a.mean(0), b.mean(0)
    p, q = a - mean_a, b - mean_b
    u, s, vt = np.linalg.svd(q.T @ p)
    sign = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((s * sign).sum() / (p**2).sum())
    return np.hstack([scale * rotation, (mean_b - scale * rotation @ mean_a)[:, None]])


def likest(marks: np.ndarray, target: int, candidates: np.ndarray) -> int:
    """The candidate whose five points, aligned, come closest to the target's: a face does not
    fit a head that looks elsewhere. marks [n, 5, 2]; indices into it."""
    misfits = []
    for other in candidates:
        matrix = alignment(marks[other], marks[target])
        moved = marks[other] @ matrix[:, :2].T + matrix[:, 2]
        misfits.append(float(((moved - marks[target]) ** 2).sum()))
    return int(candidates[int(np.argmin(misfits))])


def match_colours(source: np.ndarray, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`source` with the mean and spread of `target` in each Lab channel, under the mask."""
    weight = mask > 0.3
    if int(weight.sum()) < 32:
        return source
    a = cv2.cvtColor(source, cv2.COLOR_RGB2LAB).astype(np.float32)
    b = cv2.cvtColor(target, cv2.COLOR_RGB2LAB).astype(np.float32)
    mean_a, mean_b = a[weight].mean(0), b[weight].mean(0)
    spread = np.clip(b[weight].std(0) / (a[weight].std(0) + 1e-3), 0.6, 1.6)
    matched = np.clip((a - mean_a) * spread + mean_b, 0, 255).astype(np.uint8)
    return cv2.cvtColor(matched, cv2.COLOR_LAB2RGB)


def swap(
    source: np.ndarray,
    source_landmarks: np.ndarray,
    target: np.ndarray,
    target_landmarks: np.ndarray,
    rng: np.random.Generator,
    *,
    poisson: bool,
    corners: list[np.ndarray] | None = None,
) -> np.ndarray:
    """`target` with the face, or parts of it, of another person's picture `source`.

    `corners`: the region in the target, a random one if None. poisson: solve for the seam
    (slow), else colours are matched and the edge is soft.
    """
    matrix = alignment(source_landmarks, target_landmarks)
    size = target.shape[1::-1]
    moved = cv2.warpAffine(
        source, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    if corners is None:
        corners = region(target_landmarks, rng)
    mask = masks.draw(target.shape[:2], corners, _softness(target_landmarks, rng), rng)
    if not poisson:
        if rng.random() < 0.8:
            moved = match_colours(moved, target, mask)
        return blend(moved, target, mask)
    hard = (mask > 0.5).astype(np.uint8) * 255
    rows, columns = np.flatnonzero(hard.any(1)), np.flatnonzero(hard.any(0))
    if len(rows) < 8 or len(columns) < 8:
        return blend(moved, target, mask)
    # OpenCV centres the mask's bounding box on the point that it is given.
    centre = (int(columns[0] + columns[-1] + 1) // 2, int(rows[0] + rows[-1] + 1) // 2)
    mode = cv2.MIXED_CLONE if rng.random() < 0.1 else cv2.NORMAL_CLONE
    return cv2.seamlessClone(match_colours(moved, target, mask), target, hard, centre, mode)


def _face_square(landmarks: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of the square around brows and chin, cut at the picture."""
    origin, across, down = masks.frame(landmarks)
    half = 1.5 * max(float(np.hypot(*across)), float(np.hypot(*down)))
    x, y = origin + 0.42 * down
    top, bottom = max(0, int(y - half)), min(shape[0], int(y + half))
    left, right = max(0, int(x - half)), min(shape[1], int(x + half))
    return top, bottom, left, right


def _redraw(
    picture: np.ndarray, side: int, decoder: Decoder | None, rng: np.random.Generator
) -> np.ndarray:
    """`picture` through its longer side of `side` pixels, where `decoder` draws it, and back."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    small = [max(16, round(v * scale / 16) * 16) for v in (width, height)]
    drawn = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    if decoder is not None:
        drawn = decoder(np.ascontiguousarray(drawn))
    return cv2.resize(drawn, (width, height), interpolation=int(rng.choice(_UP)))


def graft(
    source: np.ndarray,
    source_landmarks: np.ndarray,
    target: np.ndarray,
    target_landmarks: np.ndarray,
    decoder: Decoder | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """`target` with the face of `source`, which may be the same picture, as `decoder` draws it at
    80 to 200 pixels; `decoder` None: only at a low resolution. Outside the mask nothing changes.
    """
    matrix = alignment(source_landmarks, target_landmarks)
    moved = cv2.warpAffine(
        source,
        matrix,
        target.shape[1::-1],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    top, bottom, left, right = _face_square(target_landmarks, target.shape)
    if bottom - top < 32 or right - left < 32:
        raise ValueError("graft: the face lies outside the picture")
    least, most = (56, 128) if decoder is None else (80, 200)
    side = int(np.exp(rng.uniform(np.log(least), np.log(most))))
    before = np.ascontiguousarray(moved[top:bottom, left:right])
    drawn = _redraw(before, side, decoder, rng)
    if rng.random() < 0.35:  # some programs sharpen what they draw
        soft = cv2.GaussianBlur(drawn, (0, 0), rng.uniform(1.0, 2.5))
        amount = rng.uniform(0.3, 1.2)
        drawn = cv2.addWeighted(drawn, 1 + amount, soft, -amount, 0)
    moved[top:bottom, left:right] = drawn
    name = str(rng.choice(("face", "inner", "lower", "parts"), p=[0.5, 0.34, 0.08, 0.08]))
    corners = masks.polygons(target_landmarks, name, some_parts(rng), rng)
    _, across, _ = masks.frame(target_landmarks)
    softness = float(np.hypot(*across)) * float(rng.uniform(0.02, 0.18))
    mask = masks.draw(target.shape[:2], corners, softness, rng)
    # What was not drawn must not show either.
    inside = np.zeros_like(mask)
    inside[top:bottom, left:right] = 1
    mask *= inside
    if rng.random() < 0.85:
        moved = match_colours(moved, target, mask)
    return blend(moved, target, mask)
