"""compare: reports of several models on the same pixels, alone and together."""

from __future__ import annotations

import json

import numpy as np
import pytest
from evaluation import gaussian_scores
from scipy.special import expit

from weights_tools.__main__ import main
from weights_tools.errors import InputRefused
from weights_tools.evaluate import compare


def report(path, logits, fake, temperature=1.0, pixels="p"):
    """The parts of a report that compare reads, of two cells, the second inverted."""
    figures = {"clean": ("clean", 0), "cell": ("jpeg", 3)}
    parts = {k: {"name": n, "level": v, "pixels": f"{pixels}{n}"} for k, (n, v) in figures.items()}
    listed = [None if np.isnan(x) else x for x in logits.tolist()]
    inverted = [None if x is None else -x for x in listed]
    content = {
        "model": {"temperature": temperature},
        "clean": parts["clean"],
        "dfdc_like": None,
        "cells": [parts["cell"]],
        "scores": {
            "key": [f"k{i}" for i in range(len(fake))],
            "fake": fake.astype(int).tolist(),
            "logit": {"clean": listed, "jpeg:3": inverted},
        },
    }
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def two(tmp_path):
    """Two models with errors of their own: together they are better."""
    first, fake = gaussian_scores(60, 0.6, seed=1)
    second, _ = gaussian_scores(60, 0.6, seed=2, temperature=3.0)
    return report(tmp_path / "a.json", first, fake), report(
        tmp_path / "b.json", second, fake, temperature=3.0
    )


def test_together_is_the_mean_of_log_odds_or_probabilities():
    odds = [np.array([2.0, -1.0, np.nan]), np.array([0.0, 5.0, 1.0])]
    assert compare.together(odds, "mean-logit")[:2].tolist() == [1.0, 2.0]
    p = expit(compare.together(odds, "mean-prob"))
    assert p[:2] == pytest.approx([(expit(2) + 0.5) / 2, (expit(-1) + expit(5)) / 2])
    assert all(np.isnan(compare.together(odds, how)[2]) for how in compare.HOW)


def test_a_report_is_read_with_its_temperature(two):
    a, b = (compare.read(path) for path in two)
    stored = json.loads(two[1].read_text())["scores"]["logit"]["clean"]
    assert b.odds["clean"] * 3 == pytest.approx(stored)
    assert a.name == "a"
    assert a.digests == {"clean": "pclean", "jpeg:3": "pjpeg"}


def test_differences_are_of_paired_data(two):
    members = [compare.read(path) for path in two]
    found = {(r.cell, r.name): r for r in compare.rows(members, "mean-logit", 400)}
    one, both = found["clean", "a"], found["clean", "all, mean-logit"]
    assert one.gain is None
    assert both.gain.value == pytest.approx(both.auc.value - one.auc.value)
    assert both.gain.low < both.gain.value < both.gain.high
    assert both.gain.value > 0.02
    # Paired: narrower than what two independent intervals would give.
    alone = np.hypot(one.auc.high - one.auc.low, both.auc.high - both.auc.low)
    assert both.gain.high - both.gain.low < 0.8 * alone
    # The second cell is the first one inverted, so that the means are those of guessing.
    mean = found["mean of 2", "all, mean-logit"]
    assert mean.auc.value == pytest.approx(0.5)
    assert mean.gain.value == pytest.approx(0, abs=1e-9)


def test_a_model_against_itself_differs_by_nothing(two):
    members = [compare.read(two[0]), compare.read(two[0])]
    for row in compare.rows(members, "mean-prob", 50):
        if row.gain is not None:
            assert [row.gain.value, row.gain.low, row.gain.high] == pytest.approx([0, 0, 0])


def test_the_command_prints_every_row(two, capsys):
    assert main(["compare", *map(str, two), "--how", "mean-prob", "--bootstrap", "50"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 3 * 3
    assert lines[3].split()[:2] == ["all,", "mean-prob"]
    assert lines[4].startswith("jpeg:3")


def test_other_pictures_or_pixels_are_refused(two, tmp_path):
    first = compare.read(two[0])
    logits, fake = gaussian_scores(60, 0.6)
    for name, path in (
        ("has other pixels in clean", report(tmp_path / "c.json", logits, fake, pixels="q")),
        ("are about other pictures", report(tmp_path / "d.json", logits, ~fake)),
    ):
        with pytest.raises(InputRefused, match=name):
            compare.rows([first, compare.read(path)], "mean-logit", 20)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"scores": 1, "model": {}}'])
def test_what_is_no_report_is_refused(tmp_path, capsys, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    assert main(["compare", str(path)]) == 2
    assert "x.json: is not what `evaluate --json` writes" in capsys.readouterr().err
