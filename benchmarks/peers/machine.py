"""What the C programs of this tree say: peaks of the machine, memory, size. Called by __main__.py.

Needs a build in build/ (`./dev bench` makes it).
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.cases import Case
from benchmarks.peers.remote import ROOT

BUILD = ROOT / "build"


@dataclass
class Peaks:
    """The best that was seen, by thread count; every measurement can only raise it."""

    gflops: dict[int, dict[str, float]] = field(default_factory=dict)  # threads -> level -> rate
    read: dict[int, dict[str, float]] = field(default_factory=dict)  # threads -> size -> GB/s

    def add(self, threads: int, measured: dict[str, Any]) -> None:
        """One answer of bench_peak."""
        pairs = ((self.gflops, measured["gflops"]), (self.read, measured["read_gbytes_per_second"]))
        for kept, new in pairs:
            best = kept.setdefault(threads, {})
            for name, rate in new.items():
                best[name] = max(best.get(name, 0.0), rate)

    def best(self, threads: int) -> float:
        """GFLOP/s of the best level, 0 if never measured."""
        return max(self.gflops.get(threads, {}).values(), default=0.0)


def measure_peaks(peaks: Peaks, threads: int) -> None:
    """Runs bench_peak once; a few tenths of a second."""
    peaks.add(threads, _json([BUILD / "benchmarks" / "bench_peak", str(threads)]))


def c_program(case: Case, model: Path, starts: int) -> dict[str, Any]:
    """Resident memory and time to the first result of a C program that runs the case."""
    command = [BUILD / "benchmarks" / "bench_model", "--model", model, "--json", "--repeat", "3"]
    command += ["--size", str(case.net.size), "--threads", str(case.threads)]
    command += ["--batch", str(case.batch)]
    rows = [_json(command)["benchmarks"][0] for _ in range(starts)]
    return {
        "resident_bytes": min(row["resident_bytes"] for row in rows),
        "peak_resident_bytes": min(row["peak_resident_bytes"] for row in rows),
        "first_result_ms": min(row["first_result_ms"] for row in rows),
    }


def stripped_size() -> int:
    """Bytes of libdfnet.so without symbols; 0 if there is no `strip`."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "lib.so"
        try:
            subprocess.run(["strip", "-o", copy, BUILD / "lib" / "libdfnet.so"], check=True)
        except (OSError, subprocess.CalledProcessError):
            return 0
        return copy.stat().st_size


def about() -> dict[str, Any]:
    """The machine and this tree, for the report."""
    cpu = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), cpu)
        load = os.getloadavg()[0]
    except OSError:
        load = float("nan")
    try:
        command = ["git", "describe", "--always", "--dirty"]
        revision = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        revision = "unknown"
    return {
        "cpu": cpu,
        "cpus": len(os.sched_getaffinity(0)),
        "load_before": round(load, 2),
        "system": platform.platform(),
        "revision": revision,
    }


def _json(command: list[str | Path]) -> dict[str, Any]:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    return json.loads(done.stdout)
