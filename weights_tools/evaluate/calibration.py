"""Temperature and the two thresholds from scores of validation pictures.

Called by commands.py. The temperature minimises the log loss, both classes weighing the same. The
thresholds are then placed so that at most a given share of the real validation faces is called
fake, and at most a given share of the fakes real; what lies between is "uncertain". A model that
separates its validation pictures well enough needs no such band: then both thresholds are one
number between the two limits.

Only the pictures with a face count. The new model file has the old one's weights, to the bit.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest

from ..errors import InputRefused
from ..model_file import read_header, read_model, write_model
from .metrics import Estimate, calibration_error, cross_entropy, probabilities, verdicts

_T_LOW, _T_HIGH = 0.05, 50.0
_STEP = 1e-6  # thresholds are whole multiples; far above float32's rounding near 1


@dataclass(frozen=True)
class Calibration:
    """What was fitted, and how it does on the pictures that it was fitted to."""

    temperature: float
    thresholds: tuple[float, float]
    real: int  # pictures
    fake: int
    real_as_fake: Estimate  # share, with its exact (Clopper-Pearson) 95 % interval
    fake_as_real: Estimate
    uncertain: float
    right: float  # of those decided
    log_loss: tuple[float, float]  # before, after
    calibration_error: tuple[float, float]


def fit_temperature(logits: np.ndarray, fake: np.ndarray) -> float:
    """The temperature of least log loss, within .05 to 50."""

    def loss(log_t: float) -> float:
        return cross_entropy(probabilities(logits, math.exp(log_t)), fake)

    best = minimize_scalar(
        loss, bounds=(math.log(_T_LOW), math.log(_T_HIGH)), method="bounded",
        options={"xatol": 1e-4},
    )  # fmt: skip
    return float(f"{math.exp(best.x):.4g}")


def fit_thresholds(
    p: np.ndarray, fake: np.ndarray, real_as_fake: float, fake_as_real: float
) -> tuple[float, float]:
    """(real_below, fake_from): the narrowest uncertain band within both limits."""
    fake_from = _above(p[~fake], real_as_fake)
    if fake_from > 1:
        raise InputRefused(
            "too many real validation faces have a probability of 1: no threshold keeps the limit"
        )
    # Fakes below real_below: the same question upside down.
    real_below = max(0.0, 1 - _above(1 - p[fake], fake_as_real))
    if real_below > fake_from:
        real_below = fake_from = (real_below + fake_from) / 2
    return round(real_below, 6), round(fake_from, 6)


def _above(p: np.ndarray, share: float) -> float:
    """A t just so high that p >= t for at most this share of p."""
    allowed = math.floor(share * len(p) + 1e-9)
    if allowed >= len(p):
        return 0.0
    refused = float(np.sort(p)[::-1][allowed])
    # One to two steps of room, since the library rounds p to float32.
    return (math.floor(refused / _STEP) + 2) * _STEP


def fit(
    logits: np.ndarray,
    fake: np.ndarray,
    temperature_before: float,
    real_as_fake: float = 0.05,
    fake_as_real: float = 0.05,
) -> Calibration:
    """`logits` float64 [n] before the temperature, nan where no face was found."""
    found = ~np.isnan(logits)
    logits, fake = logits[found], fake[found]
    if min(fake.sum(), (~fake).sum()) < 20:
        raise InputRefused(
            f"{(~fake).sum()} real and {fake.sum()} fake faces are too few to calibrate with; "
            "20 of each are the least"
        )
    temperature = fit_temperature(logits, fake)
    before = probabilities(logits, temperature_before)
    p = probabilities(logits, temperature)
    thresholds = fit_thresholds(p, fake, real_as_fake, fake_as_real)
    said = verdicts(p, fake, thresholds, np.zeros(len(p), bool))
    return Calibration(
        temperature=temperature,
        thresholds=thresholds,
        real=int((~fake).sum()),
        fake=int(fake.sum()),
        real_as_fake=_share(p[~fake] >= thresholds[1]),
        fake_as_real=_share(p[fake] < thresholds[0]),
        uncertain=said.uncertain,
        right=said.right,
        log_loss=(cross_entropy(before, fake), cross_entropy(p, fake)),
        calibration_error=(calibration_error(before, fake), calibration_error(p, fake)),
    )


def _share(true: np.ndarray) -> Estimate:
    interval = binomtest(int(true.sum()), len(true)).proportion_ci()
    return Estimate(float(true.mean()), float(interval.low), float(interval.high))


def write(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    fitted: Calibration,
    on: str,
    name: str | None = None,
) -> str:
    """The model with its new temperature and thresholds; returns the new file's hash.

    `on` says in a few words what the validation pictures were; it goes into `x.calibration`.
    `name`, if given, replaces the model's.
    """
    with open(model, "rb") as file:
        entries = read_header(file)[1]
    dtype = "f16" if any(entry.dtype == "F16" for entry in entries.values()) else "f32"
    arch, tensors, meta = read_model(model)
    meta.temperature, meta.thresholds = fitted.temperature, fitted.thresholds
    meta.name = name or meta.name
    meta.extra["x.calibration"] = (
        f"temperature and thresholds from {fitted.real} real and {fitted.fake} fake faces ({on}): "
        f"{fitted.real_as_fake.value:.1%} of the real called fake, "
        f"{fitted.fake_as_real.value:.1%} of the fakes called real, "
        f"{fitted.uncertain:.1%} uncertain"
    )
    write_model(out, arch, tensors, meta, dtype)
    return meta.xxh3
