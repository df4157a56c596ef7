"""Programs that believe that they write to a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Sequence

from conftest import program


def on_terminal(arguments: Sequence[object], stdin: bytes = b"", **env: str) -> bytes:
    """What dfnet writes to a terminal."""
    master, slave = pty.openpty()
    full = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")} | env
    process = subprocess.Popen(
        [str(program("dfnet")), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=slave,
        stderr=slave,
        env=full,
    )
    os.close(slave)
    assert process.stdin
    process.stdin.write(stdin)
    process.stdin.close()
    output = b""
    while True:
        try:
            block = os.read(master, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not block:
            break
        output += block
    os.close(master)
    process.wait(60)
    return output
