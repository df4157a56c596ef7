"""Reports of several models on the same pixels: what each reaches, what they reach together.

Called by commands.run_compare. Reads what `evaluate --json` wrote; no network runs. A member's
log-odds are its logits divided by its temperature, as a pipeline whose models have these
temperatures sees them; together they are the mean of their log-odds (`mean-logit`) or of their
probabilities (`mean-prob`). A picture without a face has probability .5, as everywhere.

Intervals are those of paired data: the members' AUCs and their differences from the first
member's are computed of the same resamples.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit, logit

from ..errors import InputRefused
from .metrics import Bootstrap, Estimate, auc, estimate

HOW = ("mean-logit", "mean-prob")
_CLIP = 1e-12


@dataclass(frozen=True)
class Member:
    """A report: log-odds float64 [pictures] of each cell, nan without a face; labels bool."""

    name: str
    fake: np.ndarray
    keys: list[str]
    digests: dict[str, str]
    odds: dict[str, np.ndarray]


@dataclass(frozen=True)
class Row:
    """One member, or all of them together, in one cell; `gain` against the first member."""

    cell: str
    name: str
    auc: Estimate
    gain: Estimate | None  # None: it is the first member


def read(path: Path) -> Member:
    """InputRefused if the file is no report of `evaluate --json`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        scores, model = content["scores"], content["model"]
        parts = [content["clean"], *content["cells"]]
        parts += [content["dfdc_like"]] if content["dfdc_like"] else []
        digests = {_name(part["name"], part["level"]): part["pixels"] for part in parts}
        odds = {
            cell: np.array(values, float) / float(model["temperature"])
            for cell, values in scores["logit"].items()
        }
        member = Member(
            path.stem, np.array(scores["fake"], bool), list(scores["key"]), digests, odds
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputRefused(f"{path}: is not what `evaluate --json` writes") from error
    if set(digests) != set(odds) or any(v.shape != member.fake.shape for v in odds.values()):
        raise InputRefused(f"{path}: has not as many scores as labels in every cell")
    return member


def _name(name: str, level: int) -> str:
    return f"{name}:{level}" if level else name


def check(members: list[Member]) -> None:
    """InputRefused unless all of them scored the same pixels."""
    first = members[0]
    for other in members[1:]:
        if other.keys != first.keys or not np.array_equal(other.fake, first.fake):
            raise InputRefused(f"{other.name} and {first.name} are about other pictures")
        for cell in first.odds:
            if other.digests.get(cell) != first.digests[cell]:
                raise InputRefused(f"{other.name} has other pixels in {cell} than {first.name}")


def together(odds: list[np.ndarray], how: str) -> np.ndarray:
    """Log-odds [pictures] of members [pictures] each; nan (no face) where any has none."""
    if how == "mean-logit":
        return np.mean(odds, axis=0)
    return logit(np.clip(expit(np.array(odds)).mean(axis=0), _CLIP, 1 - _CLIP))


def rows(members: list[Member], how: str, rounds: int, seed: int = 1) -> list[Row]:
    """Every cell of the first member: each member, then all of them; at the end, where there
    are several cells, the means over all cells."""
    check(members)
    fake = members[0].fake
    try:
        bootstrap = Bootstrap(fake, rounds, seed)
    except ValueError as error:
        raise InputRefused(str(error)) from error
    names = [m.name for m in members]
    names += [f"all, {how}"] if len(members) > 1 else []
    cells = list(members[0].odds)
    values = np.empty((len(cells), len(names)))
    draws = np.empty((len(cells), len(names), rounds))
    for i, cell in enumerate(cells):
        odds = [m.odds[cell] for m in members]
        odds += [together(odds, how)] if len(members) > 1 else []
        for j, one in enumerate(odds):
            ranked = np.nan_to_num(one, nan=0.0)
            values[i, j], draws[i, j] = auc(ranked, fake), bootstrap.auc(ranked)
    result = []
    if len(cells) > 1:
        cells.append(f"mean of {len(cells)}")
        values = np.vstack([values, values.mean(axis=0)])
        draws = np.concatenate([draws, draws.mean(axis=0)[None]])
    for i, cell in enumerate(cells):
        for j, name in enumerate(names):
            gain = estimate(values[i, j] - values[i, 0], draws[i, j] - draws[i, 0])
            result.append(Row(cell, name, estimate(values[i, j], draws[i, j]), gain if j else None))
    return result


def as_text(found: list[Row]) -> str:
    """A table for people."""
    width = max(len(row.name) for row in found) + 2
    lines = [f"{'cell':<20}{'':<{width}}{'AUC':<24}less the first's"]
    last = ""
    for row in found:
        cell = row.cell if row.cell != last else ""
        last = row.cell
        gain = "" if row.gain is None else _signed(row.gain)
        lines.append(f"{cell:<20}{row.name:<{width}}{row.auc!s:<24}{gain}".rstrip())
    return "\n".join(lines)


def _signed(gain: Estimate) -> str:
    return f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
