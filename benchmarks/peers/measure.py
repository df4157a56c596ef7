"""Times all engines in one case. Called by __main__.py.

An engine is started `starts` times for the time to its first result; the last process stays.
Then rounds: in each, every engine has a turn of about `seconds`, in an order that rotates, while
all others are stopped. The first runs of a turn do not count: the caches are the neighbour's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.peers.cases import Case, Row, agrees, runs_a_turn, turn
from benchmarks.peers.remote import Remote, WorkerError

WARMUP = 2


def measure(
    case: Case,
    engines: Sequence[str],
    folder: Path,
    *,
    rounds: int,
    seconds: float,
    starts: int,
    log: Path,
    say: Callable[[str], None],
) -> list[Row]:
    """One row an engine, in their order; what fails has an error and no samples."""
    rows = {engine: Row(engine, "") for engine in engines}
    remotes: dict[str, Remote] = {}
    with ExitStack() as stack:
        for engine in engines:
            try:
                remote = _start(case, rows[engine], folder, starts, log)
            except WorkerError as error:
                rows[engine].error = str(error)
                say(f"{engine}: {error}")
                continue
            remotes[engine] = stack.enter_context(remote)
            remote.pause()
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for engine in turn(list(remotes), number):
                try:
                    _turn(remotes[engine], rows[engine], seconds)
                except WorkerError as error:
                    rows[engine].error = str(error)
                    remotes.pop(engine).close()
    return list(rows.values())


def _start(case: Case, row: Row, folder: Path, starts: int, log: Path) -> Remote:
    for number in range(starts):
        remote = Remote(row.engine, case.threads, log)
        try:
            answer = remote.ask("load", folder=str(folder), threads=case.threads)
        except WorkerError:
            remote.close()
            raise
        row.version = remote.version
        row.first.append(answer["first_ns"])
        if number + 1 < starts:
            remote.close()
    for name in ("memory", "memory_peak", "library", "difference", "largest"):
        setattr(row, name, answer[name])
    if not agrees(row.difference, row.largest):
        remote.close()
        raise WorkerError(
            f"its logits differ by {row.difference:.3g} (the largest is {row.largest:.3g})"
        )
    return remote


def _turn(remote: Remote, row: Row, seconds: float) -> None:
    if row.samples:
        count = runs_a_turn(seconds, row.best / 1e9)
    else:
        # Nothing is known but the first run, load included: see how long one takes.
        trial = remote.ask("run", count=1, warmup=WARMUP)
        count = runs_a_turn(seconds, trial["ns"][0] / 1e9)
    answer = remote.ask("run", count=count, warmup=WARMUP)
    remote.pause()
    row.samples += answer["ns"]
    row.threads_used = max(row.threads_used, answer["cpu_ns"] / answer["wall_ns"])
