"""Area under the ROC curve, its interval, and what a validation round reports.

Called by loop.py and measure.py. Numpy only; the evaluator of finished models is
weights_tools evaluate, which asks libdfnet.
"""

from __future__ import annotations

import numpy as np


def auc(real: np.ndarray, fake: np.ndarray) -> float:
    """Chance that a fake scores above a real, ties counted half; NaN if a class is empty."""
    if len(real) == 0 or len(fake) == 0:
        return float("nan")
    scores = np.concatenate([real, fake])
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    # Equal scores share the mean of their ranks.
    first = np.searchsorted(ordered, ordered, side="left")
    last = np.searchsorted(ordered, ordered, side="right")
    ranks = np.empty(len(scores))
    ranks[order] = (first + last + 1) / 2
    total = ranks[len(real) :].sum() - len(fake) * (len(fake) + 1) / 2
    return float(total / (len(real) * len(fake)))


def interval(
    real: np.ndarray, fake: np.ndarray, *, rounds: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The bootstrap's 95 % interval of the AUC; both classes are drawn anew on their own."""
    rng = np.random.default_rng(seed)
    values = [auc(rng.choice(real, len(real)), rng.choice(fake, len(fake))) for _ in range(rounds)]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


Scores = tuple[np.ndarray, np.ndarray]  # of reals, of fakes


def interval_of_runs(
    runs: list[Scores],
    against: list[Scores] | None = None,
    *,
    rounds: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """The 95 % interval of the mean AUC of several runs on the same pictures, runs and pictures
    drawn anew; with `against` that of the difference to their mean AUC, on the same draws of
    pictures."""
    rng = np.random.default_rng(seed)
    reals, fakes = (len(x) for x in runs[0])

    def mean(of: list[Scores], i: np.ndarray, j: np.ndarray) -> float:
        chosen = rng.integers(len(of), size=len(of))
        return float(np.mean([auc(of[n][0][i], of[n][1][j]) for n in chosen]))

    values = []
    for _ in range(rounds):
        i, j = rng.integers(reals, size=reals), rng.integers(fakes, size=fakes)
        value = mean(runs, i, j)
        values.append(value - mean(against, i, j) if against is not None else value)
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def log_loss(real: np.ndarray, fake: np.ndarray) -> float:
    """Mean of the two classes' log losses, from logits."""
    return float((np.logaddexp(0, real).mean() + np.logaddexp(0, -fake).mean()) / 2)
