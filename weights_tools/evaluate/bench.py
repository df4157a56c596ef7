"""Every picture in every cell: first the logits, then the figures.

Called by commands.py. A cell is an alteration at a level; two more are `clean` (no alteration)
and `dfdc_like` (79 % of the pictures altered, each in a way that its key decides). Logits are
float64 [pictures], before the model's temperature; nan where no face was found.

A picture without a face is scored with probability .5, as the library scores it: it stays in
every figure. `auc_found` is the one that leaves it out.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import cv2
import numpy as np

from ..engine import EngineError, Library
from .alterations import alter, mix_cell
from .metrics import (
    UNKNOWN,
    Bootstrap,
    Estimate,
    auc,
    calibration_error,
    cross_entropy,
    estimate,
    probabilities,
    verdicts,
)
from .pictures import Picture, Preparation
from .scoring import Scorer

CLEAN, MIX = "clean", "dfdc_like"
T = TypeVar("T")
Cell = tuple[str, int]  # name of the alteration and level; CLEAN and MIX have level 0
#: Called with (scores done, scores in all) after each picture.
Progress = Callable[[int, int], None]


@dataclass
class Scores:
    """What the model said of the pictures that could be read."""

    pictures: list[Picture]
    logits: dict[Cell, np.ndarray]
    digests: dict[Cell, str]  # of the pixels that were scored: equal for every model
    sizes: np.ndarray  # int [pictures, 2]: height and width as decoded
    altered: float = 0.0  # share of the mix's pictures that were altered
    failed: list[tuple[str, str]] = field(default_factory=list)  # path, error

    @property
    def fake(self) -> np.ndarray:
        return np.array([picture.fake for picture in self.pictures], bool)


@dataclass
class One:
    """One picture's, or clip's, part of Scores."""

    logits: dict[Cell, float]
    digests: dict[Cell, bytes]
    size: tuple[int, int]
    altered: bool


def score(
    pictures: list[Picture],
    cells: list[Cell],
    library: Library,
    new_scorer: Callable[[], Scorer],
    preparation: Preparation,
    jobs: int,
    progress: Progress | None = None,
    with_mix: bool = True,
) -> Scores:
    """Scores clean, `cells` and, unless told otherwise, the mix."""
    wanted = [(CLEAN, 0), *([(MIX, 0)] if with_mix else []), *cells]
    local = threading.local()

    def one(picture: Picture) -> One | str:
        if not hasattr(local, "scorer"):
            local.scorer = new_scorer()
        try:
            with open(picture.path, "rb") as file:
                pixels = library.decode(file.read())
            return _score_one(picture, pixels, wanted, local.scorer, preparation)
        except (EngineError, OSError) as error:
            return str(error)

    return score_each(pictures, wanted, one, jobs, progress)


def score_each(
    pictures: list[Picture],
    wanted: list[Cell],
    one: Callable[[Picture], One | str],
    jobs: int,
    progress: Progress | None,
) -> Scores:
    """Scores of `wanted` by `jobs` threads, of pictures or clips.

    one(picture), on any of the threads, gives a score of every cell, or says why there is none.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the pictures are what runs side by side
    done: list[tuple[Picture, One]] = []
    failed: list[tuple[str, str]] = []
    try:
        with ThreadPoolExecutor(jobs) as pool:
            for count, (picture, result) in enumerate(in_order(pool, one, pictures), 1):
                if isinstance(result, str):
                    failed.append((picture.path, result))
                else:
                    done.append((picture, result))
                if progress:
                    progress(count * len(wanted), len(pictures) * len(wanted))
    finally:
        cv2.setNumThreads(before)
    return Scores(
        pictures=[picture for picture, _ in done],
        logits={cell: np.array([part.logits[cell] for _, part in done]) for cell in wanted},
        digests={cell: join(part.digests[cell] for _, part in done) for cell in wanted},
        sizes=np.array([part.size for _, part in done], int).reshape(-1, 2),
        altered=float(np.mean([part.altered for _, part in done])) if done else 0.0,
        failed=failed,
    )


def in_order(
    pool: ThreadPoolExecutor, call: Callable[[Picture], T | str], pictures: list[Picture]
) -> Iterator[tuple[Picture, T | str]]:
    """Results in the pictures' order; an interrupt drops what has not begun."""
    futures = [pool.submit(call, picture) for picture in pictures]
    try:
        for picture, future in zip(pictures, futures, strict=True):
            yield picture, future.result()
    finally:
        for future in futures:
            future.cancel()


def _score_one(
    picture: Picture,
    decoded: np.ndarray,
    wanted: list[Cell],
    scorer: Scorer,
    preparation: Preparation,
) -> One:
    subject = scorer.subject(preparation.begin(decoded))
    mixed = mix_cell(picture.key)

    def score_cell(what: Cell) -> tuple[float, bytes]:
        return _score_cell(picture, subject, what, scorer, preparation)

    return score_cells(wanted, mixed, decoded.shape[:2], score_cell)


def score_cells(
    wanted: list[Cell],
    mixed: Cell | None,
    size: tuple[int, int],
    score_cell: Callable[[Cell], tuple[float, bytes]],
) -> One:
    """One picture's part: logit and digest of each cell.

    What the mix draws (`mixed`; None: nothing) may be a cell of its own, too: it is scored once.
    """
    result = One({}, {}, size, mixed is not None)
    known: dict[Cell, tuple[float, bytes]] = {}
    for cell in wanted:
        what = (mixed or (CLEAN, 0)) if cell == (MIX, 0) else cell
        if what not in known:
            known[what] = score_cell(what)
        result.logits[cell], result.digests[cell] = known[what]
    return result


def _score_cell(
    picture: Picture,
    subject: np.ndarray | None,
    cell: Cell,
    scorer: Scorer,
    preparation: Preparation,
) -> tuple[float, bytes]:
    if subject is None:
        return float("nan"), b""
    pixels = subject if cell[0] == CLEAN else alter(subject, *cell, picture.key)
    pixels = np.ascontiguousarray(preparation.end(pixels))
    face = scorer.score(pixels)
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels)
    return float("nan") if face is None else face.logit, digest.digest()


def join(digests: Iterator[bytes]) -> str:
    return hashlib.sha256(b"".join(digests)).hexdigest()[:32]


# ---- figures ----


@dataclass(frozen=True)
class Figures:
    """Of one cell. Shares are in [0, 1]; those of both classes count each class a half."""

    name: str
    level: int
    auc: Estimate
    auc_found: float  # over the pictures with a face; nan if a class has none
    fall: Estimate  # of the AUC against clean, on the same pictures
    log_loss: float
    calibration_error: float
    accuracy_half: float
    right: float
    uncertain: float
    real_as_fake: float
    fake_as_real: float
    no_face: float
    no_face_real: float
    no_face_fake: float
    pixels: str


@dataclass(frozen=True)
class Summary:
    """Figures of all cells; the corruption score is the mean over the cells of alterations."""

    clean: Figures
    mix: Figures | None
    cells: list[Figures]
    mean_auc: Estimate | None
    mean_fall: Estimate | None


def summarise(
    scores: Scores,
    temperature: float,
    thresholds: tuple[float, float],
    rounds: int = 1000,
    seed: int = 1,
) -> Summary:
    """ValueError if a class has no picture."""
    fake = scores.fake
    bootstrap = Bootstrap(fake, rounds, seed)
    # The rank of a guess of .5 is that of the logit 0.
    ranked = {cell: np.nan_to_num(logits, nan=0.0) for cell, logits in scores.logits.items()}
    clean = (CLEAN, 0)
    base, base_draws = auc(ranked[clean], fake), bootstrap.auc(ranked[clean])
    values: list[float] = []
    total = np.zeros(rounds)

    def figures(cell: Cell) -> Figures:
        logits, missing = scores.logits[cell], np.isnan(scores.logits[cell])
        value = auc(ranked[cell], fake)
        draws = base_draws if cell == clean else bootstrap.auc(ranked[cell])
        if cell not in (clean, (MIX, 0)):
            values.append(value)
            total.__iadd__(draws)
        found = ~missing
        both = found.any() and 0 < fake[found].sum() < found.sum()
        p = np.where(missing, UNKNOWN, probabilities(np.nan_to_num(logits), temperature))
        said = verdicts(p, fake, thresholds, missing)
        without = (missing[~fake].mean(), missing[fake].mean())
        return Figures(
            name=cell[0],
            level=cell[1],
            auc=estimate(value, draws),
            auc_found=auc(logits[found], fake[found]) if both else float("nan"),
            fall=estimate(base - value, base_draws - draws),
            log_loss=cross_entropy(p, fake),
            calibration_error=calibration_error(p, fake),
            accuracy_half=said.accuracy_half,
            right=said.right,
            uncertain=said.uncertain,
            real_as_fake=said.real_as_fake,
            fake_as_real=said.fake_as_real,
            no_face=float(np.mean(without)),
            no_face_real=float(without[0]),
            no_face_fake=float(without[1]),
            pixels=scores.digests[cell],
        )

    cells = [figures(cell) for cell in scores.logits if cell[0] not in (CLEAN, MIX)]
    mean = float(np.mean(values)) if values else 0.0
    return Summary(
        clean=figures(clean),
        mix=figures((MIX, 0)) if (MIX, 0) in scores.logits else None,
        cells=cells,
        mean_auc=estimate(mean, total / len(values)) if values else None,
        mean_fall=estimate(base - mean, base_draws - total / len(values)) if values else None,
    )
