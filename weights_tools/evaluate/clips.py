"""A clip, altered and encoded once more, as every model gets to see it.

Called by clip_scoring.py. Frames are decoded by PyAV (FFmpeg), turned upright, altered one by one
as pictures are (alterations.py), and written as H.264 of one quality, altered or not, real or fake,
so that no class keeps a codec history of its own. What is random comes from the clip's key: signs,
places and directions stay for the whole clip; noise is drawn anew for every frame.

Three things only clips have:

    h264    the final encoding is the alteration: at the level's CRF
    fps     frames are left out until so many a second are left
    overlays move: they stay, roll by ROLL pixels a frame, or flash (half a second on, half off);
            the key says how, or the name: overlay_text@flash

Frames pass through one at a time, so memory does not grow with a clip's length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np

from .alterations import MOTIONS, Alteration, Value, lookup, random_for

#: Pixels that a rolling overlay moves with each frame.
ROLL = 10
#: What an overlay that flashes is there for, and away for, in seconds.
FLASH = 0.5
_NOISE = ("gaussian_noise", "salt_pepper")
_CLOCK = 90_000  # ticks of a second in what is written
# Nothing of the encoder may depend on the machine or the moment: one thread, one preset, and no
# macroblock tree, with which the same small frames did not always give the same bytes.
_ENCODER = {"preset": "veryfast", "x264-params": "mbtree=0"}

#: Seconds from the clip's begin, and uint8 RGB [height, width, 3].
Frame = tuple[float, np.ndarray]


class ClipError(Exception):
    """A clip cannot be decoded or encoded."""


@dataclass(frozen=True)
class ClipPreparation:
    """What is done to every clip, altered or not."""

    side: int = 0  # a frame's longer side is at most this; 0: as it is
    crf: int = 18  # of the H.264 that each clip finally becomes
    seconds: float = 10.0  # only the beginning counts; 0: all

    def __str__(self) -> str:
        side = f"at most {self.side} pixels a side, " if self.side else ""
        length = f"the first {self.seconds:g} s, " if self.seconds else ""
        return f"every clip: {length}{side}H.264 with CRF {self.crf} at the end"


def decode(path: str, preparation: ClipPreparation) -> Iterator[Frame]:
    """The frames of the first video stream, upright, with even sides; ClipError."""
    try:
        with av.open(path) as container:
            if not container.streams.video:
                raise ClipError("has no video")
            stream = container.streams.video[0]
            first: float | None = None
            for count, frame in enumerate(container.decode(stream)):
                time = frame.time if frame.time is not None else count / float(rate_of(stream))
                first = time if first is None else first
                if preparation.seconds and time - first >= preparation.seconds:
                    break
                yield time - first, _prepared(frame, preparation.side)
            if first is None:
                raise ClipError("has no frame")
    except av.FFmpegError as error:
        raise ClipError(error.strerror or str(error)) from error


def rate_of(stream: av.VideoStream) -> Fraction:
    """Frames a second as the file has it, 25 if it does not say."""
    rate = stream.average_rate or stream.guessed_rate
    return Fraction(rate) if rate else Fraction(25)


def _prepared(frame: av.VideoFrame, side: int) -> np.ndarray:
    pixels = frame.to_ndarray(format="rgb24")
    pixels = np.rot90(pixels, round(frame.rotation / 90) % 4)
    height, width = pixels.shape[:2]
    if side and max(height, width) > side:
        scale = side / max(height, width)
        size = (max(2, round(width * scale)), max(2, round(height * scale)))
        pixels = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
    return _even(pixels)


def _even(pixels: np.ndarray) -> np.ndarray:
    """Without the odd row or column that 4:2:0 has no place for."""
    height, width = pixels.shape[:2]
    if height < 2 or width < 2:
        raise ClipError(f"has frames of {width}x{height}")
    return np.ascontiguousarray(pixels[: height & ~1, : width & ~1])


# ---- alterations ----


def alter_clip(frames: Iterator[Frame], name: str, level: int, key: str) -> Iterator[Frame]:
    """The frames after one alteration; of h264 they are as they were."""
    row, value = lookup(name, level, clips=True)
    if row.name == "h264":
        return frames
    if row.name == "fps":
        return _fewer(frames, float(value))  # type: ignore[arg-type]
    if row.is_overlay:
        return _overlaid(frames, row, value, name, level, key)
    return _each(frames, row, value, name, level, key)


def _each(
    frames: Iterator[Frame], row: Alteration, value: Value, name: str, level: int, key: str
) -> Iterator[Frame]:
    assert row.change
    for count, (time, pixels) in enumerate(frames):
        own = f"{key}\0{count}" if row.name in _NOISE else key
        yield time, row.change(pixels, value, random_for(own, name, level))


def _fewer(frames: Iterator[Frame], rate: float) -> Iterator[Frame]:
    """Of each interval of 1/rate seconds the first frame, at its own time."""
    last = -1
    for time, pixels in frames:
        tick = int(time * rate + 1e-6)
        if tick > last:
            last = tick
            yield time, pixels


def motion_of(name: str, level: int, key: str) -> str:
    """How the overlay of this cell of this clip moves."""
    asked = name.partition("=")[0].partition("@")[2]
    return asked or MOTIONS[random_for(key, f"{name} motion", level).randint(len(MOTIONS))]


def _overlaid(
    frames: Iterator[Frame], row: Alteration, value: Value, name: str, level: int, key: str
) -> Iterator[Frame]:
    """One overlay for the whole clip, as a colour and an opacity for each pixel.

    Drawn over black and over white, it tells both.
    """
    assert row.change
    motion = motion_of(name, level, key)
    # The same overlay however it moves.
    plain = name.replace(f"@{motion}", "")
    axis = int(random_for(key, f"{plain} axis", level).randint(2))
    colour = opacity = None
    for count, (time, pixels) in enumerate(frames):
        if colour is None or colour.shape != pixels.shape:
            black, white = (np.full_like(pixels, shade) for shade in (0, 255))
            colour, on_white = (
                row.change(ground, value, random_for(key, plain, level)).astype(np.int32)
                for ground in (black, white)
            )
            opacity = 255 - (on_white - colour)
        if motion == "flash" and int(time / FLASH) % 2:
            yield time, pixels
            continue
        shift = ROLL * count if motion == "roll" else 0
        over, ground = (np.roll(part, shift, axis) for part in (colour, 255 - opacity))
        yield time, ((pixels * ground + 127) // 255 + over).clip(0, 255).astype(np.uint8)


# ---- encoding ----


def encode(frames: Iterator[Frame], path: str, crf: int) -> tuple[str, int]:
    """Writes an MP4 with H.264; a digest of the coded pictures, and their number. ClipError."""
    digest, count, last = hashlib.sha256(), 0, -1
    stream = None
    try:
        with av.open(path, "w", format="mp4") as container:
            for time, pixels in frames:
                even = _even(pixels)
                if stream is None:
                    stream = _stream(container, even, crf)
                elif (stream.height, stream.width) != even.shape[:2]:
                    raise ClipError("its frames change their size")
                frame = av.VideoFrame.from_ndarray(even, format="rgb24")
                last = max(round(time * _CLOCK), last + 1)
                frame.pts, frame.time_base = last, Fraction(1, _CLOCK)
                count += 1
                _write(container, stream.encode(frame), digest)
            if stream is None:
                raise ClipError("has no frame")
            _write(container, stream.encode(), digest)
    except av.FFmpegError as error:
        raise ClipError(error.strerror or str(error)) from error
    return digest.hexdigest(), count


def _stream(container: av.container.OutputContainer, pixels: np.ndarray, crf: int):
    stream = container.add_stream("libx264", rate=30)
    stream.height, stream.width = pixels.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.options = {"crf": str(crf), **_ENCODER}
    stream.codec_context.thread_count = 1
    stream.codec_context.time_base = Fraction(1, _CLOCK)
    return stream


def _write(container: av.container.OutputContainer, packets: list, digest: hashlib._Hash) -> None:
    for packet in packets:
        digest.update(bytes(packet))
        container.mux(packet)


def crf_of(cell: tuple[str, int], preparation: ClipPreparation) -> int:
    """Of the final encoding: of the cells of h264 it is the alteration."""
    if cell[0].partition("=")[0] == "h264":
        return round(float(lookup(*cell, clips=True)[1]))  # type: ignore[arg-type]
    return preparation.crf
