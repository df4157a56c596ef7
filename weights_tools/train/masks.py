"""Soft masks of a face and of its parts, from five landmarks.

Called by forge.py. Landmarks are [5, 2]: left eye, right eye, nose, left and right corner of the
mouth, as the picture shows them. The face's own frame has its origin between the eyes, `across`
from eye to eye and `down` from there to the mouth, so that masks follow a turned head.
"""

from __future__ import annotations

import cv2
import numpy as np

#: Parts that a composite replaces, alone or together.
PARTS = ("left eye", "right eye", "nose", "mouth")
#: Regions that a blended face may take; the first two are the usual ones.
REGIONS = ("face", "inner", "upper", "lower", "left", "right", "T", "parts")

_CORNERS = 24


def frame(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(origin, across, down): the point between the eyes and two vectors in pixels."""
    points = landmarks.astype(np.float64)
    origin = (points[0] + points[1]) / 2
    return origin, points[1] - points[0], (points[3] + points[4]) / 2 - origin


def usable(landmarks: np.ndarray) -> bool:
    """Whether the five points look like a face seen more or less from the front."""
    _, across, down = frame(landmarks)
    a, d = float(np.hypot(*across)), float(np.hypot(*down))
    if min(a, d) < 12 or not 0.5 < d / a < 2.2:
        return False
    return abs(float(across @ down)) / (a * d) < 0.6


def _ellipse(
    centre: np.ndarray, across: np.ndarray, down: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    radii = 1 + rng.normal(0, 0.03, _CORNERS)
    return (
        centre
        + (np.cos(angles) * radii)[:, None] * across
        + (np.sin(angles) * radii)[:, None] * down
    )


def polygons(
    landmarks: np.ndarray, region: str, parts: tuple[str, ...], rng: np.random.Generator
) -> list[np.ndarray]:
    """Corner lists [k, 2] whose union is the region; `parts` counts for "parts" only."""
    origin, across, down = frame(landmarks)
    grow = rng.uniform(0.88, 1.12)

    def part(name: str) -> np.ndarray:
        wide, high = rng.uniform(0.85, 1.2, 2)
        if name.endswith("eye"):
            eye = landmarks[0 if name.startswith("left") else 1].astype(np.float64)
            # Half of the time the brow comes along.
            lift = -0.16 if rng.random() < 0.5 else -0.04
            tall = 0.34 if lift < -0.1 else 0.22
            return _ellipse(eye + lift * down, 0.42 * wide * across, tall * high * down, rng)
        if name == "nose":
            centre = (landmarks[2] + origin + 0.3 * down) / 2 + 0.08 * down
            return _ellipse(centre, 0.34 * wide * across, 0.46 * high * down, rng)
        middle = origin + down
        return _ellipse(middle, 0.55 * wide * across, 0.34 * high * down, rng)

    if region == "parts":
        return [part(name) for name in parts]
    if region == "T":
        return [part("left eye"), part("right eye"), part("nose")]
    if region == "inner":
        size = 0.95 * grow
        return [_ellipse(origin + 0.5 * down, 0.9 * size * across, 0.95 * size * down, rng)]
    face = _ellipse(origin + 0.38 * down, 1.12 * grow * across, 1.3 * grow * down, rng)
    if region == "face":
        return [face]
    relative = face - (origin + 0.42 * down)
    side = {"upper": -down, "lower": down, "left": -across, "right": across}[region]
    beyond = np.minimum(relative @ side / float(side @ side), 0)
    return [face - beyond[:, None] * side]


def draw(
    shape: tuple[int, int], corners: list[np.ndarray], soft: float, rng: np.random.Generator
) -> np.ndarray:
    """Float32 mask [h, w] in [0, 1]: the polygons' union, its edge wavy and `soft` pixels wide.

    Everything within a few pixels of the picture's edge is 0, so that a blend stays inside.
    """
    height, width = shape
    mask = np.zeros(shape, np.uint8)
    for polygon in corners:
        cv2.fillPoly(mask, [np.round(polygon).astype(np.int32)], 255)
    # An elastic shift: smooth noise made small and enlarged is cheap.
    bend = max(2.0, 0.02 * max(shape))
    coarse = rng.normal(0, bend, (2, 6, 6)).astype(np.float32)
    grid_x, grid_y = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    )
    shift = [cv2.resize(c, (width, height), interpolation=cv2.INTER_CUBIC) for c in coarse]
    mask = cv2.remap(mask, grid_x + shift[0], grid_y + shift[1], cv2.INTER_LINEAR)
    # Blurring alone would leak out of the region; what is not whole after it is taken away.
    first = cv2.GaussianBlur(mask, (0, 0), max(0.6, soft / 2))
    mask = np.where(first >= 250, np.uint8(255), np.uint8(0)) if soft > 2 else first
    result = cv2.GaussianBlur(mask, (0, 0), max(0.6, soft)).astype(np.float32) / 255
    margin = 2
    result[:margin] = result[-margin:] = 0
    result[:, :margin] = result[:, -margin:] = 0
    return result
