"""libdfnet through ctypes: load a model file, run inputs, look at every step, score faces.

Called by verify, by evaluate and by the parity harness. Arrays go in as float32 NCHW
[n, 3, height, width] and come out as float32 [n, outputs]; taps see NHWC, as the library
computes. Pictures are uint8 RGB [height, width, 3], upright, as it decodes them. The structs below
repeat include/dfnet/dfnet.h; the library fills them through their _init functions, which write
no more bytes than they are told, so that an older or newer library stays harmless.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from collections.abc import Callable
from ctypes import (
    POINTER,
    byref,
    c_char,
    c_char_p,
    c_double,
    c_float,
    c_int,
    c_int32,
    c_size_t,
    c_ssize_t,
    c_uint32,
    c_uint64,
    c_void_p,
)
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

GEMM = {"auto": 0, "native": 1, "openblas": 2}
CPU_ALL = 0xFFFFFFFF

_E_NO_FACE = -8
_E_NUMERIC = -11
_RGB8 = 1
_FACE_WHOLE, _FACE_BOX, _FACE_DETECT = 0, 1, 2

#: Called with (step name, float32 array NHWC [n, h, w, c]); the array is a copy.
StepTap = Callable[[str, np.ndarray], None]


class EngineError(RuntimeError):
    """A call that the library refused; `status` is its ef_status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def unsupported(self) -> bool:
        """Sound, but not in this build (EF_E_UNSUPPORTED), e.g. OpenBLAS."""
        return self.status == -6


class _Error(ctypes.Structure):
    _fields_ = (
        ("status", c_int),
        ("sys", c_int),
        ("where", c_char * 96),
        ("what", c_char * 256),
    )


class _Limits(ctypes.Structure):
    _fields_ = (("max_file_bytes", c_uint64), ("max_pixels", c_uint64))


class _Allocator(ctypes.Structure):
    _fields_ = (("alloc", c_void_p), ("free", c_void_p), ("user", c_void_p))


class _Pool(ctypes.Structure):
    _fields_ = (("workers", c_int), ("run", c_void_p), ("user", c_void_p))


class _Options(ctypes.Structure):
    _fields_ = (
        ("struct_size", c_size_t),
        ("threads", c_int),
        ("cpu_mask", c_uint32),
        ("gemm", c_int),
        ("height", c_int),
        ("width", c_int),
        ("batch", c_int),
        ("limits", _Limits),
        ("allocator", _Allocator),
        ("log", c_void_p),
        ("log_user", c_void_p),
        ("cancel", c_void_p),
        ("cancel_user", c_void_p),
        ("pool", _Pool),
    )


class _Image(ctypes.Structure):
    _fields_ = (
        ("pixels", c_void_p),
        ("width", c_int32),
        ("height", c_int32),
        ("stride", c_ssize_t),
        ("format", c_int),
        ("owner", c_void_p),
    )


class _Box(ctypes.Structure):
    _fields_ = (("x", c_float), ("y", c_float), ("w", c_float), ("h", c_float))


class _Detection(ctypes.Structure):
    _fields_ = (("box", _Box), ("score", c_float), ("landmarks", c_float * 10))


class _Face(ctypes.Structure):
    _fields_ = (("mode", c_int), ("box", _Box))


class _Result(ctypes.Structure):
    _fields_ = (
        ("struct_size", c_size_t),
        ("verdict", c_int),
        ("fake", c_float),
        ("logit", c_float),
        ("box", _Box),
        ("face_score", c_float),
    )


class _ClassifierOptions(ctypes.Structure):
    _fields_ = (
        ("struct_size", c_size_t),
        ("models", POINTER(c_void_p)),
        ("weights", POINTER(c_float)),
        ("model_count", c_size_t),
        ("detector", c_void_p),
        ("aggregate", c_int),
        ("real_below", c_float),
        ("fake_from", c_float),
    )


_TapFunction = ctypes.CFUNCTYPE(
    c_int, c_void_p, c_char_p, POINTER(c_float), c_int, c_int, c_int, c_int
)

_PROTOTYPES: dict[str, tuple[object, tuple[object, ...]]] = {
    "ef_version": (c_uint32, ()),
    "ef_options_init": (None, (POINTER(_Options), c_size_t)),
    "ef_model_load_file": (
        c_int,
        (c_char_p, POINTER(_Options), POINTER(c_void_p), POINTER(_Error)),
    ),
    "ef_model_free": (None, (c_void_p,)),
    "ef_model_verify": (
        c_int,
        (c_void_p, POINTER(_Options), POINTER(c_double), POINTER(c_double), POINTER(_Error)),
    ),
    "ef_session_create": (
        c_int,
        (c_void_p, POINTER(_Options), POINTER(c_void_p), POINTER(_Error)),
    ),
    "ef_session_free": (None, (c_void_p,)),
    "ef_session_run": (
        c_int,
        (c_void_p, POINTER(c_float), c_int, POINTER(c_float), POINTER(_Error)),
    ),
    "ef_session_look": (
        c_int,
        (c_void_p, POINTER(c_float), c_int, POINTER(c_float), POINTER(_Box), POINTER(_Error)),
    ),
    "ef_session_shape": (
        c_int,
        (c_void_p, POINTER(c_int), POINTER(c_int), POINTER(c_int), POINTER(c_int), POINTER(_Error)),
    ),
    "ef_session_tap": (c_int, (c_void_p, _TapFunction, c_void_p, POINTER(_Error))),
    "ef_model_load_default": (c_int, (POINTER(_Options), POINTER(c_void_p), POINTER(_Error))),
    "ef_model_default_path": (c_int, (c_char_p, c_size_t, POINTER(_Error))),
    "ef_detector_model_load_default": (
        c_int,
        (POINTER(_Options), POINTER(c_void_p), POINTER(_Error)),
    ),
    "ef_image_decode_memory": (
        c_int,
        (c_char_p, c_size_t, POINTER(_Options), POINTER(_Image), POINTER(_Error)),
    ),
    "ef_image_free": (None, (POINTER(_Image),)),
    "ef_detector_create": (
        c_int,
        (c_void_p, c_void_p, POINTER(_Options), POINTER(c_void_p), POINTER(_Error)),
    ),
    "ef_detector_free": (None, (c_void_p,)),
    "ef_detect_faces": (
        c_int,
        (
            c_void_p,
            POINTER(_Image),
            POINTER(_Detection),
            c_size_t,
            POINTER(c_size_t),
            POINTER(_Error),
        ),
    ),
    "ef_classifier_options_init": (None, (POINTER(_ClassifierOptions), c_size_t)),
    "ef_classifier_create": (
        c_int,
        (POINTER(_ClassifierOptions), POINTER(_Options), POINTER(c_void_p), POINTER(_Error)),
    ),
    "ef_classifier_free": (None, (c_void_p,)),
    "ef_result_init": (None, (POINTER(_Result), c_size_t)),
    "ef_classify_face": (
        c_int,
        (c_void_p, POINTER(_Image), POINTER(_Face), POINTER(_Result), POINTER(_Error)),
    ),
}


def find_library(explicit: str | None = None) -> str | None:
    """Where libdfnet is: the given path, $DFNET_LIBRARY, the repository's build, the system.

    None if it is nowhere. A path that was given is returned as it is, existing or not.
    """
    if explicit:
        return explicit
    if os.environ.get("DFNET_LIBRARY"):
        return os.environ["DFNET_LIBRARY"]
    built = Path(__file__).resolve().parent.parent / "build" / "lib" / "libdfnet.so"
    if built.exists():
        return str(built)
    return ctypes.util.find_library("dfnet")


class Library:
    """The loaded shared library. Raises OSError if `path` cannot be loaded."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._c = ctypes.CDLL(path)
        for name, (result, arguments) in _PROTOTYPES.items():
            try:
                function = getattr(self._c, name)
            except AttributeError as error:
                raise OSError(f"{path}: has no {name}; is this libdfnet?") from error
            function.restype = result
            function.argtypes = arguments

    @property
    def version(self) -> str:
        """Of the library in memory, e.g. "0.1.0"."""
        number = self._c.ef_version()
        return f"{number >> 16}.{number >> 8 & 255}.{number & 255}"

    def load(self, path: str | os.PathLike[str]) -> Model:
        """Load and check a model file; EngineError if the library refuses it."""
        return Model(self._c, os.fsencode(path))

    def load_detector(self, path: str | os.PathLike[str] | None = None) -> Model:
        """The face detector's model file; None: where the library looks for it."""
        return self.load(path) if path else Model(self._c, None)

    def default_model_path(self) -> str:
        """The file that ef_model_load_default() reads; EngineError if there is none."""
        buffer, error = ctypes.create_string_buffer(4096), _Error()
        _check(self._c.ef_model_default_path(buffer, len(buffer), byref(error)), error)
        return os.fsdecode(buffer.value)

    def decode(self, data: bytes) -> np.ndarray:
        """A picture file's pixels, uint8 RGB [height, width, 3]; EngineError if refused."""
        image, error = _Image(), _Error()
        status = self._c.ef_image_decode_memory(data, len(data), None, byref(image), byref(error))
        _check(status, error)
        try:
            row = image.width * 3
            whole = ctypes.string_at(image.pixels, image.stride * (image.height - 1) + row)
            rows = (whole[y * image.stride :][:row] for y in range(image.height))
            packed = whole if image.stride == row else b"".join(rows)
            return np.frombuffer(packed, np.uint8).reshape(image.height, image.width, 3)
        finally:
            self._c.ef_image_free(byref(image))


def _check(status: int, error: _Error) -> None:
    if status:
        where = error.where.decode(errors="replace")
        what = error.what.decode(errors="replace")
        raise EngineError(status, f"{where}: {what}" if where else what)


class _Handle:
    """A pointer that the library gave out; freed once, by close() or the garbage collector."""

    _free = ""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._c = library
        self._pointer = c_void_p()

    def close(self) -> None:
        """Free it; harmless when repeated."""
        if self._pointer:
            getattr(self._c, self._free)(self._pointer)
            self._pointer = c_void_p()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class Model(_Handle):
    """A loaded model (ef_model); path None: the default face detector."""

    _free = "ef_model_free"

    def __init__(self, library: ctypes.CDLL, path: bytes | None) -> None:
        super().__init__(library)
        error = _Error()
        if path is None:
            status = library.ef_detector_model_load_default(
                None, byref(self._pointer), byref(error)
            )
        else:
            status = library.ef_model_load_file(path, None, byref(self._pointer), byref(error))
        _check(status, error)

    def options(self, gemm: str, threads: int, cpu_mask: int) -> _Options:
        """The library's defaults with these changed."""
        options = _Options()
        self._c.ef_options_init(byref(options), ctypes.sizeof(options))
        options.gemm, options.threads, options.cpu_mask = GEMM[gemm], threads, cpu_mask
        return options

    def session(
        self,
        height: int,
        width: int,
        batch: int = 1,
        *,
        gemm: str = "auto",
        threads: int = 1,
        cpu_mask: int = CPU_ALL,
    ) -> Session:
        """Plan the network for one input size; EngineError if the library cannot."""
        options = self.options(gemm, threads, cpu_mask)
        options.height, options.width, options.batch = height, width, batch
        return Session(self._c, self._pointer, options)

    def classifier(
        self,
        detector: Model | None = None,
        *,
        gemm: str = "auto",
        threads: int = 1,
        cpu_mask: int = CPU_ALL,
    ) -> Classifier:
        """Score faces with this model; without a detector whole pictures only."""
        options = self.options(gemm, threads, cpu_mask)
        return Classifier(self._c, self._pointer, detector and detector._pointer, options)

    def detector(self, *, threads: int = 1, cpu_mask: int = CPU_ALL) -> Detector:
        """Find faces with this model, which is a face detector's."""
        return Detector(self._c, self._pointer, self.options("auto", threads, cpu_mask))

    def verify(
        self, *, gemm: str = "auto", threads: int = 1, cpu_mask: int = CPU_ALL
    ) -> tuple[float, float]:
        """(largest difference, tolerance) of the reference input, as the library sees it."""
        difference, tolerance, error = c_double(), c_double(), _Error()
        options = self.options(gemm, threads, cpu_mask)
        status = self._c.ef_model_verify(
            self._pointer, byref(options), byref(difference), byref(tolerance), byref(error)
        )
        if status != _E_NUMERIC:
            _check(status, error)
        return difference.value, tolerance.value


class Session(_Handle):
    """A planned network (ef_session); one thread at a time."""

    _free = "ef_session_free"

    def __init__(self, library: ctypes.CDLL, model: c_void_p, options: _Options) -> None:
        super().__init__(library)
        error = _Error()
        status = library.ef_session_create(
            model, byref(options), byref(self._pointer), byref(error)
        )
        _check(status, error)
        numbers = [c_int() for _ in range(4)]
        status = library.ef_session_shape(self._pointer, *map(byref, numbers), byref(error))
        _check(status, error)
        self.height, self.width, self.batch, self.outputs = (n.value for n in numbers)

    def look(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both looks of a model that looks twice: logits [n, 3, outputs] and parts [n, 4].

        The logits are those of the first look, of the second and of both; parts are x, y, width,
        height of what the second look saw.
        """
        data = np.ascontiguousarray(x, dtype=np.float32)
        if data.shape[1:] != (3, self.height, self.width) or len(data) > self.batch:
            raise ValueError(f"input has shape {list(x.shape)}, which is not the session's")
        logits = np.empty((len(data), 3, self.outputs), np.float32)
        parts = (_Box * len(data))()
        error = _Error()
        status = self._c.ef_session_look(
            self._pointer,
            data.ctypes.data_as(POINTER(c_float)),
            len(data),
            logits.ctypes.data_as(POINTER(c_float)),
            parts,
            byref(error),
        )
        _check(status, error)
        return logits, np.array([[p.x, p.y, p.w, p.h] for p in parts])

    def run(self, x: np.ndarray, tap: StepTap | None = None) -> np.ndarray:
        """Logits [n, outputs] of x [n, 3, height, width], n at most the session's batch.

        `tap` is given the output of every step of the plan. What it raises ends the run and is
        raised here.
        """
        expected = (3, self.height, self.width)
        if x.ndim != 4 or x.shape[1:] != expected or not 1 <= len(x) <= self.batch:
            raise ValueError(
                f"input has shape {list(x.shape)}, expected [1 to {self.batch},3,"
                f"{self.height},{self.width}]"
            )
        data = np.ascontiguousarray(x, dtype=np.float32)
        logits = np.empty((len(data), self.outputs), np.float32)
        raised: list[BaseException] = []
        error = _Error()
        function = _TapFunction() if tap is None else _wrap(tap, raised)
        _check(self._c.ef_session_tap(self._pointer, function, None, byref(error)), error)
        try:
            status = self._c.ef_session_run(
                self._pointer,
                data.ctypes.data_as(POINTER(c_float)),
                len(data),
                logits.ctypes.data_as(POINTER(c_float)),
                byref(error),
            )
        finally:
            # The library must not keep a callback that Python is about to free.
            self._c.ef_session_tap(self._pointer, _TapFunction(), None, None)
        if raised:
            raise raised[0]
        _check(status, error)
        return logits


def _wrapped(pixels: np.ndarray) -> tuple[_Image, np.ndarray]:
    """An ef_image over uint8 RGB [height, width, 3], and the array that must outlive it."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels are {pixels.dtype} {list(pixels.shape)}, not uint8 [h,w,3]")
    data = np.ascontiguousarray(pixels)
    height, width, _ = data.shape
    return _Image(data.ctypes.data, width, height, width * 3, _RGB8, None), data


@dataclass(frozen=True)
class FoundFace:
    """One detection (ef_detection), in pixels of the picture."""

    box: tuple[float, float, float, float]  # x, y, width, height
    landmarks: np.ndarray  # [5, 2] x y: eyes, nose, corners of the mouth
    score: float


class Detector(_Handle):
    """Pictures to faces (ef_detector); one thread at a time."""

    _free = "ef_detector_free"

    def __init__(self, library: ctypes.CDLL, model: c_void_p, options: _Options) -> None:
        super().__init__(library)
        error = _Error()
        status = library.ef_detector_create(
            model, None, byref(options), byref(self._pointer), byref(error)
        )
        _check(status, error)

    def faces(self, pixels: np.ndarray, most: int = 256) -> list[FoundFace]:
        """The largest `most` faces of uint8 RGB [height, width, 3], the largest first."""
        image, _data = _wrapped(pixels)
        found, count, error = (_Detection * most)(), c_size_t(), _Error()
        status = self._c.ef_detect_faces(
            self._pointer, byref(image), found, most, byref(count), byref(error)
        )
        _check(status, error)
        return [
            FoundFace(
                (face.box.x, face.box.y, face.box.w, face.box.h),
                np.array(face.landmarks).reshape(5, 2),
                face.score,
            )
            for face in found[: min(count.value, most)]
        ]

    def largest(self, pixels: np.ndarray) -> tuple[float, float, float, float] | None:
        """Box of the largest face of uint8 RGB [height, width, 3]: x, y, width, height."""
        faces = self.faces(pixels, 1)
        return faces[0].box if faces else None


@dataclass(frozen=True)
class FaceScore:
    """What ef_classify_face() says of one face."""

    fake: float  # probability in [0, 1], temperature applied
    logit: float  # its log-odds before the temperature
    verdict: str  # real, uncertain or fake
    box: tuple[float, float, float, float]  # x, y, width, height in pixels


_VERDICTS = ("none", "real", "uncertain", "fake")


class Classifier(_Handle):
    """Pictures to scores (ef_classifier); one thread at a time."""

    _free = "ef_classifier_free"

    def __init__(
        self, library: ctypes.CDLL, model: c_void_p, detector: c_void_p | None, options: _Options
    ) -> None:
        super().__init__(library)
        what, error = _ClassifierOptions(), _Error()
        library.ef_classifier_options_init(byref(what), ctypes.sizeof(what))
        what.models, what.model_count = (c_void_p * 1)(model.value), 1
        what.detector = detector
        status = library.ef_classifier_create(
            byref(what), byref(options), byref(self._pointer), byref(error)
        )
        _check(status, error)

    def score(
        self,
        pixels: np.ndarray,
        *,
        whole: bool = False,
        box: tuple[float, float, float, float] | None = None,
    ) -> FaceScore | None:
        """Score the largest face of uint8 RGB [height, width, 3], or what `box` or `whole` say.

        None if the detector finds no face; EngineError for everything else.
        """
        image, _data = _wrapped(pixels)
        face = _Face(_FACE_WHOLE if whole else _FACE_DETECT)
        if box is not None:
            face = _Face(_FACE_BOX, _Box(*box))
        result, error = _Result(), _Error()
        self._c.ef_result_init(byref(result), ctypes.sizeof(result))
        status = self._c.ef_classify_face(
            self._pointer, byref(image), byref(face), byref(result), byref(error)
        )
        if status == _E_NO_FACE:
            return None
        _check(status, error)
        box = result.box
        return FaceScore(
            result.fake, result.logit, _VERDICTS[result.verdict], (box.x, box.y, box.w, box.h)
        )


def _wrap(tap: StepTap, raised: list[BaseException]) -> object:
    """A C callback that copies the step's output and carries exceptions around the library."""

    def call(_user: object, name: bytes, data: object, n: int, h: int, w: int, c: int) -> int:
        try:
            tap(name.decode(), np.ctypeslib.as_array(data, shape=(n, h, w, c)).copy())
        except BaseException as error:
            raised.append(error)
            return 1
        return 0

    return _TapFunction(call)
