"""Figures of labelled scores against closed forms and counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation import gaussian_scores
from scipy.stats import norm

from weights_tools.evaluate import metrics
from weights_tools.evaluate.metrics import Bootstrap, auc, estimate

LABELS = np.array([False, False, False, True, True])


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([1, 2, 3, 4, 5], 1.0),
        ([3, 4, 5, 1, 2], 0.0),
        ([1, 3, 5, 2, 4], 3 / 6),
        ([1, 2, 4, 3, 5], 5 / 6),
        ([1, 2, 2, 2, 3], (1 + 0.5 + 0.5 + 3) / 6),
        ([7, 7, 7, 7, 7], 0.5),
    ],
)
def test_auc_of_known_ranks(scores, expected):
    scores = np.array(scores, float)
    assert auc(scores, LABELS) == pytest.approx(expected)
    # The bootstrap's own formula, on the one resample that is the sample itself.
    bootstrap = Bootstrap(LABELS, rounds=1)
    bootstrap._draws = [np.arange(3)[None], np.arange(2)[None]]
    assert bootstrap.auc(scores) == pytest.approx([expected])


def test_bootstrap_agrees_with_theory():
    logits, fake = gaussian_scores(400, 0.5)
    value, draws = auc(logits, fake), Bootstrap(fake, 500).auc(logits)
    found = estimate(value, draws)
    # Two normal distributions: AUC = Phi(difference of means / root of the summed variances).
    assert value == pytest.approx(norm.cdf(1.0 / np.sqrt(2.0)), abs=0.03)
    # Hanley and McNeil 1982: the variance of an AUC.
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value) + 399 * (q1 - value**2) + 399 * (q2 - value**2)
    assert draws.std() == pytest.approx(np.sqrt(variance) / 400, rel=0.12)
    assert found.low < value < found.high
    assert found.high - found.low == pytest.approx(3.92 * draws.std(), rel=0.12)


def test_bootstrap_is_repeatable_paired_and_split_into_parts():
    logits, fake = gaussian_scores(50, 0.5)
    first = Bootstrap(fake, 200)
    assert np.array_equal(first.auc(logits), Bootstrap(fake, 200).auc(logits))
    assert not np.array_equal(first.auc(logits), Bootstrap(fake, 200, seed=2).auc(logits))
    # Another cell with the same order has the same AUC in every resample.
    assert np.array_equal(first.auc(logits), first.auc(np.exp(logits)))
    # Real and fake are drawn apart: separated scores are so in every resample.
    assert (first.auc(fake.astype(float)) == 1).all()
    with pytest.raises(ValueError, match="real and fake"):
        Bootstrap(np.array([True, True]))


def test_bootstrap_of_many_pictures_goes_in_parts():
    logits, fake = gaussian_scores(3000, 0.5)
    bootstrap = Bootstrap(fake, 400)
    assert len(list(bootstrap._parts(6000))) == 2
    draws = bootstrap.auc(logits)
    for i in (0, 332, 333, 399):
        real, faked = (logits[~fake][bootstrap._draws[0][i]], logits[fake][bootstrap._draws[1][i]])
        assert draws[i] == pytest.approx(auc(np.concatenate([real, faked]), fake))


def test_classes_weigh_the_same():
    fake = np.array([True] + [False] * 9)
    assert metrics.balance(fake).sum() == pytest.approx(1)
    p = np.where(fake, 0.8, 0.4)
    by_hand = -(np.log(0.8) + np.log(0.6)) / 2
    assert metrics.cross_entropy(p, fake) == pytest.approx(by_hand)
    assert metrics.cross_entropy(np.full(10, 0.5), fake) == pytest.approx(np.log(2))
    # A wrong answer of probability 1 is not the end of the world.
    assert np.isfinite(metrics.cross_entropy(np.where(fake, 0.0, 1.0), fake))


def test_calibration_error():
    # One bin: a fifth is fake where .7 was said.
    fake = np.repeat([True, False], [50, 50])
    assert metrics.calibration_error(np.full(100, 0.7), fake) == pytest.approx(0.2)
    # Two bins, each wrong by .1, in opposite directions.
    p = np.repeat([0.25, 0.75, 0.25, 0.75], [15, 35, 35, 15])
    assert metrics.calibration_error(p, fake) == pytest.approx(0.05)
    assert metrics.calibration_error(np.where(fake, 1.0, 0.0), fake) == 0
    logits, labels = gaussian_scores(20000, 0.7)
    assert metrics.calibration_error(metrics.probabilities(logits, 1), labels) < 0.01
    assert metrics.calibration_error(metrics.probabilities(logits, 0.3), labels) > 0.08


def test_verdicts_by_counting():
    fake = np.array([0, 0, 0, 0, 1, 1, 1, 1], bool)
    p = np.array([0.1, 0.3, 0.55, 0.9, 0.2, 0.6, 0.7, 0.5])
    missing = np.zeros(8, bool)
    said = metrics.verdicts(p, fake, (0.3, 0.6), missing)
    assert said.accuracy_half == pytest.approx(5 / 8)  # .5 counts as fake
    assert said.uncertain == pytest.approx(3 / 8)  # .3 and .55 and .5
    assert said.right == pytest.approx(3 / 5)
    assert said.real_as_fake == pytest.approx(1 / 4)
    assert said.fake_as_real == pytest.approx(1 / 4)
    missing[0] = missing[6] = True
    said = metrics.verdicts(np.where(missing, 0.5, p), fake, (0.5, 0.5), missing)
    assert said.uncertain == pytest.approx(2 / 8)
    assert said.accuracy_half == pytest.approx((3 + 2 * 0.5) / 8)
    nothing = metrics.verdicts(p, fake, (0.0, 1.0), np.ones(8, bool))
    assert np.isnan(nothing.right) and nothing.uncertain == 1
