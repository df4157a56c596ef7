#!/usr/bin/env python3
"""Kills `dfnet classify --resume` again and again, and compares with a run that nobody disturbed.

    python3 tests/programs/black_box.py            1,000 pictures, 20 broken, 10 kills, 3 shards
    python3 tests/programs/black_box.py --files 60 --broken 5 --kills 4     what CI does

test_resume.py runs the small form. Prints a line for each comparison; exit code 1 if one fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent.parent
FACES = sorted((ROOT / "examples" / "faces").glob("*/*.jpg"))
#: Names that break careless programs; each lies in some folder.
ODD_NAMES = (
    b'quote"comma,.ppm',
    b"new\nline.ppm",
    b"not\xff\xc3utf8.ppm",
    b"=1+1.ppm",
    b'\',"number":7.ppm',
)


@dataclass
class Setting:
    """What is run: the program's beginning, the folder, the results' ending."""

    program: list[str]
    folder: Path
    ending: str = "csv"

    def command(self, results: Path, *more: str) -> list[str]:
        return [*self.program, "--resume", str(results), *more, str(self.folder)]


def noise(rng: np.random.RandomState, side: int) -> bytes:
    """A small picture (PNM)."""
    return b"P6 %d %d 255\n" % (side, side) + rng.bytes(side * side * 3)


def make_pictures(folder: Path, count: int, broken: int, seed: int) -> None:
    """Generated pictures in folders of which several hold the same file names."""
    rng = np.random.RandomState(seed)
    bad = set(rng.choice(count, broken, replace=False))
    for i in range(count):
        place = folder / f"part{i % 7}"
        place.mkdir(parents=True, exist_ok=True)
        odd = ODD_NAMES[i] if i < len(ODD_NAMES) else b"%04d.ppm" % (i // 7)
        whole = noise(rng, int(rng.randint(24, 65)))
        (Path(os.fsdecode(os.fsencode(place) + b"/" + odd))).write_bytes(
            whole[: rng.randint(0, 60)] if i in bad else whole
        )


def make_clips(folder: Path, count: int, broken: int, seed: int) -> None:
    """Generated clips of 8 frames: a public-domain face that drifts over a grey picture."""
    import av
    import cv2

    rng = np.random.RandomState(seed)
    faces = [cv2.resize(cv2.imread(str(p))[..., ::-1], (96, 96)) for p in FACES]
    bad = set(rng.choice(count, broken, replace=False))
    for i in range(count):
        path = folder / f"part{i % 7}" / f"{i // 7:04d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=8, options={"preset": "ultrafast"})
            stream.width = stream.height = 160
            stream.pix_fmt = "yuv420p"
            x, y = rng.randint(0, 56, 2)
            for t in range(8):
                frame = np.full((160, 160, 3), rng.randint(90, 110), np.uint8)
                frame[y : y + 96, x + t : x + t + 96] = faces[i % len(faces)]
                for packet in stream.encode(av.VideoFrame.from_ndarray(frame)):
                    out.mux(packet)
            for packet in stream.encode():
                out.mux(packet)
        if i in bad:
            data = path.read_bytes()
            path.write_bytes(data[: rng.randint(0, 200)])


def rows_of(path: Path) -> int:
    """Whole lines so far."""
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def kill_when(command: list[str], results: Path, lines: int, delay: float) -> bool:
    """Runs it and kills it once so many lines are there and the delay is over.

    Whether it was killed before its end.
    """
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and rows_of(results) < lines:
        time.sleep(0.0005)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def family(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(below for child in text.split() for below in family(int(child)))]


def peak_of(pid: int) -> int:
    """The most memory in KiB that a process has held (VmHWM), 0 if it is gone.

    Not wait4()'s, which counts what the parent held when it forked.
    """
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"^VmHWM:\s+(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


def finish(command: list[str]) -> tuple[int, int]:
    """Exit code, and the most memory in KiB that one of its processes held."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        # A child that has not yet become another program still has our memory.
        own = [pid for pid in family(process.pid) if is_other_program(pid)]
        most = max([most, *map(peak_of, own)])
        time.sleep(0.005)
    return process.returncode, most


def is_other_program(pid: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/exe") != os.readlink("/proc/self/exe")
    except OSError:
        return False


def disturbed(
    setting: Setting, results: Path, files: int, kills: int, seed: int, *more: str
) -> int:
    """Kills it at random moments over the whole of its work, then lets it finish.

    How often it was killed before its end.
    """
    rng = random.Random(seed)
    # Not at the very end, where a quick run is over before it can be killed.
    moments = sorted(rng.randrange(max(1, files * 9 // 10)) for _ in range(kills))
    killed = 0
    for lines in moments:
        # A new random point if the run was quicker than the killer.
        killed += kill_when(setting.command(results, *more), results, lines, rng.uniform(0, 0.002))
    code, _ = finish(setting.command(results, *more))
    assert code in (0, 2), f"exit code {code}"
    return killed


@contextlib.contextmanager
def work_folder(given: Path | None) -> Iterator[Path]:
    if given:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="dfnet-black-box-") as made:
        yield Path(made)


def compare(
    setting: Setting, where: Path, files: int, kills: int, shards: int, seed: int
) -> Iterator[tuple[str, bool]]:
    """Yields what was compared, and whether it was equal."""
    calm = where / f"calm.{setting.ending}"
    code, calm_memory = finish(setting.command(calm))
    yield f"undisturbed run: exit code {code}", code == 2
    expected = calm.read_bytes()
    numbers = sorted(numbers_of(expected, setting.ending))
    yield f"{len(numbers)} files in it, each once", numbers == list(range(1, files + 1))

    results = where / f"killed.{setting.ending}"
    killed = disturbed(setting, results, files, kills, seed)
    yield f"{killed} kills, then --resume: equal", killed > 0 and results.read_bytes() == expected

    parts = [where / f"shard{i + 1}.{setting.ending}" for i in range(shards)]
    killed = 0
    for i, part in enumerate(parts):
        share = [f"--shard={i + 1}/{shards}"]
        killed += disturbed(setting, part, files // shards, kills, seed + i + 1, *share)
    merged = where / f"merged.{setting.ending}"
    done = subprocess.run(
        [setting.program[0], "merge", "-o", str(merged), *map(str, parts)], check=False
    )
    same = done.returncode == 0 and merged.read_bytes() == expected
    yield f"{shards} shards with {killed} kills, merged: equal", same and killed > 0
    yield f"most memory of a process: {calm_memory} KiB", True


def numbers_of(results: bytes, ending: str) -> list[int]:
    """The list's number of each file, once for each file."""
    lines = results.decode().splitlines()
    if ending != "csv":
        return [json.loads(line)["number"] for line in lines]
    tails = [line.rsplit(",", 6)[1:] for line in lines[1:]]
    return [int(number) for number, _, row, *_ in tails if row == "1"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--broken", type=int, default=20)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--shards", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="JSON lines instead of CSV")
    parser.add_argument("--clips", action="store_true", help="clips instead of pictures (needs av)")
    parser.add_argument("--program", default=str(ROOT / "build" / "examples" / "dfnet"))
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it")
    parser.add_argument("options", nargs="*", help="of classify, behind --; default: --whole")
    args = parser.parse_args()
    fine = True
    with work_folder(args.keep) as where:
        folder = where / "files"
        shutil.rmtree(folder, ignore_errors=True)
        (make_clips if args.clips else make_pictures)(folder, args.files, args.broken, args.seed)
        options = args.options or ["--whole"]
        ending = "jsonl" if args.json else "csv"
        for old in where.glob(f"*.{ending}"):
            old.unlink()
        setting = Setting([args.program, "classify", "-q", *options], folder, ending)
        for what, good in compare(setting, where, args.files, args.kills, args.shards, args.seed):
            print(("ok      " if good else "FAILED  ") + what, flush=True)
            fine &= good
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
