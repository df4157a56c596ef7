"""What the tests of the programs share: the build's programs, small models, a runner.

The programs are those of the build folder that DFNET_BUILD names, else of build/; without them the
tests skip, saying so.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent.parent
PHOTOS = ROOT / "examples" / "photos"
FACE = PHOTOS / "astronaut_face.jpg"
ASTRONAUT = PHOTOS / "astronaut.png"
BOX = "168,61,109,109"
HOSTILE = "<script>alert(1)</script>\"'&\x1b[31m\u202e=\u009b"

# Keeps scores away from 0 and 1.
MILD: dict = {"std": (0.5, 0.5, 0.5), "temperature": 4.0}

sys.path[:0] = [str(ROOT), str(ROOT / "weights_tools" / "tests")]

# `./dev detector` makes the first, `./dev test python` names one.
DETECTOR = Path(
    os.environ.get("DFNET_TEST_DETECTOR", ROOT / "build" / "models" / "mtcnn.safetensors")
)

Run = Callable[..., subprocess.CompletedProcess]


def detector() -> Path:
    """The converted face detector."""
    if not DETECTOR.exists():
        pytest.skip(f"{DETECTOR} is not there (./dev detector)")
    return DETECTOR.resolve()


class _Image(ctypes.Structure):
    """ef_image."""

    _fields_ = [
        ("pixels", ctypes.POINTER(ctypes.c_uint8)),
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("stride", ctypes.c_ssize_t),
        ("format", ctypes.c_int),
        ("owner", ctypes.c_void_p),
    ]


def pixels(path: Path) -> np.ndarray:
    """uint8 [height, width, 3], decoded by the library of the same build."""
    try:
        library = ctypes.CDLL(str(program("dfnet").parent.parent / "lib" / "libdfnet.so"))
    except OSError as error:
        pytest.skip(f"a library with a sanitizer cannot be loaded here: {error}")
    image = _Image()
    assert library.ef_image_decode_file(os.fsencode(path), None, ctypes.byref(image), None) == 0
    shape = (image.height, image.width, 3)
    copy = np.ctypeslib.as_array(image.pixels, shape).copy()
    library.ef_image_free(ctypes.byref(image))
    return copy


def write_ppm(path: Path, picture: np.ndarray) -> Path:
    """picture: uint8 [height, width, 3]."""
    height, width = picture.shape[:2]
    path.write_bytes(b"P6 %d %d 255\n" % (width, height) + picture.tobytes())
    return path


def program(name: str) -> Path:
    """A program of the build folder."""
    path = Path(os.environ.get("DFNET_BUILD", ROOT / "build")).resolve() / "examples" / name
    if not path.exists():
        pytest.skip(f"{path} is not built (./dev build)")
    return path


def runner(name: str) -> Run:
    """run(ARGUMENTS..., env={}, input=b"", cwd=None): the finished program, output as bytes."""
    path = program(name)

    def run(*arguments: object, **more: object) -> subprocess.CompletedProcess:
        env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "DFNET_MODEL")}
        env["DFNET_DETECTOR"] = "/nonexistent"  # unless a test names one
        env |= more.pop("env", {})
        command = [os.fsencode(path), *(a if isinstance(a, bytes) else str(a) for a in arguments)]
        more.setdefault("stdin", None if "input" in more else subprocess.DEVNULL)
        if more["stdin"] is None:
            del more["stdin"]
        return subprocess.run(command, capture_output=True, env=env, timeout=300, **more)

    return run


@pytest.fixture(scope="session")
def dfnet() -> Run:
    return runner("dfnet")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small face model whose name, labels and licence are hostile."""
    import tiny_models

    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    labels = ["=1+1", HOSTILE, "@sum"]
    return tiny_models.write(path, name="n" + HOSTILE, labels=labels, license="l" + HOSTILE, **MILD)


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second face model, with other thresholds."""
    import tiny_models

    path = tmp_path_factory.mktemp("other") / "other.safetensors"
    return tiny_models.write(path, name="other", fake=2, thresholds=(0.5, 0.5), **MILD)


@pytest.fixture(scope="session")
def faceless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is not about faces."""
    import tiny_models

    path = tmp_path_factory.mktemp("faceless") / "faceless.safetensors"
    return tiny_models.write(path, fake=None)
