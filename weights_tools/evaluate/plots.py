"""A finished evaluation as pictures (PNG).

Called by commands.py if --plots is given.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from .alterations import BY_NAME, LEVELS
from .bench import CLEAN, MIX, Figures
from .metrics import balance, probabilities
from .report import Report

_REAL, _FAKE, _GREY = "#2f6db3", "#c2452d", "#888888"
_BINS = 10


def write(report: Report, folder: str | os.PathLike[str]) -> list[Path]:
    """Writes the pictures into `folder`, which is made if need be; returns their paths."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    drawn = {"overview.png": _overview}
    if any(cell.level for cell in report.summary.cells):
        drawn["alterations.png"] = _alterations
    for name, draw in drawn.items():
        figure = draw(report)
        # Without a date and a version in it, equal figures are equal files.
        figure.savefig(out / name, dpi=120, metadata={"Software": None})
    return [out / name for name in drawn]


def _overview(report: Report) -> Figure:
    figure = Figure(figsize=(13.5, 4.3), layout="constrained")
    axes = figure.subplots(1, 3)
    _roc(axes[0], report)
    _reliability(axes[1], report)
    _histogram(axes[2], report)
    figure.suptitle(f"{report.model['name']}: {len(report.scores.pictures)} {report.subject}")
    return figure


def _probabilities(report: Report, name: str) -> tuple[np.ndarray, np.ndarray]:
    """p and labels of the pictures with a face."""
    logits = report.scores.logits[(name, 0)]
    found = ~np.isnan(logits)
    p = probabilities(logits[found], float(report.model["temperature"]))  # type: ignore[arg-type]
    return p, report.scores.fake[found]


def _roc(axes: Axes, report: Report) -> None:
    for name, cell, colour in (
        (CLEAN, report.summary.clean, _REAL),
        (MIX, report.summary.mix, _FAKE),
    ):
        if cell is not None:
            scores = np.nan_to_num(report.scores.logits[(name, 0)])
            x, y, _ = roc_curve(report.scores.fake, scores)
            axes.plot(x, y, color=colour, label=f"{name}: {cell.auc}")
    axes.plot((0, 1), (0, 1), color=_GREY, lw=0.8, ls=":")
    axes.set(title="ROC", xlabel="real called fake", ylabel="fake called fake", aspect="equal")
    axes.legend(loc="lower right", fontsize=8)


def _reliability(axes: Axes, report: Report) -> None:
    axes.plot((0, 1), (0, 1), color=_GREY, lw=0.8, ls=":")
    for name, colour in ((CLEAN, _REAL), (MIX, _FAKE)):
        if (name, 0) not in report.scores.logits:
            continue
        p, fake = _probabilities(report, name)
        if not 0 < fake.sum() < len(fake):
            continue
        weights = balance(fake)
        which = np.minimum((p * _BINS).astype(int), _BINS - 1)
        total = np.bincount(which, weights, _BINS)
        full = total > 0
        x = np.bincount(which, weights * p, _BINS)[full] / total[full]
        y = np.bincount(which, weights * fake, _BINS)[full] / total[full]
        axes.plot(x, y, color=colour, marker="o", ms=4, label=name)
    axes.set(title="calibration", xlabel="probability of fake", ylabel="share of fakes")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(loc="lower right", fontsize=8)


def _histogram(axes: Axes, report: Report) -> None:
    p, fake = _probabilities(report, CLEAN)
    edges = np.linspace(0, 1, 26)
    for group, colour, label in ((p[~fake], _REAL, "real"), (p[fake], _FAKE, "fake")):
        axes.hist(group, edges, color=colour, alpha=0.6, label=f"{label} ({len(group)})")
    for threshold in report.model["thresholds"]:  # type: ignore[attr-defined]
        axes.axvline(threshold, color="black", lw=0.8, ls="--")
    axes.set(title="clean scores and thresholds", xlabel="probability of fake", xlim=(0, 1))
    axes.legend(fontsize=8)


def _alterations(report: Report) -> Figure:
    names = list(dict.fromkeys(cell.name for cell in report.summary.cells if cell.level))
    columns = min(6, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(2.3 * columns + 0.6, 2.1 * lines + 0.6), layout="constrained")
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        _levels(axes, report, [cell for cell in report.summary.cells if cell.name == name])
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    figure.supxlabel("level; solid: AUC, dotted: share without a face, grey: clean", fontsize=8)
    return figure


def _levels(axes: Axes, report: Report, cells: list[Figures]) -> None:
    clean = report.summary.clean.auc
    axes.axhspan(clean.low, clean.high, color=_GREY, alpha=0.2, lw=0)
    axes.axhline(clean.value, color=_GREY, lw=0.8)
    x = [cell.level for cell in cells]
    y = np.array([cell.auc.value for cell in cells])
    spread = np.array([(c.auc.value - c.auc.low, c.auc.high - c.auc.value) for c in cells])
    # A resample's quantile may lie on the other side of the value.
    axes.errorbar(x, y, np.maximum(spread.T, 0), color=_FAKE, marker="o", ms=3, lw=1, capsize=2)
    axes.plot(x, [cell.no_face for cell in cells], color=_REAL, ls=":", lw=1)
    axes.set(ylim=(0, 1.02), xticks=LEVELS)
    axes.set_title(f"{cells[0].name}\n{BY_NAME[cells[0].name.partition('@')[0]].what}", fontsize=7)
