"""Results as a table, as JSON, as a picture. Called by __main__.py; needs rich and matplotlib."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.cases import Case, Row, fastest, gflops, share
from benchmarks.peers.machine import Peaks

MIB = 1 << 20


def table(case: Case, rows: Sequence[Row], peak: float) -> Any:
    """A rich.table.Table of one case; peak: GFLOP/s of as many threads."""
    from rich.table import Table

    result = Table(title=str(case), title_justify="left")
    result.add_column("engine", no_wrap=True)
    heads = ("min ms", "median", "runs", "images/s", "GFLOP/s", "of peak", "speed")
    for head in (*heads, "MiB", "first ms", "library MiB", "CPUs", "error"):
        result.add_column(head, justify="right", no_wrap=True)
    rival = fastest(rows)
    for row in sorted(rows, key=lambda r: r.best if r.samples else float("inf")):
        name = f"{row.engine} {row.version}".strip()
        if row.error or not row.samples:
            result.add_row(name, row.error or "no figures")
            continue
        own = row.engine.startswith("dfnet")
        result.add_row(
            name,
            f"{row.best / 1e6:.2f}",
            f"{row.median / 1e6:.2f}",
            str(len(row.samples)),
            f"{case.batch / row.best * 1e9:.1f}",
            f"{gflops(case.macs, row.best):.1f}",
            f"{100 * share(case.macs, row.best, peak):.1f} %" if peak else "",
            f"{rival.best / row.best:.2f}" if rival else "",
            f"{row.memory / MIB:.0f}",
            f"{min(row.first) / 1e6:.0f}",
            f"{row.library / MIB:.1f}" if row.library else "",
            f"{row.threads_used:.2f}",
            f"{row.difference / row.largest:.0e}",
            style="bold" if own else None,
        )
    return result


def summary(results: Sequence[tuple[Case, Sequence[Row], Any]], peaks: Peaks) -> Any:
    """A line a case: libdfnet, the fastest peer, and what threads and batches gave."""
    from rich.table import Table

    result = Table(title="libdfnet and the fastest peer", title_justify="left")
    result.add_column("case", no_wrap=True)
    for head in ("dfnet ms", "of peak", "fastest peer", "ms", "speed", "by threads", "by batch"):
        result.add_column(head, justify="right", no_wrap=True)
    own = {
        case: row
        for case, rows, _ in results
        for row in rows
        if row.engine == "dfnet" and row.samples and not row.error
    }
    for case, rows, _ in results:
        if case not in own:
            continue
        best, rival = own[case].best, fastest(rows)
        single = own.get(Case(case.net, 1, case.batch))
        alone = own.get(Case(case.net, case.threads, 1))
        peak = peaks.best(case.threads)
        result.add_row(
            str(case),
            f"{best / 1e6:.2f}",
            f"{100 * share(case.macs, best, peak):.1f} %" if peak else "",
            f"{rival.engine}" if rival else "",
            f"{rival.best / 1e6:.2f}" if rival else "",
            f"{rival.best / best:.2f}" if rival else "",
            f"{single.best / best:.2f}" if single and case.threads > 1 else "",
            f"{case.batch * alone.best / best:.2f}" if alone and case.batch > 1 else "",
        )
    return result


LEGEND = """\
of peak      multiply-adds of the network against this run's measured peak of as many threads
speed        times as fast as the fastest peer (above 1: faster)
MiB          resident memory, loaded and run, less what the process had after the imports
first ms     load to first result, imports not counted, the fastest start
library MiB  shared libraries of the engine's own package that were loaded; for dfnet stripped
CPUs         processor time by wall time, the most in any turn: more than the threads asked for
             would be unfair
error        largest difference of a logit from float64, relative to the largest logit
by threads   times as fast as with one thread
by batch     images a second, times those of batch 1"""


def as_json(
    results: Sequence[tuple[Case, Sequence[Row], dict[str, Any]]],
    peaks: Peaks,
    about: dict[str, Any],
) -> dict[str, Any]:
    """Everything that was measured, every sample included."""
    return {
        "about": about,
        "peak_gflops": peaks.gflops,
        "read_gbytes_per_second": peaks.read,
        "cases": [
            {
                "net": case.net.name,
                "size": case.net.size,
                "threads": case.threads,
                "batch": case.batch,
                "macs": case.macs,
                "c_program": program,
                "engines": [row.as_json(case, peaks.best(case.threads)) for row in rows],
            }
            for case, rows, program in results
        ],
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def picture(path: Path, content: dict[str, Any]) -> None:
    """Bars of each case: share of the peak, with milliseconds beside them. content: as_json()."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    cases = content["cases"]
    columns = min(3, len(cases))
    lines = -(-len(cases) // columns)
    engines = max(len(case["engines"]) for case in cases)
    figure, axes = pyplot.subplots(
        lines,
        columns,
        figsize=(4.6 * columns, (0.32 * engines + 0.9) * lines),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat[len(cases) :]:
        axis.set_visible(False)
    for case, axis in zip(cases, axes.flat, strict=False):
        rows = sorted(
            (row for row in case["engines"] if row["samples"] and not row["error"]),
            key=lambda row: -row["min_ms"],
        )
        shares = [100 * row["share_of_peak"] for row in rows]
        colours = ["#c0392b" if r["engine"].startswith("dfnet") else "#7f8c8d" for r in rows]
        axis.barh([row["engine"] for row in rows], shares, color=colours)
        for place, (row, percent) in enumerate(zip(rows, shares, strict=True)):
            axis.text(percent + 1, place, f"{row['min_ms']:.1f} ms", va="center", fontsize=8)
        axis.set_xlim(0, 110)
        axis.set_title(
            f"{case['net']}@{case['size']}, threads {case['threads']}, batch {case['batch']}",
            fontsize=9,
        )
        axis.tick_params(labelsize=8)
        axis.set_xlabel("% of the measured FMA peak", fontsize=8)
    about = content["about"]
    figure.suptitle(f"{about['cpu']}, {about['date']}, {about['revision']}; minimum", fontsize=9)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
