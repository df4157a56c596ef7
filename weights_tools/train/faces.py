"""Finds faces with libdfnet's own detector, through ctypes.

Called by prepare.py, which stores what it finds beside the decoded pictures, and by the parity
check. The structs repeat include/dfnet/dfnet.h. The detector's weights are those that
`./dev detector` makes (or what DFNET_DETECTOR names).
"""

from __future__ import annotations

import ctypes
from ctypes import (
    POINTER,
    byref,
    c_char_p,
    c_float,
    c_size_t,
    c_void_p,
)
from dataclasses import dataclass

import numpy as np

from ..engine import _RGB8, EngineError, _Box, _check, _Error, _Image, find_library

_MOST_FACES = 16


class _Point(ctypes.Structure):
    _fields_ = (("x", c_float), ("y", c_float))


class _Detection(ctypes.Structure):
    _fields_ = (("box", _Box), ("score", c_float), ("landmarks", _Point * 5))


@dataclass(frozen=True)
class Face:
    """A found face: box (x, y, w, h), which may reach over the edge; landmarks [5, 2]: eyes,
    nose, corners of the mouth, left ones in the picture first; score in [0, 1]."""

    box: np.ndarray
    landmarks: np.ndarray
    score: float


class Detector:
    """The library's face detector; one thread at a time. EngineError says what is missing."""

    def __init__(self, library: str | None = None) -> None:
        path = find_library(library)
        if path is None:
            raise EngineError(-3, "libdfnet was not found; build it with ./dev build")
        self._c = ctypes.CDLL(path)
        self._c.ef_detect_faces.argtypes = (
            c_void_p,
            POINTER(_Image),
            POINTER(_Detection),
            c_size_t,
            POINTER(c_size_t),
            POINTER(_Error),
        )
        self._c.ef_detector_free.argtypes = (c_void_p,)
        self._c.ef_model_free.argtypes = (c_void_p,)
        self._c.ef_version.argtypes = ()
        self._c.ef_strerror.restype = c_char_p
        model, self._pointer, error = c_void_p(), c_void_p(), _Error()
        status = self._c.ef_detector_model_load_default(None, byref(model), byref(error))
        _check(status, error)
        status = self._c.ef_detector_create(model, None, None, byref(self._pointer), byref(error))
        self._c.ef_model_free(model)  # the detector holds a share of its own
        _check(status, error)

    def faces(self, picture: np.ndarray) -> list[Face]:
        """The faces of an RGB picture [h, w, 3] uint8, the largest first, at most 16."""
        pixels = np.ascontiguousarray(picture, np.uint8)
        height, width = pixels.shape[:2]
        image = _Image(pixels.ctypes.data, width, height, width * 3, _RGB8, None)
        found, count, error = (_Detection * _MOST_FACES)(), c_size_t(), _Error()
        status = self._c.ef_detect_faces(
            self._pointer, byref(image), found, _MOST_FACES, byref(count), byref(error)
        )
        _check(status, error)
        return [
            Face(
                np.array([f.box.x, f.box.y, f.box.w, f.box.h], np.float32),
                np.array([(p.x, p.y) for p in f.landmarks], np.float32),
                float(f.score),
            )
            for f in found[: min(count.value, _MOST_FACES)]
        ]

    def close(self) -> None:
        """Free it; harmless when repeated."""
        if self._pointer:
            self._c.ef_detector_free(self._pointer)
            self._pointer = c_void_p()
