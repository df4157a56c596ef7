"""The progress line, seen through a terminal of its own: files, rate, time left, frames."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from child import END, FRAME, HEAD, MAGIC, MP4, START, child
from conftest import FACE, Run
from terminal import on_terminal

# Frames that come so slowly that the line is drawn for each.
SLOW = f"""import os, struct, time
def say(kind, index=0, size=0):
    head = struct.pack({HEAD!r}, {MAGIC}, kind, 32, 32, 0, 4, index, 4, size, index)
    os.write(1, head + bytes(size))
say({START})
for i in range(4):
    time.sleep(0.3)
    say({FRAME}, i, 3072)
say({END})
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three files that go for videos, and one with a long name."""
    folder = tmp_path_factory.mktemp("clips")
    for name in ("a.mp4", "b.mp4", "c.mp4", "d" * 150 + ".mp4"):
        (folder / name).write_bytes(MP4)
    return folder


def lines(output: bytes) -> list[str]:
    """What stood in the line, one after the other, without what moves the cursor."""
    text = re.sub(r"\x1b\[[?\d]*[a-zA-Z]", "", output.decode())
    return [line for line in re.split(r"[\r\n]+", text) if " done, " in line]


def test_files_rate_time_left_and_frames(tiny: Path, clips: Path, tmp_path: Path) -> None:
    env = child(tmp_path, SLOW)
    output = on_terminal(["classify", "-w", "-m", tiny, clips], TERM="xterm", **env)
    seen = lines(output)
    assert seen[0] == "0 of 4 done, 0 failed: a.mp4"
    assert any(re.fullmatch(r"0 of 4 done, 0 failed: a\.mp4 \(frame [1-4] of 4\)", x) for x in seen)
    whole = r"[1-3] of 4 done, 0 failed, [\d.]+ (s a file|files/s), \d+ s left: [bcd]+(\.mp4)?"
    assert any(re.fullmatch(whole, x) for x in seen)
    assert any(re.fullmatch(whole + r" \(frame [1-4] of 4\)", x) for x in seen)
    assert all("d" * 33 not in x for x in seen)
    # Nothing wraps, and the terminal is left as it was.
    drawn = [x for x in output.split(b"\r") if b" done, " in x]
    assert all(x.count(b"\x1b[?7l") == x.count(b"\x1b[?7h") == 1 for x in drawn)
    assert output.count(b"\n") == 5 and b"frame" not in output.splitlines()[-1]


def test_the_rate_is_this_runs(dfnet: Run, tiny: Path, clips: Path, tmp_path: Path) -> None:
    """Files of an earlier run are done, but took no time of this one."""
    results, names = tmp_path / "r.csv", tmp_path / "names"
    names.write_text(f"{FACE}\n" * 40 + f"{clips}\n")
    words = ("classify", "-w", "-m", tiny, "--jobs", 1, "--resume", results, "--files-from", names)
    env = child(tmp_path, SLOW.replace("sleep(0.3)", "sleep(0)"))
    assert dfnet(*words, env=env).returncode == 0
    child(tmp_path, SLOW)
    whole = results.read_bytes()
    results.write_bytes(b"".join(whole.splitlines(keepends=True)[:41]))
    seen = lines(on_terminal(words, TERM="xterm", **env))
    assert seen[0] == "40 of 44 done, 0 failed: a.mp4"
    assert re.fullmatch(r"42 of 44 done, 0 failed, [\d.]+ s a file, \d+ s left: c\.mp4", seen[2]), (
        seen
    )
    assert results.read_bytes() == whole


def test_a_list_that_can_be_read_once(tiny: Path, clips: Path) -> None:
    """Its length is not known, nor the time left."""
    names = "\n".join([str(FACE)] * 3).encode()
    words = ["classify", "-w", "-m", tiny, "--files-from", "-"]
    seen = lines(on_terminal(words, names, TERM="xterm"))
    assert [x.split(":")[0] for x in seen] == [f"{i} done, 0 failed" for i in range(3)]


def test_nothing_without_a_terminal(tiny: Path, dfnet: Run, clips: Path, tmp_path: Path) -> None:
    env = child(tmp_path, SLOW) | {"TERM": "xterm"}
    done = dfnet("classify", "-w", "-m", tiny, clips / "a.mp4", env=env)
    assert done.returncode == 0 and done.stderr == b"" and b"frame " not in done.stdout
    quiet = on_terminal(["classify", "-wq", "-m", tiny, clips / "a.mp4"], **env)
    assert lines(quiet) == []
