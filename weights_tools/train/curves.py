"""A run's history as a picture. Called by the command `curves`."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

_NOT_KINDS = {"step", "seconds", "size", "rate", "loss", "composite-log-loss"}


def draw(history: Path, out: Path) -> None:
    """PNG with the loss above and the AUC of every validation kind below, over the steps."""
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    if not lines:
        raise ValueError(f"{history}: holds no validation yet")
    steps = [line["step"] for line in lines]
    figure, (above, below) = pyplot.subplots(
        2, 1, figsize=(8, 7), sharex=True, height_ratios=(1, 2), layout="constrained"
    )
    above.plot(steps, [line["loss"] for line in lines], color="black", label="training loss")
    above.plot(
        steps,
        [line["composite-log-loss"] for line in lines],
        color="grey",
        label="composites, validation log loss",
    )
    above.set_ylabel("loss")
    above.legend()
    for kind in [k for k in lines[-1] if k not in _NOT_KINDS]:
        below.plot(steps, [line.get(kind, float("nan")) for line in lines], "o-", label=kind)
    below.axhline(0.5, color="grey", linewidth=0.8)
    below.set(ylabel="AUC, validation, averaged weights", xlabel="step")
    below.legend()
    for axes in (above, below):
        for before, line in itertools.pairwise(lines):
            if before["size"] != line["size"]:
                axes.axvline(before["step"], color="grey", linestyle=":", linewidth=0.8)
    figure.savefig(out, dpi=120, metadata={"Software": None})
    pyplot.close(figure)
