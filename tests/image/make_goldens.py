"""Writes the pictures and expected pixels that the Check suites of lib/image read.

    python tests/image/make_goldens.py        (versions: tests/image/requirements.txt)

Writes into tests/image/data:

* ``*.png, *.jpg, *.bmp, *.pgm, *.ppm``: tiny pictures, one of each kind that matters.
* ``decode.txt``: a line a picture: name, ef_status, width, height, offset of its pixels in
  ``decode.rgb``. PNG, BMP and PNM are written here byte by byte and their pixels follow from
  the formulas, so no decoder takes part; JPEG pixels are Pillow's.
* ``resize.txt``: a line a case: filter, picture kind, seed, width, height, crop x, y, w, h,
  output width, height, CRC-32 of the result, offset of the result in ``resize.rgb`` or -1.
  The pictures are made from the seed (``picture``; test_resize.c has the same), the results
  are Pillow's and OpenCV's. Cubic OpenCV results are kept whole: they are compared with a
  tolerance.

All pixel arrays are uint8 [height][width][3], R G B.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

Pixels = npt.NDArray[np.uint8]

DATA = Path(__file__).parent / "data"
OK, FORMAT, UNSUPPORTED, LIMIT = 0, -4, -6, -7
PAD = (10, 200, 90)
NOISE, SMOOTH, BLACK_AND_WHITE = 0, 1, 2
PILLOW = [Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC]
OPENCV = [cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC]
OPENCV_CUBIC = 5


def split_mix(seed: int, count: int) -> npt.NDArray[np.uint64]:
    """The first numbers of SplitMix64, as test_random() gives them."""
    with np.errstate(over="ignore"):
        steps = np.arange(1, count + 1, dtype=np.uint64)
        z = np.uint64(seed) + steps * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def picture(kind: int, seed: int, width: int, height: int) -> Pixels:
    """A picture [height][width][3] of one of the kinds above."""
    if kind == SMOOTH:
        y, x, c = np.indices((height, width, 3))
        t = (5 * x + 3 * y + 90 * c + seed) % 510
        return np.where(t < 256, t, 510 - t).astype(np.uint8)
    noise = (split_mix(seed, width * height * 3) >> np.uint64(56)).astype(np.uint8)
    if kind == BLACK_AND_WHITE:
        noise = np.where(noise > 127, 255, 0).astype(np.uint8)
    return noise.reshape(height, width, 3)


def padded_crop(source: Pixels, x: int, y: int, w: int, h: int) -> Pixels:
    """The crop, PAD where it leaves the picture."""
    out = np.empty((h, w, 3), np.uint8)
    out[:] = PAD
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + w, source.shape[1]), min(y + h, source.shape[0])
    if x1 > x0 and y1 > y0:
        out[y0 - y : y1 - y, x0 - x : x1 - x] = source[y0:y1, x0:x1]
    return out


def resize(source: Pixels, how: int, width: int, height: int) -> Pixels:
    """What the library that enum dfn_resample `how` names makes of source."""
    if how < len(PILLOW):
        return np.asarray(Image.fromarray(source).resize((width, height), PILLOW[how]))
    result = cv2.resize(source, (width, height), interpolation=OPENCV[how - len(PILLOW)])
    return np.asarray(result, np.uint8)


# ---- PNG ------------------------------------------------------------------------------------

ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2)]  # fmt: skip


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def pack_rows(samples: npt.NDArray[np.int64], depth: int) -> bytes:
    """Rows of [height][width][channels] samples, each row with a filter byte.

    Rows use PNG's filters 0 to 2 in turn where whole bytes allow it.
    """
    out = b""
    before = b""
    step = max(1, samples.shape[2] * depth // 8)
    for y, row in enumerate(samples):
        if depth == 16:
            line = row.astype(">u2").tobytes()
        elif depth == 8:
            line = row.astype(np.uint8).tobytes()
        else:
            bits = "".join(format(int(v), f"0{depth}b") for v in row.reshape(-1))
            bits += "0" * (-len(bits) % 8)
            line = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
        left = bytes(step) + line
        up = before or bytes(len(line))
        coded = [
            line,
            bytes((a - b) & 255 for a, b in zip(line, left, strict=False)),
            bytes((a - b) & 255 for a, b in zip(line, up, strict=False)),
        ]
        out += bytes([y % 3]) + coded[y % 3]
        before = line
    return out


def png(
    samples: npt.NDArray[np.int64],
    depth: int,
    colour: int,
    interlaced: bool = False,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A PNG file of [height][width][channels] samples; before and after IDAT: chunks."""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    if interlaced:
        passes = [samples[y0::dy, x0::dx] for x0, y0, dx, dy in ADAM7]
        raw = b"".join(pack_rows(p, depth) for p in passes if p.size)
    else:
        raw = pack_rows(samples, depth)
    body = chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(raw)) + after
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def on_black(rgb: npt.NDArray[np.int64], alpha: npt.NDArray[np.int64]) -> Pixels:
    return ((rgb * alpha[..., None] + 127) // 255).astype(np.uint8)


def to_8_bits(samples: npt.NDArray[np.int64], depth: int) -> npt.NDArray[np.int64]:
    most = 2**depth - 1
    return (samples * 255 + most // 2) // most


def samples_of(
    seed: int, height: int, width: int, channels: int, most: int
) -> npt.NDArray[np.int64]:
    values = split_mix(seed, height * width * channels) >> np.uint64(40)
    return (values.astype(np.int64) % (most + 1)).reshape(height, width, channels)


def png_files() -> dict[str, tuple[bytes, int, Pixels | None]]:
    """Every colour type, depth and interlacing, and transparency by tRNS."""
    files: dict[str, tuple[bytes, int, Pixels | None]] = {}
    height, width = 11, 13
    kinds = [(0, d) for d in (1, 2, 4, 8, 16)] + [(2, 8), (2, 16)]
    kinds += [(3, d) for d in (1, 2, 4, 8)] + [(4, 8), (4, 16), (6, 8), (6, 16)]
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
    for colour, depth in kinds:
        for interlaced in (False, True):
            seed = colour * 1000 + depth * 10 + interlaced
            raw = samples_of(seed, height, width, channels[colour], 2**depth - 1)
            before = b""
            if colour == 3:
                palette = samples_of(seed + 7, 2**depth, 1, 3, 255)[:, 0, :]
                before = chunk(b"PLTE", palette.astype(np.uint8).tobytes())
                pixels = palette[raw[..., 0]].astype(np.uint8)
            else:
                eight = to_8_bits(raw, depth)
                rgb = eight[..., :3] if colour in (2, 6) else np.repeat(eight[..., :1], 3, 2)
                alpha = eight[..., -1] if colour in (4, 6) else np.full((height, width), 255)
                pixels = on_black(rgb, alpha)
            name = f"png-colour{colour}-{depth}bit{'-interlaced' if interlaced else ''}.png"
            files[name] = (png(raw, depth, colour, interlaced, before), OK, pixels)
    files |= transparent_pngs(height, width)
    files |= odd_pngs()
    return files


def transparent_pngs(height: int, width: int) -> dict[str, tuple[bytes, int, Pixels | None]]:
    files: dict[str, tuple[bytes, int, Pixels | None]] = {}
    for colour, depth in ((0, 2), (0, 8), (0, 16), (2, 8), (2, 16)):
        channels = 3 if colour == 2 else 1
        raw = samples_of(400 + depth + colour, height, width, channels, 2**depth - 1)
        key = raw[2, 3].copy()
        raw[5, 5:9] = key
        body = b"".join(struct.pack(">H", int(v)) for v in key)
        alpha = np.where((raw == key).all(axis=2), 0, 255)
        rgb = to_8_bits(raw, depth)
        rgb = rgb if channels == 3 else np.repeat(rgb, 3, 2)
        name = f"png-key-colour{colour}-{depth}bit.png"
        files[name] = (
            png(raw, depth, colour, before=chunk(b"tRNS", body)),
            OK,
            on_black(rgb, alpha),
        )
    raw = samples_of(77, height, width, 1, 15)
    palette = samples_of(78, 16, 1, 3, 255)[:, 0, :]
    alphas = samples_of(79, 9, 1, 1, 255)[:, 0, 0]
    before = chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    before += chunk(b"tRNS", alphas.astype(np.uint8).tobytes())
    every = np.concatenate([alphas, np.full(7, 255)])
    pixels = on_black(palette[raw[..., 0]], every[raw[..., 0]])
    files["png-palette-alpha.png"] = (png(raw, 4, 3, before=before), OK, pixels)
    return files


def exif(orientation: int, order: str = "<", kind: int = 3) -> bytes:
    """A TIFF block with three tags; the middle one is the orientation."""
    mark = b"II" if order == "<" else b"MM"
    short = struct.pack(order + "HH", orientation, 0)
    entries = struct.pack(order + "HHI", 0x0100, 4, 1) + struct.pack(order + "I", 640)
    entries += struct.pack(order + "HHI", 0x0112, kind, 1) + short
    entries += struct.pack(order + "HHI", 0x0131, 2, 4) + b"abc\0"
    directory = struct.pack(order + "H", 3) + entries + bytes(4)
    return mark + struct.pack(order + "HI", 42, 8) + directory


TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


def odd_pngs() -> dict[str, tuple[bytes, int, Pixels | None]]:
    raw = samples_of(5, 7, 9, 3, 255)
    rgb = raw.astype(np.uint8)
    files: dict[str, tuple[bytes, int, Pixels | None]] = {}
    turned = chunk(b"eXIf", exif(6, ">"))
    files["png-exif-before.png"] = (png(raw, 8, 2, before=turned), OK, TURNS[6](rgb))
    files["png-exif-after.png"] = (png(raw, 8, 2, after=turned), OK, TURNS[6](rgb))
    files["png-exif-interlaced.png"] = (png(raw, 8, 2, True, turned), OK, TURNS[6](rgb))
    extra = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"tEXt", b"Comment\0hello")
    extra += chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile"))
    files["png-ignored-chunks.png"] = (png(raw, 8, 2, before=extra), OK, rgb)
    files["png-1x1.png"] = (png(raw[:1, :1], 8, 2), OK, rgb[:1, :1])
    sound = png(raw, 8, 2)
    broken = bytearray(sound)
    broken[45] ^= 0x10
    files["png-bad-crc.png"] = (bytes(broken), FORMAT, None)
    broken = bytearray(png(raw, 8, 2, before=chunk(b"tEXt", b"Comment\0hello")))
    broken[45] ^= 0x10
    files["png-bad-crc-in-text.png"] = (bytes(broken), FORMAT, None)
    files["png-no-data.png"] = (sound.replace(b"IDAT", b"IDAX"), FORMAT, None)
    short = png(raw[:5], 8, 2)
    header = struct.pack(">IIBBBBB", 9, 7, 8, 2, 0, 0, 0)
    files["png-too-few-rows.png"] = (short[:8] + chunk(b"IHDR", header) + short[33:], FORMAT, None)
    files["png-no-palette.png"] = (png(raw[..., :1], 8, 3), FORMAT, None)
    return files


# ---- JPEG -----------------------------------------------------------------------------------


def jpeg(pixels: Pixels, mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def jpeg_pixels(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def many_scans(total: int) -> bytes:
    """A progressive file of so many scans: the first one, of the DC coefficients, again and
    again, with no bits left to refine (Ah = Al = 0), which is odd but sound."""
    whole = jpeg(picture(NOISE, 6, 9, 10), "L", quality=50, progressive=True)
    # Tables and scan: from the first DHT to the second one.
    start = whole.index(b"\xff\xc4")
    again = bytearray(whole[start : whole.index(b"\xff\xc4", start + 2)])
    header = again.index(b"\xff\xda")
    again[header + 9] = 0
    return whole[:-2] + bytes(again) * (total - whole.count(b"\xff\xda")) + whole[-2:]


def jpeg_files() -> dict[str, tuple[bytes, int, Pixels | None]]:
    smooth = picture(SMOOTH, 3, 37, 29)
    noise = picture(NOISE, 4, 19, 35)
    sound = {
        "jpeg-gray.jpg": jpeg(smooth, "L", quality=90),
        "jpeg-444.jpg": jpeg(smooth, quality=92, subsampling=0),
        "jpeg-422.jpg": jpeg(smooth, quality=85, subsampling=1),
        "jpeg-420.jpg": jpeg(smooth, quality=75, subsampling=2),
        "jpeg-420-noise.jpg": jpeg(noise, quality=60, subsampling=2),
        "jpeg-progressive.jpg": jpeg(smooth, quality=80, progressive=True),
        "jpeg-progressive-gray.jpg": jpeg(noise, "L", quality=50, progressive=True),
        "jpeg-restart.jpg": jpeg(smooth, quality=75, restart_marker_blocks=2),
        "jpeg-rgb.jpg": jpeg(noise, quality=75, keep_rgb=True),
        "jpeg-100-scans.jpg": many_scans(100),
        "jpeg-1x1.jpg": jpeg(smooth[:1, :1], quality=75),
        "jpeg-exif-long.jpg": jpeg(smooth, exif=b"Exif\0\0" + exif(6, kind=4)),
        "jpeg-exif-9.jpg": jpeg(smooth, exif=b"Exif\0\0" + exif(9)),
        "jpeg-exif-short.jpg": jpeg(smooth, exif=b"Exif\0\0" + exif(6)[:24]),
        "jpeg-exif-far.jpg": jpeg(smooth, exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
    }
    for turn in range(1, 9):
        order = "<" if turn % 2 else ">"
        block = b"Exif\0\0" + exif(turn, order)
        sound[f"jpeg-exif-turn{turn}.jpg"] = jpeg(smooth, quality=75, exif=block)
    files: dict[str, tuple[bytes, int, Pixels | None]] = {}
    for name, data in sound.items():
        upright = name.startswith(("jpeg-exif-long", "jpeg-exif-9", "jpeg-exif-s", "jpeg-exif-f"))
        plain = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        files[name] = (data, OK, plain if upright else jpeg_pixels(data))
    whole = sound["jpeg-420.jpg"]
    files["jpeg-padded.jpg"] = (whole + b"some camera's notes", OK, jpeg_pixels(whole))
    files["jpeg-cmyk.jpg"] = (jpeg(smooth, "CMYK"), UNSUPPORTED, None)
    files["jpeg-101-scans.jpg"] = (many_scans(101), LIMIT, None)
    files["jpeg-no-end.jpg"] = (whole[:-2], FORMAT, None)
    files["jpeg-half-with-end.jpg"] = (whole[: len(whole) - 60] + b"\xff\xd9", FORMAT, None)
    lossless = whole.replace(b"\xff\xc0", b"\xff\xc3")
    files["jpeg-lossless.jpg"] = (lossless, UNSUPPORTED, None)
    return files


# ---- BMP and PNM ----------------------------------------------------------------------------


def bmp(
    rows: list[bytes],
    width: int,
    bits: int,
    header: int = 40,
    compression: int = 0,
    extra: bytes = b"",
    top_down: bool = False,
    masks: bytes = b"",
) -> bytes:
    """A BMP file; rows from top to bottom, not padded. extra: masks or palette."""
    lines = [r + bytes(-len(r) % 4) for r in rows]
    height = len(rows)
    body = b"".join(lines if top_down else lines[::-1])
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        signed = -height if top_down else height
        info = struct.pack("<IiiHHIIiiII", header, width, signed, 1, bits, compression,
                           len(body), 2835, 2835, 0, 0)  # fmt: skip
        info += (masks + bytes(header))[: header - 40]
    start = 14 + len(info) + len(extra)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + extra + body


def indexed_rows(index: npt.NDArray[np.int64], bits: int) -> list[bytes]:
    lines = []
    for row in index:
        text = "".join(format(int(v), f"0{bits}b") for v in row)
        text += "0" * (-len(text) % 8)
        lines.append(bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8)))
    return lines


def indexed_bmps() -> dict[str, tuple[bytes, int, Pixels | None]]:
    files: dict[str, tuple[bytes, int, Pixels | None]] = {}
    for bits, colours in ((1, 2), (4, 16), (4, 11), (8, 256), (8, 100)):
        index = samples_of(bits * 10 + colours, 6, 13, 1, colours - 1)[..., 0]
        palette = samples_of(bits + colours, colours, 1, 3, 255)[:, 0, :].astype(np.uint8)
        table = b"".join(bytes([c[2], c[1], c[0], 0]) for c in palette)
        data = bmp(indexed_rows(index, bits), 13, bits, extra=table)
        files[f"bmp-{bits}bit-{colours}colours.bmp"] = (data, OK, palette[index])
    wrong = indexed_rows(np.full((6, 13), 12), 4)
    files["bmp-no-such-colour.bmp"] = (bmp(wrong, 13, 4, extra=bytes(44)), FORMAT, None)
    files["bmp-no-palette.bmp"] = (bmp(wrong, 13, 4), FORMAT, None)
    table = bytes(48)
    files["bmp-os2-palette.bmp"] = (bmp(wrong, 13, 4, 12, extra=table), UNSUPPORTED, None)
    files["bmp-rle.bmp"] = (bmp(wrong, 13, 8, compression=1, extra=bytes(1024)), UNSUPPORTED, None)
    return files


def bmp_files() -> dict[str, tuple[bytes, int, Pixels | None]]:
    files = indexed_bmps()
    rgb = picture(NOISE, 9, 7, 5)
    lines = [r[:, ::-1].tobytes() for r in rgb]
    files["bmp-24bit.bmp"] = (bmp(lines, 7, 24), OK, rgb)
    files["bmp-24bit-top-down.bmp"] = (bmp(lines, 7, 24, top_down=True), OK, rgb)
    files["bmp-24bit-os2.bmp"] = (bmp(lines, 7, 24, 12), OK, rgb)
    files["bmp-24bit-v5.bmp"] = (bmp(lines, 7, 24, 124), OK, rgb)
    four = np.dstack([rgb[..., ::-1], picture(NOISE, 10, 7, 5)[..., 0]])
    wide = [r.tobytes() for r in four]
    files["bmp-32bit.bmp"] = (bmp(wide, 7, 32), OK, rgb)
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    mixed = on_black(rgb.astype(np.int64), four[..., 3].astype(np.int64))
    files["bmp-32bit-alpha.bmp"] = (bmp(wide, 7, 32, 108, 3, masks=masks), OK, mixed)
    files["bmp-32bit-masks.bmp"] = (bmp(wide, 7, 32, 40, 3, extra=masks[:12]), OK, rgb)
    five = (rgb >> 3).astype(np.int64)
    packed = (five[..., 0] << 10 | five[..., 1] << 5 | five[..., 2]).astype("<u2")
    full = (five << 3 | five >> 2).astype(np.uint8)
    files["bmp-16bit.bmp"] = (bmp([r.tobytes() for r in packed], 7, 16), OK, full)
    six = (rgb[..., 1] >> 2).astype(np.int64)
    packed = (five[..., 0] << 11 | six << 5 | five[..., 2]).astype("<u2")
    full = full.copy()
    full[..., 1] = six << 2 | six >> 4
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    data = bmp([r.tobytes() for r in packed], 7, 16, 40, 3, extra=masks)
    files["bmp-16bit-565.bmp"] = (data, OK, full)
    data = bmp(wide, 7, 32, 56, 3, extra=masks)
    files["bmp-photoshop-masks.bmp"] = (data, UNSUPPORTED, None)
    odd = bytearray(bmp(lines, 7, 24))
    odd[10] = 20
    files["bmp-pixels-in-header.bmp"] = (bytes(odd), FORMAT, None)
    return files


def pnm_files() -> dict[str, tuple[bytes, int, Pixels | None]]:
    rgb = picture(NOISE, 11, 6, 5)
    gray = np.repeat(rgb[..., :1], 3, 2)
    few = rgb % 16
    scaled = ((few.astype(np.int64) * 255 + 7) // 15).astype(np.uint8)
    plain = " ".join(str(int(v)) for v in rgb.reshape(-1)).encode()
    wide = rgb.astype(">u2").tobytes()
    return {
        "pnm-rgb.ppm": (b"P6\n6 5\n255\n" + rgb.tobytes(), OK, rgb),
        "pnm-gray.pgm": (b"P5 6 5 255 " + rgb[..., 0].tobytes(), OK, gray),
        "pnm-comments.ppm": (b"P6 # a\n# b\n 6#c\n5\t\n255\n" + rgb.tobytes(), OK, rgb),
        "pnm-max15.ppm": (b"P6\n6 5\n15\n" + few.tobytes(), OK, scaled),
        "pnm-16bit.ppm": (b"P6\n6 5\n65535\n" + wide, UNSUPPORTED, None),
        "pnm-plain.ppm": (b"P3\n6 5\n255\n" + plain, UNSUPPORTED, None),
        "pnm-bits.pgm": (b"P4\n6 5\n" + bytes(5), UNSUPPORTED, None),
        "pnm-zero.ppm": (b"P6\n0 5\n255\n" + bytes(10), FORMAT, None),
        "pnm-max0.ppm": (b"P6\n6 5\n0\n" + rgb.tobytes(), FORMAT, None),
        "pnm-huge-number.ppm": (b"P6\n99999999999 5\n255\n" + bytes(10), FORMAT, None),
        "pnm-negative.ppm": (b"P6\n-6 5\n255\n" + rgb.tobytes(), FORMAT, None),
    }


# ---- files ----------------------------------------------------------------------------------


def write_decode() -> None:
    files = png_files() | jpeg_files() | bmp_files() | pnm_files()
    table, pixels = [], b""
    for name, (data, status, expected) in files.items():
        (DATA / name).write_bytes(data)
        if expected is None:
            table.append(f"{name} {status} 0 0 0")
            continue
        height, width = expected.shape[:2]
        table.append(f"{name} {status} {width} {height} {len(pixels)}")
        pixels += np.ascontiguousarray(expected, np.uint8).tobytes()
    (DATA / "decode.txt").write_text("\n".join(table) + "\n")
    (DATA / "decode.rgb").write_bytes(pixels)


def size_pairs() -> list[tuple[int, int, int, int]]:
    """Crop width and height, output width and height: fixed ones that take each path, then
    some by chance."""
    pairs = [
        (1, 1, 1, 1), (1, 1, 5, 7), (5, 7, 1, 1), (32, 24, 16, 12), (24, 36, 8, 12),
        (24, 24, 24, 8), (30, 20, 30, 20), (30, 20, 30, 40), (30, 20, 60, 20), (31, 23, 13, 17),
        (20, 20, 47, 9), (9, 47, 40, 11), (50, 3, 20, 3), (3, 50, 3, 20), (64, 64, 24, 24),
        (17, 13, 34, 26), (40, 30, 39, 29), (39, 29, 40, 30), (2, 2, 9, 9), (60, 45, 7, 5),
    ]  # fmt: skip
    chance = split_mix(2024, 80).reshape(20, 4) >> np.uint64(40)
    pairs += [tuple(int(v) % 70 + 1 for v in row) for row in chance]  # type: ignore[misc]
    return pairs


def write_resize() -> None:
    table, full = [], b""
    for how in range(6):
        for i, (w, h, out_w, out_h) in enumerate(size_pairs()):
            kind, seed = (i + how) % 3, 100 * how + i
            # Every third crop lies inside a larger picture, every third leaves it.
            x, y = [(0, 0), (3, 5), (-4, -2)][i % 3]
            width, height = [(w, h), (w + 9, h + 8), (max(1, w - 7), max(1, h - 6))][i % 3]
            crop = padded_crop(picture(kind, seed, width, height), x, y, w, h)
            result = resize(crop, how, out_w, out_h)
            keep = how == OPENCV_CUBIC
            table.append(
                f"{how} {kind} {seed} {width} {height} {x} {y} {w} {h} {out_w} {out_h} "
                f"{zlib.crc32(result.tobytes())} {len(full) if keep else -1}"
            )
            full += result.tobytes() if keep else b""
    (DATA / "resize.txt").write_text("\n".join(table) + "\n")
    (DATA / "resize.rgb").write_bytes(full)


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    write_decode()
    write_resize()
