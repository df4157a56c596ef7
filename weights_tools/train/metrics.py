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


def log_loss(real: np.ndarray, fake: np.ndarray) -> float:
    """Mean of the two classes' log losses, from logits."""
    return float((np.logaddexp(0, real).mean() + np.logaddexp(0, -fake).mean()) / 2)
