"""Every clip in every cell through `dfnet classify`: the program's own way from video to score.

Called by commands.py; what bench.py is for pictures. Each thread has one `dfnet` that it names one
clip after the other, so that the model is loaded once; a clip lies in a temporary folder while it
is scored. Scores come back as bench.Scores, whose figures, table and plots are those of pictures.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import cv2

from .alterations import mix_cell
from .bench import CLEAN, MIX, Cell, One, Progress, Scores, score_cells, score_each
from .clips import ClipError, ClipPreparation, alter_clip, crf_of, decode, encode
from .pictures import Picture

#: Probabilities are printed with nine digits; what rounds to 0 or 1 is taken for this far from it.
_LEAST = 1e-9
Score = Callable[[str], float]


def find_program(explicit: str | None = None) -> str | None:
    """Where dfnet is: the given path, $DFNET_PROGRAM, the repository's build, $PATH."""
    if explicit or os.environ.get("DFNET_PROGRAM"):
        return explicit or os.environ["DFNET_PROGRAM"]
    built = Path(__file__).resolve().parents[2] / "build" / "examples" / "dfnet"
    return str(built) if built.exists() else shutil.which("dfnet")


class Judge:
    """One `dfnet classify` that waits for names; one thread at a time."""

    def __init__(
        self, program: str, model: str, detector: str | None, way: str, temperature: float
    ) -> None:
        self._temperature = temperature
        command = [program, "classify", "--json", "--quiet", "--threads", "1", "--model", model]
        command += ["--whole"] if way == "whole" else []
        env = os.environ | ({"DFNET_DETECTOR": detector} if detector else {})
        # A file, not a pipe: nobody reads it before the program has ended.
        self._talk = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                [*command, "--null", "--files-from", "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._talk,
                env=env,
            )
        except OSError as error:
            self._talk.close()
            raise ClipError(f"{program}: {error.strerror}") from error

    def __call__(self, path: str) -> float:
        """The logit before the model's temperature, nan if no face was found; ClipError."""
        assert self._process.stdin and self._process.stdout
        # If it has ended, its last words say why.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(os.fsencode(path) + b"\0")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._talk.seek(0)
            said = self._talk.read().decode(errors="replace").strip().splitlines()
            raise ClipError(said[-1] if said else "dfnet ended without a word")
        return logit_of(json.loads(line), self._temperature)

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._talk.close()


def logit_of(row: dict, temperature: float) -> float:
    """Of a line of `dfnet classify --json`; nan if there was nothing to score; ClipError."""
    if "error" in row:
        raise ClipError(row["error"])
    if row["verdict"] == "none":
        return math.nan
    p = min(max(row["fake"], _LEAST), 1 - _LEAST)
    return temperature * math.log(p / (1 - p))


def score(
    clips: list[Picture],
    cells: list[Cell],
    new_judge: Callable[[], Judge],
    preparation: ClipPreparation,
    jobs: int,
    progress: Progress | None = None,
) -> Scores:
    """Scores clean, the mix and `cells`."""
    wanted = [(CLEAN, 0), (MIX, 0), *cells]
    local, judges = threading.local(), []

    with tempfile.TemporaryDirectory(prefix="dfnet-clips-") as folder:

        def one(clip: Picture) -> One | str:
            if not hasattr(local, "judge"):
                local.judge = new_judge()
                judges.append(local.judge)
            path = os.path.join(folder, f"{threading.get_ident()}.mp4")
            try:
                return _score_one(clip, wanted, local.judge, preparation, path)
            except ClipError as error:
                return str(error)

        try:
            return score_each(clips, wanted, one, jobs, progress)
        finally:
            for judge in judges:
                judge.close()


def _score_one(
    clip: Picture, wanted: list[Cell], judge: Score, preparation: ClipPreparation, path: str
) -> One:
    mixed = mix_cell(clip.key, clips=True)
    _, first = next(decode(clip.path, preparation))

    def score_cell(what: Cell) -> tuple[float, bytes]:
        frames = decode(clip.path, preparation)
        if what[0] != CLEAN:
            frames = alter_clip(frames, *what, clip.key)
        digest, _ = encode(frames, path, crf_of(what, preparation))
        return judge(path), bytes.fromhex(digest)

    return score_cells(wanted, mixed, first.shape[:2], score_cell)


def middle_frames(clips: list[Picture], preparation: ClipPreparation, folder: str) -> list[Picture]:
    """A frame from the middle of each clip as a picture in `folder`: what the control looks at."""
    pictures = []
    for number, clip in enumerate(clips):
        path = os.path.join(folder, f"{number}.png")
        try:
            count = sum(1 for _ in decode(clip.path, preparation))
            frames = decode(clip.path, preparation)
            pixels = next(p for i, (_, p) in enumerate(frames) if i == count // 2)
        except ClipError:
            continue  # the evaluation tells
        cv2.imwrite(path, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        pictures.append(Picture(path, clip.key, clip.fake))
    return pictures
