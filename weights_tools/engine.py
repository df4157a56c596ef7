"""libdfnet through ctypes: load a model file, run inputs, look at every step.

Called by verify and by the parity harness. Arrays go in as float32 NCHW [n, 3, height, width]
and come out as float32 [n, outputs]; taps see NHWC, as the library computes. The structs below
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
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
)
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

GEMM = {"auto": 0, "native": 1, "openblas": 2}
CPU_ALL = 0xFFFFFFFF

_E_NUMERIC = -11

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
    "ef_session_shape": (
        c_int,
        (c_void_p, POINTER(c_int), POINTER(c_int), POINTER(c_int), POINTER(c_int), POINTER(_Error)),
    ),
    "ef_session_tap": (c_int, (c_void_p, _TapFunction, c_void_p, POINTER(_Error))),
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
    """A loaded model (ef_model)."""

    _free = "ef_model_free"

    def __init__(self, library: ctypes.CDLL, path: bytes) -> None:
        super().__init__(library)
        error = _Error()
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
