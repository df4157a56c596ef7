"""What the scores of labelled faces amount to: AUC and its interval, log loss, errors, calibration.

Called by `bench`, `control` and `calibration`. Scores and probabilities are float64 [n]; labels
are bool [n], True for fake. Except for the AUC, which does not depend on it, every figure is
computed as if both classes were equally frequent, so that it says nothing of how many pictures of
each class a folder happens to hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.metrics import log_loss, roc_auc_score

#: What a picture without a face is taken for: the guess that costs least.
UNKNOWN = 0.5
_BINS = 10
_CLIP = 1e-7  # a float32 probability has no room below


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def balance(fake: np.ndarray) -> np.ndarray:
    """Weights [n] that sum to 1 and give both classes a half."""
    count = np.where(fake, fake.sum(), (~fake).sum())
    return 0.5 / count


def auc(scores: np.ndarray, fake: np.ndarray) -> float:
    """Chance that a fake scores above a real one, ties counting a half."""
    return float(roc_auc_score(fake, scores))


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    return expit(logits / temperature)


def cross_entropy(p: np.ndarray, fake: np.ndarray) -> float:
    """Log loss, natural logarithm."""
    clipped = np.clip(p, _CLIP, 1 - _CLIP)
    return float(log_loss(fake, clipped, sample_weight=balance(fake), labels=[False, True]))


def calibration_error(p: np.ndarray, fake: np.ndarray, bins: int = _BINS) -> float:
    """Expected calibration error: bins of equal width, mean |share of fakes - mean p|."""
    weights = balance(fake)
    which = np.minimum((p * bins).astype(int), bins - 1)
    gap = np.bincount(which, weights * (fake - p), bins)
    return float(np.abs(gap).sum())


@dataclass(frozen=True)
class Verdicts:
    """Shares in [0, 1] of the pictures, by the two thresholds real_below and fake_from."""

    accuracy_half: float  # right when p >= .5 means fake
    right: float  # of those decided, the share that is right; nan if none is
    uncertain: float
    real_as_fake: float  # of the real ones
    fake_as_real: float  # of the fakes


def verdicts(
    p: np.ndarray, fake: np.ndarray, thresholds: tuple[float, float], missing: np.ndarray
) -> Verdicts:
    """`missing` marks pictures without a face: they are uncertain whatever the thresholds."""
    weights = balance(fake)
    as_real, as_fake = (p < thresholds[0]) & ~missing, (p >= thresholds[1]) & ~missing
    # A guess of .5 is neither: half of such pictures are right by chance.
    half = np.where(missing, 0.5, (p >= 0.5) == fake)
    decided = weights[as_real | as_fake].sum()
    right = weights[(as_real & ~fake) | (as_fake & fake)].sum()
    return Verdicts(
        accuracy_half=float(weights @ half),
        right=float(right / decided) if decided else float("nan"),
        uncertain=float(1 - decided),
        real_as_fake=float(as_fake[~fake].mean()),
        fake_as_real=float(as_real[fake].mean()),
    )


class Bootstrap:
    """Resamples of the pictures, the same ones for every cell.

    Real and fake pictures are drawn apart, each as many as there are. Because all cells see the
    same draws, the interval of a difference between two of them is that of paired data.
    """

    def __init__(self, fake: np.ndarray, rounds: int = 1000, seed: int = 1) -> None:
        rng = np.random.RandomState(seed)
        self._real = np.flatnonzero(~fake)
        self._fake = np.flatnonzero(fake)
        if not len(self._real) or not len(self._fake):
            raise ValueError("an AUC needs real and fake pictures")
        self.rounds = rounds
        # Indices fit 32 bits; both arrays are [rounds, pictures of the class].
        self._draws = [
            rng.randint(len(group), size=(rounds, len(group)), dtype=np.int32)
            for group in (self._real, self._fake)
        ]

    def auc(self, scores: np.ndarray) -> np.ndarray:
        """The AUC of every resample, float64 [rounds]."""
        real, fake = scores[self._real], scores[self._fake]
        n, m = len(real), len(fake)
        out = np.empty(self.rounds)
        for part in self._parts(n + m):
            both = np.hstack([real[self._draws[0][part]], fake[self._draws[1][part]]])
            # Mann and Whitney: the rank sum of the fakes, less the least it can be.
            ranks = rankdata(both, axis=1)[:, n:].sum(axis=1)
            out[part] = (ranks - m * (m + 1) / 2) / (n * m)
        return out

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean of the two classes' means of `values` [n], of every resample."""
        real, fake = values[self._real], values[self._fake]
        means = (real[self._draws[0]].mean(axis=1), fake[self._draws[1]].mean(axis=1))
        return (means[0] + means[1]) / 2

    def _parts(self, width: int) -> Iterator[slice]:
        """Rounds in pieces of at most some 50 MB."""
        step = max(1, 2_000_000 // width)
        return (slice(at, at + step) for at in range(0, self.rounds, step))


def estimate(value: float, resamples: np.ndarray) -> Estimate:
    """A value with the 2.5 and 97.5 % points of its resamples."""
    low, high = np.nanpercentile(resamples, (2.5, 97.5))
    return Estimate(value, float(low), float(high))
