"""Recipes, the learning rate's schedule and the figures: what needs neither torch nor OpenCV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from weights_tools.train import metrics
from weights_tools.train.recipe import RecipeError, parse, read

RECIPES = Path(__file__).resolve().parent.parent / "train" / "recipes"

SMALL = """
name = "small"
kinds = { blend = 1.0 }
[[phases]]
size = 64
steps = 10
rate = 1e-3
rate_end = 1e-4
[[phases]]
size = 96
steps = 5
rate = 1e-4
rate_end = 1e-5
"""


def test_the_recipes_of_the_repository_are_sound():
    files = sorted(RECIPES.glob("*.toml"))
    assert files
    for file in files:
        assert read(file).steps > 0


def test_only_harsh_phases_are_harsh():
    recipe = parse(SMALL.replace("steps = 5", "steps = 5\nharsh = true"))
    assert [phase.harsh for phase in recipe.phases] == [False, True]


def test_phases_follow_each_other():
    recipe = parse(SMALL)
    assert recipe.steps == 15
    assert recipe.phase(0) == (0, 0)
    assert recipe.phase(9) == (0, 0)
    assert recipe.phase(10) == (1, 10)
    with pytest.raises(RecipeError, match="step 15"):
        recipe.phase(15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("name =", "mane ="), "'mane' is not known"),
        (("steps = 10", "stepz = 10"), "stepz"),
        (("size = 96", "size = 100"), "multiple of 32"),
        (("blend = 1.0", "blend = 0.0"), "no share is above 0"),
        (("[[phases]]", "[phases"), "not TOML"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(RecipeError, match=message):
        parse(SMALL.replace(*change))


def test_auc_of_known_cases():
    low, high = np.array([0.0, 1.0]), np.array([2.0, 3.0])
    assert metrics.auc(low, high) == 1
    assert metrics.auc(high, low) == 0
    assert metrics.auc(low, low) == 0.5
    # Pairs by hand: (1, 0), (1, 2), (3, 0), (3, 2) against reals 0 and 2.
    assert metrics.auc(np.array([0.0, 2.0]), np.array([1.0, 3.0])) == 0.75
    assert metrics.auc(np.array([1.0, 1.0]), np.array([1.0, 2.0])) == 0.75
    assert np.isnan(metrics.auc(low, np.array([])))


def test_auc_counts_pairs():
    rng = np.random.default_rng(1)
    real, fake = rng.integers(0, 9, 40).astype(float), rng.integers(3, 12, 30).astype(float)
    pairs = (fake[:, None] > real).mean() + 0.5 * (fake[:, None] == real).mean()
    assert metrics.auc(real, fake) == pytest.approx(pairs, abs=1e-12)


def test_interval_holds_the_auc_and_is_repeatable():
    rng = np.random.default_rng(2)
    real, fake = rng.normal(0, 1, 60), rng.normal(1, 1, 50)
    low, high = metrics.interval(real, fake, rounds=200)
    assert low < metrics.auc(real, fake) < high
    assert (low, high) == metrics.interval(real, fake, rounds=200)


def test_interval_of_runs_counts_pictures_and_runs():
    rng = np.random.default_rng(3)
    fakes = rng.normal(1, 1, 60)
    steady = [(rng.normal(0, 1, 60), fakes)] * 2
    low, high = metrics.interval_of_runs(steady, rounds=200)
    assert low < metrics.auc(*steady[0]) < high
    alone = metrics.interval(*steady[0], rounds=200)
    assert high - low == pytest.approx(alone[1] - alone[0], rel=0.35)
    # Runs that disagree widen it.
    apart = [steady[0], (-steady[0][0], -steady[0][1])]
    wide = metrics.interval_of_runs(apart, rounds=200)
    assert wide[1] - wide[0] > 1.5 * (high - low)


def test_the_difference_of_the_same_runs_is_nothing():
    rng = np.random.default_rng(4)
    runs = [(rng.normal(0, 1, 50), rng.normal(1, 1, 50))]
    assert metrics.interval_of_runs(runs, runs, rounds=50) == (0, 0)
    better = [(runs[0][0] - 2, runs[0][1])]
    low, high = metrics.interval_of_runs(better, runs, rounds=200)
    assert 0 < low < high


def test_log_loss_weighs_both_classes_alike():
    real, fake = np.zeros(100), np.full(1, 3.0)
    expected = (np.log(2) + np.log1p(np.exp(-3))) / 2
    assert metrics.log_loss(real, fake) == pytest.approx(expected)
