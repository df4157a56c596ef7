"""libdfnet over pictures in memory, in one of three ways.

Called by bench.py, one Scorer for each thread. The ways differ in what is altered:

    frame   the full picture; then the detector looks for the largest face, and may miss it
    crop    the face that the detector found in the unaltered picture, cut out by the model's
            own rule: what the classifier withstands, the detector left aside
    whole   the full picture, which is a face crop already; no detector
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..engine import Classifier, FaceScore, Library
from ..errors import InputRefused
from ..model_file import Metadata

WAYS = ("frame", "crop", "whole")
Box = tuple[float, float, float, float]


class Scorer:
    """Scores altered pictures with one model; one thread at a time."""

    def __init__(self, classifier: Classifier, meta: Metadata, way: str) -> None:
        if way == "crop":
            check_rule(meta)
        self._classifier, self._meta, self._way = classifier, meta, way

    def subject(self, pixels: np.ndarray) -> np.ndarray | None:
        """What of an unaltered picture is to be altered; None if a face was needed and none is."""
        if self._way != "crop":
            return pixels
        found = self._classifier.score(pixels)
        return None if found is None else cut_face(pixels, found.box, self._meta)

    def score(self, pixels: np.ndarray) -> FaceScore | None:
        """Of an altered subject; None if no face was found."""
        return self._classifier.score(pixels, whole=self._way != "frame")


def check_rule(meta: Metadata) -> None:
    """InputRefused if `cut_face` does not know the model's crop rule."""
    if meta.face_align or meta.face_rounding not in ("nearest", "truncate") or meta.face_least:
        raise InputRefused("this model's crop rule (see `info`) is not known to --way crop")


def cut_face(pixels: np.ndarray, box: Box, meta: Metadata) -> np.ndarray:
    """The pixels that the model would see of a face: FORMAT.md, section 2, dfnet.face.*."""
    height, width = pixels.shape[:2]
    x, y, w, h = box
    left, top, right, bottom = meta.face_margin
    if meta.face_shape == "square":
        side = max(w, h) * (1 + (left + top + right + bottom) / 2)
        x0, y0 = x + w / 2 - side / 2, y + h / 2 - side / 2
        x1, y1 = x0 + side, y0 + side
    else:
        across = h if meta.face_unit == "height" else w
        x0, x1 = x - left * across, x + w + right * across
        y0, y1 = y - top * h, y + h + bottom * h
    whole: Callable[[float], int] = math.trunc
    if meta.face_rounding == "nearest":
        whole = _half_up
    rows = _kept(whole(y0), whole(y1), height, meta.face_outside)
    columns = _kept(whole(x0), whole(x1), width, meta.face_outside)
    size = (rows[1] - rows[0], columns[1] - columns[0])
    out = np.empty((*size, 3), np.uint8)
    out[:] = meta.face_pad
    inside_y = (max(rows[0], 0), min(rows[1], height))
    inside_x = (max(columns[0], 0), min(columns[1], width))
    out[
        inside_y[0] - rows[0] : inside_y[1] - rows[0],
        inside_x[0] - columns[0] : inside_x[1] - columns[0],
    ] = pixels[inside_y[0] : inside_y[1], inside_x[0] : inside_x[1]]
    return out


def _half_up(value: float) -> int:
    return math.floor(value + 0.5)


def _kept(start: int, end: int, limit: int, outside: str) -> tuple[int, int]:
    """[start, end) as dfnet.face.outside wants it, at least one pixel."""
    end = max(end, start + 1)
    if outside == "pad":
        return start, end
    if outside == "shift":
        shift = max(-start, 0) or min(limit - end, 0)
        start, end = start + shift, end + shift
    return max(start, 0), min(end, limit)


def load(
    library: Library, model_path: str, detector_path: str | None, meta: Metadata, way: str
) -> Callable[[], Scorer]:
    """Loads once and returns what makes a Scorer for a thread.

    The native matrix multiplier: its results do not depend on the machine's number of threads.
    """
    model = library.load(model_path)
    detector = None if way == "whole" else library.load_detector(detector_path)
    return lambda: Scorer(model.classifier(detector, gemm="native"), meta, way)
