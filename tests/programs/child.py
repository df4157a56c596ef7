"""Stand-ins for dfnet-video: Python scripts that say what a test wants them to, in the messages of
examples/video/protocol.h. DFNET_VIDEO names them, so that these tests need no FFmpeg.
"""

from __future__ import annotations

import struct
from pathlib import Path

# "DFV1", and the message's head: magic, kind, width, height, flags, count, index, total, size,
# seconds.
HEAD = "<6I3Qd"
MAGIC = 0x31564644
START, FRAME, END, FAILED = 1, 2, 3, 4
# What any file begins with that goes for an MP4.
MP4 = b"\0\0\0\x18ftypisom"


def child(folder: Path, text: str) -> dict[str, str]:
    """Environment in which this Python text decodes videos."""
    script = folder / "child"
    script.write_text(f"#!/usr/bin/python3\n{text}")
    script.chmod(0o755)
    return {"DFNET_VIDEO": str(script)}


def message(
    kind: int, *, size: int = 0, width: int = 8, seconds: float = 0, index: int = 0
) -> bytes:
    """A head whose other fields are harmless."""
    return struct.pack(HEAD, MAGIC, kind, width, 8, 0, 1, index, 1, size, seconds)


def spoken(*pieces: bytes, then: str = "") -> str:
    """Python text that writes these bytes."""
    return f"import os, signal, sys, time\nos.write(1, {b''.join(pieces)!r})\n{then}\n"


def colours(count: int, seconds: float, reason: bytes = b"") -> str:
    """Python text of a child whose frames, 32 x 32 pixels, have colours that tell their numbers:
    red and green count in sixteens, blue stays. All frames, or those of a list; reason: why the
    video is partial."""
    return f"""import os, struct, sys
def say(kind, flags=0, index=0, size=0, seconds=0.0, more=b""):
    out.write(struct.pack({HEAD!r}, {MAGIC}, kind, 32, 32, flags, {count}, index, {count}, size,
                          seconds) + more)
out = os.fdopen(1, "wb")
words = sys.argv[1]
wanted = [int(n) for n in words[5:].split(",")] if words.startswith("list:") else range({count})
say({START}, seconds={seconds})
for i in wanted:
    pixel = bytes([i // 16 % 16 * 16 + 8, i % 16 * 16 + 8, 128])
    say({FRAME}, index=i, size=3072, seconds=i * {seconds} / {count}, more=pixel * 1024)
say({END}, flags={int(bool(reason))}, size={len(reason)}, more={reason!r})
"""
