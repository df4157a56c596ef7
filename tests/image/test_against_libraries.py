"""lib/image against Pillow and OpenCV on many more pictures than the committed goldens.

    DFNET_IMAGE_TOOL=build/tests/image/image_tool pytest tests/image

Skipped, with the reason, where Pillow, OpenCV or the built program is missing. The versions
in requirements.txt are those that the results equal; Pillow 13 resizes some shapes in another
order and is skipped too.
"""

from __future__ import annotations

import io
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

np = pytest.importorskip("numpy", reason="numpy is not installed")
Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
cv2 = pytest.importorskip("cv2", reason="opencv-python-headless is not installed")

if int(Image.__version__.split(".")[0]) >= 13:
    pytest.skip("Pillow 13 resizes tall pictures vertically first", allow_module_level=True)

from make_goldens import PAD, padded_crop, resize  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["box", "bilinear", "bicubic", "area", "linear", "cubic"]


def find_tool() -> str | None:
    """The built helper: $DFNET_IMAGE_TOOL, else the one in build/."""
    given = os.environ.get("DFNET_IMAGE_TOOL")
    built = ROOT / "build/tests/image/image_tool"
    return given or (str(built) if built.exists() else None)


class Tool:
    """A running image_tool.c."""

    def __init__(self, path: str) -> None:
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin and self.process.stdout
        self.input, self.output = self.process.stdin, self.process.stdout

    def ask(self, request: bytes) -> None:
        self.input.write(request)
        self.input.flush()

    def resize(self, how, source, rect, width, height):
        """dfn_resize(): uint8 [height][width][3]."""
        numbers = [how, source.shape[1], source.shape[0], *rect, width, height]
        self.ask(b"R" + struct.pack("=9i", *numbers) + source.tobytes())
        (status,) = struct.unpack("=i", self.output.read(4))
        assert status == 0
        data = self.output.read(width * height * 3)
        return np.frombuffer(data, np.uint8).reshape(height, width, 3)

    def decode(self, data: bytes):
        """dfn_image_decode(): status, and uint8 [height][width][3] or None."""
        self.ask(b"D" + struct.pack("=i", len(data)) + data)
        status, width, height = struct.unpack("=3i", self.output.read(12))
        if status:
            return status, None
        pixels = np.frombuffer(self.output.read(width * height * 3), np.uint8)
        return status, pixels.reshape(height, width, 3)


@pytest.fixture(scope="module")
def tool() -> Iterator[Tool]:
    path = find_tool()
    if not path:
        pytest.skip("image_tool is not built; set DFNET_IMAGE_TOOL")
    running = Tool(path)
    yield running
    running.input.close()
    assert running.process.wait(timeout=30) == 0


def random_picture(rng, width: int, height: int):
    source = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if rng.integers(3) == 0:
        return np.where(source > 127, 255, 0).astype(np.uint8)
    return source


def random_sizes(rng, mode: str) -> tuple[int, int, int, int]:
    """Crop and output sizes that lead down one of the filters' paths."""
    w, h = (int(v) for v in rng.integers(1, 160, 2))
    out_w, out_h = (int(v) for v in rng.integers(1, 160, 2))
    if mode == "whole factors":
        out_w, out_h = out_w // 4 + 1, out_h // 4 + 1
        w, h = out_w * int(rng.integers(1, 6)), out_h * int(rng.integers(1, 6))
    elif mode == "shrink":
        out_w, out_h = int(rng.integers(1, w + 1)), int(rng.integers(1, h + 1))
    elif mode == "enlarge":
        out_w, out_h = int(rng.integers(w, 240)), int(rng.integers(h, 240))
    return w, h, out_w, out_h


@pytest.mark.parametrize("mode", ["any", "whole factors", "shrink", "enlarge"])
@pytest.mark.parametrize("how", range(6), ids=NAMES)
def test_resize(tool: Tool, how: int, mode: str) -> None:
    rng = np.random.default_rng([how, len(mode)])
    differ = total = 0
    for _ in range(150):
        w, h, out_w, out_h = random_sizes(rng, mode)
        source = random_picture(rng, int(rng.integers(1, 170)), int(rng.integers(1, 170)))
        x, y = (int(v) for v in rng.integers(-20, 60, 2))
        expected = resize(padded_crop(source, x, y, w, h), how, out_w, out_h)
        got = tool.resize(how, source, (x, y, w, h), out_w, out_h)
        difference = np.abs(got.astype(int) - expected)
        where = f"{source.shape} {(x, y, w, h)} to {out_w} x {out_h}"
        assert difference.max() <= (1 if NAMES[how] == "cubic" else 0), where
        differ += int((difference > 0).sum())
        total += difference.size
    # Only ties of OpenCV's cubic filter may differ, see resize_opencv.c.
    assert differ <= total * (0.005 if NAMES[how] == "cubic" else 0)


def test_resize_photograph_sizes(tool: Tool) -> None:
    rng = np.random.default_rng(7)
    source = random_picture(rng, 1003, 751)
    for how in range(6):
        for width, height in ((224, 224), (380, 380), (1280, 960)):
            expected = resize(source, how, width, height)
            got = tool.resize(how, source, (0, 0, 1003, 751), width, height)
            most = np.abs(got.astype(int) - expected).max()
            assert most <= (1 if NAMES[how] == "cubic" else 0), (NAMES[how], width)


def test_padding_colour_is_the_tools(tool: Tool) -> None:
    got = tool.resize(0, np.zeros((2, 2, 3), np.uint8), (5, 5, 3, 3), 3, 3)
    assert (got == PAD).all()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_pixels_are_pillows(tool: Tool, subsampling: int, progressive: bool) -> None:
    rng = np.random.default_rng(subsampling)
    for _ in range(40):
        source = random_picture(rng, int(rng.integers(1, 90)), int(rng.integers(1, 90)))
        smooth = Image.fromarray(source).resize((97, 63), Image.Resampling.BICUBIC)
        for image in (Image.fromarray(source), smooth):
            file = io.BytesIO()
            quality = int(rng.integers(20, 99))
            image.save(
                file, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive
            )
            status, got = tool.decode(file.getvalue())
            assert status == 0
            assert np.array_equal(got, np.asarray(Image.open(file).convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM"])
@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_lossless_pixels_are_pillows(tool: Tool, kind: str, mode: str) -> None:
    if kind == "PPM" and mode in ("P", "1"):
        pytest.skip("PNM has no palettes, and bitmaps (P4) are refused")
    rng = np.random.default_rng(1)
    for _ in range(40):
        source = random_picture(rng, int(rng.integers(1, 90)), int(rng.integers(1, 90)))
        image = Image.fromarray(source).convert(mode)
        file = io.BytesIO()
        image.save(file, kind)
        status, got = tool.decode(file.getvalue())
        assert status == 0
        assert np.array_equal(got, np.asarray(Image.open(file).convert("RGB")))


def test_damaged_files_get_an_answer(tool: Tool) -> None:
    rng = np.random.default_rng(5)
    files = [p.read_bytes() for p in sorted((ROOT / "tests/image/data").glob("*.[pjb]*g"))]
    for data in files:
        for _ in range(20):
            broken = bytearray(data)
            broken[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
            status, _ = tool.decode(bytes(broken))
            assert status in (0, -4, -6, -7)
