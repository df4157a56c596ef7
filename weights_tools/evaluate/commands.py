"""The subcommands `evaluate`, `calibrate` and `compare`.

Called by weights_tools.__main__, which imports this module only when one of them runs: it is the
door to the packages of requirements-evaluate.txt.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from ..engine import EngineError, Library, find_library
from ..errors import InputRefused
from ..model_file import Metadata, read_model
from . import bench, calibration, compare, control, report, scoring
from .alterations import LEVELS, TABLE, cells
from .metrics import Estimate
from .pictures import Found, Picture, Preparation, find, limited

if TYPE_CHECKING:
    from .clips import ClipPreparation

DONE = 0
_NO_DETECTOR = "; ./dev detector fetches a face detector, --whole needs none"


def run_evaluate(args: argparse.Namespace) -> int:
    """The subcommand `evaluate`; returns the exit code."""
    if args.list:
        print(_list_text())
        return DONE
    found = _found(args)
    if args.clips or (found.clips and not found.pictures):
        return _evaluate_clips(args, found)
    chosen = _cells(args.alterations, args.levels)
    pictures = _labelled(args, found.pictures, "picture")
    preparation = Preparation(args.side, args.encode)
    library = _library(args.library)
    if args.control:
        rows = _control(args, pictures, library, preparation)
        return _show_control(args, rows, preparation)
    model, meta = _model(args.model, library)
    scores = _score(args, pictures, chosen, library, model, meta, preparation)
    rows = [] if args.no_control else _control(args, scores.pictures, library, preparation)
    _show(args, _report(args, found, (model, meta), library, preparation, scores, rows))
    return DONE


def _report(
    args: argparse.Namespace,
    found: Found,
    loaded: tuple[str, Metadata],
    library: Library,
    preparation: Preparation | ClipPreparation,
    scores: bench.Scores,
    rows: list[control.Row],
) -> report.Report:
    model, meta = loaded
    return report.Report(
        model=_about(model, meta),
        library=library.version,
        way=args.way,
        preparation=preparation,
        rounds=args.bootstrap,
        scores=scores,
        summary=bench.summarise(scores, meta.temperature, meta.thresholds, args.bootstrap),
        control=rows,
        notes=_notes(found, scores, preparation),
        subject="pictures" if isinstance(preparation, Preparation) else "clips",
    )


def _show(args: argparse.Namespace, result: report.Report) -> None:
    # Files first: whoever reads the table may stop reading.
    if args.json:
        args.json.write_text(report.as_json(result), encoding="utf-8")
    if args.plots:
        from . import plots

        plots.write(result, args.plots)
    print(report.as_text(result))


def _evaluate_clips(args: argparse.Namespace, found: Found) -> int:
    from . import clip_scoring
    from .clips import ClipError, ClipPreparation

    if args.way == "crop":
        raise InputRefused("--crop is for pictures: dfnet classify finds the faces of clips itself")
    chosen = _cells(args.alterations, args.levels, clips=True)
    labelled = _labelled(args, found.clips, "clip")
    preparation = ClipPreparation(args.side, args.crf, args.seconds)
    library = _library(args.library)
    rows = [] if args.no_control else _clip_control(args, labelled, library, preparation)
    if args.control:
        return _show_control(args, rows, preparation)
    model, meta = _model(args.model, library)
    program = clip_scoring.find_program(args.program)
    if program is None:
        raise InputRefused("dfnet was not found: run ./dev build, or say --program PATH")

    def new_judge() -> clip_scoring.Judge:
        return clip_scoring.Judge(program, model, args.detector, args.way, meta.temperature)

    try:
        new_judge().close()
    except ClipError as error:
        raise InputRefused(str(error)) from error
    with tqdm(unit=" scores", disable=args.quiet or None, leave=False) as bar:
        scores = clip_scoring.score(
            labelled, chosen, new_judge, preparation, args.jobs, _progress(bar)
        )
    _tell_failed(scores, "clip")
    _show(args, _report(args, found, (model, meta), library, preparation, scores, rows))
    return DONE


def _clip_control(
    args: argparse.Namespace, clips: list[Picture], library: Library, preparation: ClipPreparation
) -> list[control.Row]:
    from .clip_scoring import middle_frames

    with tempfile.TemporaryDirectory(prefix="dfnet-frames-") as folder:
        frames = middle_frames(clips, preparation, folder)
        return _control(args, frames, library, Preparation(0, 90))


def _show_control(
    args: argparse.Namespace, rows: list[control.Row], preparation: Preparation | ClipPreparation
) -> int:
    if not rows:
        raise InputRefused("these are too few for a control")
    if args.json:
        args.json.write_text(json.dumps({"control": report.plain(rows)}, indent=1) + "\n")
    print(report.preparation_text(preparation), report.control_text(rows), sep="\n")
    return DONE


def _about(model: str, meta: Metadata) -> dict[str, object]:
    return {
        "path": model,
        "name": meta.name,
        "hash": meta.xxh3,
        "temperature": meta.temperature,
        "thresholds": list(meta.thresholds),
    }


def run_calibrate(args: argparse.Namespace) -> int:
    """The subcommand `calibrate`; returns the exit code."""
    if bool(args.folder or args.real or args.fake) == bool(args.scores):
        raise InputRefused("calibrate: give a folder or --scores, one of them")
    _, _, meta = read_model(args.model)
    _check_face_model(args.model, meta)
    parts = [bench.CLEAN, bench.MIX] if args.on == "both" else [args.on]
    if args.scores:
        logits, fake = _stored_scores(args.scores, meta.xxh3, parts)
    else:
        pictures = _labelled(args, _found(args).pictures, "picture")
        library = _library(args.library)
        preparation = Preparation(args.side, args.encode)
        scores = _score(
            args, pictures, [], library, args.model, meta, preparation, bench.MIX in parts
        )
        logits = np.concatenate([scores.logits[(part, 0)] for part in parts])
        fake = np.tile(scores.fake, len(parts))
    fitted = calibration.fit(logits, fake, meta.temperature, args.real_as_fake, args.fake_as_real)
    digest = calibration.write(args.model, args.out, fitted, " and ".join(parts), args.model_name)
    print(_calibration_text(fitted, meta, int(np.isnan(logits).sum()), len(logits)))
    print(f"wrote        {args.out} ({digest})")
    return DONE


def run_compare(args: argparse.Namespace) -> int:
    """The subcommand `compare`; returns the exit code."""
    members = [compare.read(path) for path in args.reports]
    print(compare.as_text(compare.rows(members, args.how, args.bootstrap)))
    return DONE


# ---- what both need ----


def _library(path: str | None) -> Library:
    where = find_library(path)
    if where is None:
        raise InputRefused("libdfnet was not found: run ./dev build, or say --library PATH")
    try:
        return Library(where)
    except OSError as error:
        raise InputRefused(str(error)) from error


def _model(path: str | None, library: Library) -> tuple[str, Metadata]:
    if path is None:
        path = library.default_model_path()
    _, _, meta = read_model(path)
    _check_face_model(path, meta)
    return path, meta


def _check_face_model(path: str, meta: Metadata) -> None:
    if meta.fake is None:
        raise InputRefused(f"{path}: has no output that means fake")


def _found(args: argparse.Namespace) -> Found:
    found = Found()
    sources: list[tuple[str, bool | None]] = [(folder, None) for folder in args.folder]
    sources += [(folder, False) for folder in args.real] + [(folder, True) for folder in args.fake]
    for folder, label in sources:
        part = find(folder, label)
        found.pictures += part.pictures
        found.clips += part.clips
        found.unlabelled += part.unlabelled
        found.other += part.other
    return found


def _labelled(args: argparse.Namespace, all_of_them: list[Picture], kind: str) -> list[Picture]:
    pictures = limited(all_of_them, args.limit)
    for label, name in ((False, "real"), (True, "fake")):
        if not any(picture.fake == label for picture in pictures):
            raise InputRefused(
                f"no {kind} lies in a folder named {name!r} (or say --{name} FOLDER)"
            )
    return pictures


def _score(
    args: argparse.Namespace,
    pictures: list[Picture],
    chosen: list[bench.Cell],
    library: Library,
    model: str,
    meta: Metadata,
    preparation: Preparation,
    with_mix: bool = True,
) -> bench.Scores:
    try:
        new_scorer = scoring.load(library, model, args.detector, meta, args.way)
        new_scorer()
    except EngineError as error:
        hint = "" if args.way == "whole" else _NO_DETECTOR
        raise InputRefused(f"{error}{hint}") from error
    with tqdm(unit=" scores", disable=args.quiet or None, leave=False) as bar:
        scores = bench.score(
            pictures, chosen, library, new_scorer, preparation, args.jobs, _progress(bar), with_mix
        )
    _tell_failed(scores, "picture")
    return scores


def _progress(bar: tqdm) -> bench.Progress:
    def progress(count: int, total: int) -> None:
        bar.total = total
        bar.update(count - bar.n)

    return progress


def _tell_failed(scores: bench.Scores, kind: str) -> None:
    for path, error in scores.failed:
        print(f"{path}: {error}", file=sys.stderr)
    if len(np.unique(scores.fake)) < 2:
        raise InputRefused(f"no {kind} of one of the classes could be read")


def _control(
    args: argparse.Namespace,
    pictures: list[Picture],
    library: Library,
    preparation: Preparation,
) -> list[control.Row]:
    detector = None
    if args.way != "whole":
        try:
            detector = library.load_detector(args.detector).detector()
        except EngineError as error:
            raise InputRefused(f"{error}{_NO_DETECTOR}") from error
    measured = control.features(pictures, library, preparation, detector)
    return control.rows(measured, args.bootstrap)


def _notes(
    found: Found, scores: bench.Scores, preparation: Preparation | ClipPreparation
) -> list[str]:
    notes = []
    kind = "pictures" if isinstance(preparation, Preparation) else "clips"
    others = found.clips if kind == "pictures" else found.pictures
    if others:
        rest = (
            "clips were left out: --clips scores them"
            if kind == "pictures"
            else ("pictures were left out: --clips was given")
        )
        notes.append(f"{len(others)} {rest}")
    if found.unlabelled:
        notes.append(f"{found.unlabelled} files in no folder named real or fake were left out")
    if scores.failed:
        notes.append(f"{len(scores.failed)} {kind} could not be read or scored")
    limit = preparation.side or math.inf
    real, fake = (
        float(np.median(np.minimum(scores.sizes[scores.fake == label].max(axis=1), limit)))
        for label in (False, True)
    )
    if max(real, fake) > 1.1 * min(real, fake):
        notes.append(
            f"half of the real {kind} have a longer side of {real:g} or more, half of the fakes "
            f"of {fake:g}: see the control, and --side"
        )
    return notes


# ---- arguments ----


def _cells(names: str, levels: str, clips: bool = False) -> list[bench.Cell]:
    try:
        chosen = None if names == "all" else [] if names == "none" else names.split(",")
        return cells(chosen, _levels(levels), clips)
    except ValueError as error:
        raise InputRefused(f"--alterations {names}: {error}") from error


def _levels(text: str) -> list[int]:
    levels = [int(part) if part.isascii() and part.isdigit() else 0 for part in text.split(",")]
    if not set(levels) <= set(LEVELS):
        raise InputRefused(f"--levels {text}: levels are 1 to 5, with commas")
    return levels


def _list_text() -> str:
    lines = []
    for row in TABLE:
        values = " ".join(
            "-" if value is None else "x".join(f"{v:g}" for v in np.atleast_1d(value))
            for value in row.values
        )
        where = "" if row.on_pictures else "  (clips only)"
        lines.append(f"{row.name:<16}{row.what:<34}{values}{where}")
    return "\n".join(lines)


# ---- calibrate ----


def _stored_scores(path: Path, digest: str, parts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels of a report that `evaluate --json` wrote for this very model."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["model"]["hash"] != digest:
            raise InputRefused(f"{path}: these are scores of another model")
        labels = np.array(content["scores"]["fake"], bool)
        logits = [np.array(content["scores"]["logit"][part], float) for part in parts]
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputRefused):
            raise
        raise InputRefused(f"{path}: is not what `evaluate --json` writes") from error
    if any(one.shape != labels.shape for one in logits):
        raise InputRefused(f"{path}: has not as many scores as labels")
    return np.concatenate(logits), np.tile(labels, len(parts))


def _calibration_text(
    fitted: calibration.Calibration, meta: Metadata, missing: int, count: int
) -> str:
    def share(value: Estimate) -> str:
        return f"{value.value:.1%} [{value.low:.1%}, {value.high:.1%}]"

    low, high = fitted.thresholds
    lines = [
        f"faces        {fitted.real} real, {fitted.fake} fake; {missing} of {count} had none",
        f"temperature  {fitted.temperature:g} (was {meta.temperature:g})",
        f"log loss     {fitted.log_loss[0]:.4f} -> {fitted.log_loss[1]:.4f}",
        f"ECE          {fitted.calibration_error[0]:.4f} -> {fitted.calibration_error[1]:.4f}",
        f"thresholds   real below {low:g}, fake from {high:g}",
        f"real as fake {share(fitted.real_as_fake)}",
        f"fake as real {share(fitted.fake_as_real)}",
        f"uncertain    {fitted.uncertain:.1%}; right of the rest: {fitted.right:.1%}",
    ]
    return "\n".join(lines)
