"""A finished evaluation as a table for people and as JSON.

Called by commands.py. The JSON (schema 1) holds all figures, the preparation, the model's hash
and every logit, so that `calibrate --scores` and others need not run the network again; its
layout is described in weights_tools/README.md.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .bench import CLEAN, Cell, Figures, Scores, Summary
from .control import Row
from .metrics import Estimate
from .pictures import Preparation

if TYPE_CHECKING:
    from .clips import ClipPreparation

SCHEMA = 1


@dataclass
class Report:
    """Everything that one run of `evaluate` found."""

    model: dict[str, object]  # path, name, hash, temperature, thresholds
    library: str
    way: str
    preparation: Preparation | ClipPreparation
    rounds: int
    scores: Scores
    summary: Summary
    control: list[Row]
    notes: list[str] = field(default_factory=list)
    subject: str = "pictures"  # or clips


# ---- JSON ----


def plain(value: object) -> object:
    """Dataclasses to dicts, arrays to lists, nan to None."""
    if isinstance(value, Estimate):
        return plain([value.value, value.low, value.high])
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def cell_name(cell: Cell) -> str:
    """jpeg:3, jpeg=25, clean, dfdc_like."""
    return f"{cell[0]}:{cell[1]}" if cell[1] else cell[0]


def as_json(report: Report) -> str:
    scores, summary = report.scores, report.summary
    content = {
        "schema": SCHEMA,
        "model": report.model,
        "library": report.library,
        "subject": report.subject,
        "way": report.way,
        "preparation": report.preparation,
        "bootstrap": report.rounds,
        "pictures": {
            "real": int((~scores.fake).sum()),
            "fake": int(scores.fake.sum()),
            "failed": [{"path": path, "error": error} for path, error in scores.failed],
        },
        "notes": report.notes,
        "clean": summary.clean,
        "dfdc_like": summary.mix,
        "dfdc_like_altered": scores.altered,
        "cells": summary.cells,
        "mean_corruption": {"auc": summary.mean_auc, "fall": summary.mean_fall},
        "control": report.control,
        "scores": {
            "key": [picture.key for picture in scores.pictures],
            "fake": [int(picture.fake) for picture in scores.pictures],
            "logit": {cell_name(cell): logits for cell, logits in scores.logits.items()},
        },
    }
    text = json.dumps(plain(content), allow_nan=False)
    # A line for each part, so that two reports can be compared with diff.
    parts = json.loads(text)
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in parts.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


# ---- text ----

_HEAD = (
    f"{'cell':<20}{'AUC':<24}{'found':>6}{'fall':>8}{'loss':>8}{'ECE':>7}{'acc':>7}"
    f"{'right':>7}{'unsure':>8}{'r as f':>8}{'f as r':>8}{'no face':>9}"
)
_LEGEND = """AUC [95 % interval]: a picture without a face is a guess of .5; found: AUC of the rest.
fall: AUC below clean. loss: log loss. ECE: expected calibration error. acc: accuracy at .5.
right: of the verdicts given. unsure: none given. r as f: real called fake; f as r: the reverse.
All but the AUC are as if both classes were equally frequent."""


def _number(value: float, digits: int = 3) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}%"


def _row(cell: Figures) -> str:
    fall = "" if cell.name == CLEAN else _number(cell.fall.value)
    return (
        f"{cell_name((cell.name, cell.level)):<20}{cell.auc!s:<24}{_number(cell.auc_found):>6}"
        f"{fall:>8}{_number(cell.log_loss):>8}{_number(cell.calibration_error):>7}"
        f"{_percent(cell.accuracy_half):>7}{_percent(cell.right):>7}{_percent(cell.uncertain):>8}"
        f"{_percent(cell.real_as_fake):>8}{_percent(cell.fake_as_real):>8}"
        f"{_percent(cell.no_face):>9}"
    )


_WAYS = {
    "frame": "full frames altered, then the largest face found",
    "crop": "faces found in the unaltered frame, their crops altered (classifier alone)",
    "whole": "whole pictures altered and scored as face crops",
}


_CLIP_WAYS = {
    "frame": "clips altered frame by frame, then dfnet classify",
    "whole": "clips altered frame by frame, their frames scored as face crops by dfnet classify",
}


def preparation_text(preparation: Preparation | ClipPreparation) -> str:
    if not isinstance(preparation, Preparation):
        return str(preparation)
    side = f"at most {preparation.side} pixels a side, " if preparation.side else ""
    codec = f"JPEG quality {preparation.quality}" if preparation.quality else "no encoding"
    return f"every picture: {side}{codec} at the end"


def as_text(report: Report) -> str:
    """The table, at most 120 columns."""
    scores, summary, model = report.scores, report.summary, report.model
    low, high = model["thresholds"]  # type: ignore[misc]
    way = (_CLIP_WAYS if report.subject == "clips" else _WAYS)[report.way]
    lines = [
        f"model     {model['name']} ({model['hash']})",
        f"          temperature {model['temperature']:g}, real below {low:g}, fake from {high:g}",
        f"{report.subject:<10}{(~scores.fake).sum()} real, {scores.fake.sum()} fake; {way}",
        f"          {preparation_text(report.preparation)}",
    ]
    lines += [f"note      {note}" for note in report.notes]
    lines += ["", _HEAD, _row(summary.clean)]
    if summary.mix:
        lines.append(f"{_row(summary.mix)}  ({scores.altered:.0%} altered)")
    lines += [_row(cell) for cell in summary.cells]
    if summary.mean_auc and summary.mean_fall:
        lines += [
            "",
            f"mean over the {len(summary.cells)} cells of alterations: AUC {summary.mean_auc}, "
            f"fall {summary.mean_fall}",
        ]
    lines += ["", _LEGEND]
    if report.control:
        lines += ["", control_text(report.control)]
    return "\n".join(lines)


def control_text(rows: list[Row]) -> str:
    lines = ["control: AUC [95 % interval] of a logistic regression, cross-validated, on"]
    lines += [f"  {row.features:<28}{row.auc}" for row in rows]
    lines.append("  (.5 and below: nothing; file: on the disk, which no model sees)")
    return "\n".join(lines)
