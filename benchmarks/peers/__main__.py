"""The command: `./dev bench --peers [ARGS]`, which is `python -m benchmarks.peers [ARGS]`.

Exit codes: 0 done; 2 wrong usage; 3 libdfnet itself failed or disagreed, or there is nothing to
compare with. Peers that fail are named in the table.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from benchmarks.peers import machine, report
from benchmarks.peers.cases import DEFAULT_NETS, Case, Net, Row, busy, cases
from benchmarks.peers.engines import DEFAULT, ENGINES
from benchmarks.peers.export import EXPORTERS, done
from benchmarks.peers.measure import measure
from benchmarks.peers.remote import ROOT

EXAMPLES = """examples:
  ./dev bench --peers                                     everything: about half an hour
  ./dev bench --peers --nets b0@224 --threads 1 --rounds 3 --seconds 0.2
  ./dev bench --peers --engines dfnet,dfnet-avx2,onnxruntime --nets b4@380
"""


def main(arguments: Sequence[str]) -> int:
    """Exports what is missing, then measures one case after the other."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.engines if name not in ENGINES]:
        parser.error(f"no engine is called {', '.join(unknown)}; there are {', '.join(ENGINES)}")
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    log = output / "engines.log"
    log.write_bytes(b"")
    wanted = cases(options.nets, options.threads, options.batches, options.every)
    missing = _export_all(wanted, options.engines, output / "models", log)
    about = {"date": time.strftime("%Y-%m-%d %H:%M"), **machine.about()}
    about["options"] = {"rounds": options.rounds, "seconds": options.seconds}
    _say(f"{about['cpu']}, {about['cpus']} CPUs, load {about['load_before']}, {about['revision']}")
    own_size = machine.stripped_size()
    peaks = machine.Peaks()
    results: list[tuple[Case, list[Row], dict[str, Any]]] = []
    for case in wanted:
        machine.measure_peaks(peaks, case.threads)
        rows, program = _one(case, options, output / "models", missing, log)
        machine.measure_peaks(peaks, case.threads)
        for row in rows:
            if row.engine.startswith("dfnet"):
                row.library = own_size
        results.append((case, rows, program))
        # After every case, so that a run that is cut short is not lost.
        content = report.as_json(results, peaks, about)
        report.write_json(output / "peers.json", content)
        report.picture(output / "peers.png", content)
    with (output / "peers.txt").open("w") as file:
        _print(results, peaks, about, file)
    _print(results, peaks, about, sys.stdout)
    _say(f"written: {output}/peers.txt, peers.json (all samples), peers.png")
    return 3 if any(r.error for _, rows, _ in results for r in rows if _own(r)) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./dev bench --peers",
        epilog=EXAMPLES,
        description="Times libdfnet beside other inference libraries: same weights, one run.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )

    def listed(kind: Callable[[str], Any]) -> Callable[[str], list[Any]]:
        def parse(text: str) -> list[Any]:
            try:
                return [kind(part) for part in text.split(",")]
            except ValueError as error:
                raise argparse.ArgumentTypeError(str(error)) from None

        return parse

    def count(text: str) -> int:
        if not text.isdigit() or not 1 <= int(text) <= 1024:
            raise ValueError(f"{text!r} is not a number from 1 to 1024")
        return int(text)

    add = parser.add_argument
    add("--nets", type=listed(Net.parse), default=DEFAULT_NETS, help=f"NET@SIZE,... {DEFAULT_NETS}")
    add("--threads", type=listed(count), default="1,2", help="1,2")
    add("--batches", type=listed(count), default="1,8", help="1,8; above 1 the first net only,")
    add("--every", action="store_true", help="unless this is given")
    add("--engines", type=listed(str), default=",".join(DEFAULT), help="of " + ", ".join(ENGINES))
    add("--rounds", type=count, default=8, help="turns of each engine (8)")
    add("--seconds", type=float, default=1.0, help="length of a turn (1)")
    add("--starts", type=count, default=3, help="starts, for the time to the first result (3)")
    add("--output", default=str(ROOT / ".cache" / "peers"), help="folder for models and results")
    return parser


def _export_all(
    wanted: Sequence[Case], engines: Sequence[str], root: Path, log: Path
) -> dict[tuple[str, Net, int], str]:
    """Makes what is not there. What could not be made: (engine, net, batch) -> reason."""
    missing: dict[tuple[str, Net, int], str] = {}
    for net, batch in dict.fromkeys((case.net, case.batch) for case in wanted):
        for engine in ("reference", *(e for e in engines if e in EXPORTERS)):
            if done(net.folder(root), batch, engine):
                continue
            _say(f"exporting {net}, batch {batch}, for {engine}")
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.peers.export", engine]
            command += [str(net), str(batch), str(root)]
            ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            with log.open("a") as file:
                file.write(f"---- {' '.join(command)}\n{ended.stdout}{ended.stderr}")
            if ended.returncode:
                last = (ended.stderr.strip() or "no message").splitlines()[-1]
                missing[engine, net, batch] = f"could not be exported: {last[:200]}"
                _say(f"{engine}: {missing[engine, net, batch]} (more in {log})")
    if any(engine == "reference" for engine, _, _ in missing):
        sys.exit(3)
    return missing


def _one(
    case: Case,
    options: argparse.Namespace,
    root: Path,
    missing: dict[tuple[str, Net, int], str],
    log: Path,
) -> tuple[list[Row], dict[str, Any]]:
    """All engines in one case, and the C program."""
    _say(f"== {case}")
    lost = {
        e: missing[e, case.net, case.batch]
        for e in options.engines
        if (e, case.net, case.batch) in missing
    }
    rows = measure(
        case,
        [engine for engine in options.engines if engine not in lost],
        case.net.folder(root) / f"b{case.batch}",
        rounds=options.rounds,
        seconds=options.seconds,
        starts=options.starts,
        log=log,
        say=_say,
    )
    rows += [Row(engine, "", error=reason) for engine, reason in lost.items()]
    if not any(_own(row) and not row.error for row in rows):
        return rows, {}
    model = case.net.folder(root) / "model.safetensors"
    return rows, machine.c_program(case, model, options.starts)


def _own(row: Row) -> bool:
    return row.engine.startswith("dfnet")


def _print(
    results: Sequence[tuple[Case, list[Row], dict[str, Any]]],
    peaks: machine.Peaks,
    about: dict[str, Any],
    file: TextIO,
) -> None:
    from rich.console import Console

    # Wide enough for a whole row: a pipe or a narrow terminal must not cut numbers off.
    console = Console(file=file, width=150, highlight=False)
    console.print(f"{about['cpu']}, {about['cpus']} CPUs, {about['date']}, {about['revision']}")
    for threads in sorted(peaks.gflops):
        rates = ", ".join(f"{name} {rate:.1f}" for name, rate in peaks.gflops[threads].items())
        reads = ", ".join(f"{name} {rate:.0f}" for name, rate in peaks.read[threads].items())
        console.print(f"peak, {threads} thread(s): {rates} GFLOP/s; reading {reads} GB/s")
    for case, rows, program in results:
        console.print()
        console.print(report.table(case, rows, peaks.best(case.threads)))
        if busy(case, rows):
            console.print("The machine was busy (see CPUs): some of these times say nothing.")
        if program:
            console.print(
                f"dfnet in a C program: {program['resident_bytes'] / report.MIB:.0f} MiB resident"
                f" (at most {program['peak_resident_bytes'] / report.MIB:.0f}), load to first"
                f" result {program['first_result_ms']:.0f} ms"
            )
    console.print()
    console.print(report.summary(results, peaks))
    console.print()
    console.print(report.LEGEND)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
