"""A process that holds one engine. Started by remote.py; one line of JSON in, one out.

    {"do": "prepare", "engine": "ncnn", "threads": 1}  -> {"version", "resident"}
    {"do": "load", "folder": "...", "threads": 1}      -> {"first_ns", "memory", "memory_peak",
                                                           "library", "difference", "largest"}
    {"do": "run", "count": 20, "warmup": 1}            -> {"ns": [...], "cpu_ns", "wall_ns"}

"first_ns" is from the beginning of the load to the end of the first run. Whatever fails answers
{"error": "sentence"}. Libraries print to standard output; it is standard error here.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from benchmarks.peers.engines import ENGINES, Engine


class Worker:
    """State between the commands."""

    def __init__(self) -> None:
        self.engine: Engine
        self.resident = 0
        self.x: np.ndarray

    def prepare(self, engine: str, threads: int) -> dict[str, Any]:
        """Imports, then looks how much that took."""
        self.engine = ENGINES[engine]()
        version = self.engine.prepare(threads)
        self.resident = status("VmRSS")
        return {"version": version, "resident": self.resident}

    def load(self, folder: str, threads: int) -> dict[str, Any]:
        """Load and first run, and whether its logits are right."""
        place = Path(folder)
        self.x = np.load(place / "input.npy")
        expected = np.load(place / "logits.npy")
        # The input is ours, not the engine's.
        self.resident = status("VmRSS")
        start = time.perf_counter_ns()
        n, c, h, w = self.x.shape
        self.engine.load(place, threads, (n, c, h, w))
        logits = self.engine.run(self.x)
        first = time.perf_counter_ns() - start
        result = {"first_ns": first}
        actual = np.asarray(logits, np.float64).reshape(expected.shape)
        result["difference"] = float(np.abs(actual - expected).max())
        result["largest"] = float(np.abs(expected).max())
        for _ in range(2):
            self.engine.run(self.x)
        result["memory"] = status("VmRSS") - self.resident
        result["memory_peak"] = max(0, status("VmHWM") - self.resident)
        result["library"] = library_bytes(self.engine.package)
        return result

    def run(self, count: int, warmup: int) -> dict[str, Any]:
        """Times of `count` runs, each on its own, after `warmup` that do not count."""
        for _ in range(warmup):
            self.engine.run(self.x)
        ns = []
        cpu = time.process_time_ns()
        wall = time.perf_counter_ns()
        for _ in range(count):
            start = time.perf_counter_ns()
            self.engine.run(self.x)
            ns.append(time.perf_counter_ns() - start)
        return {
            "ns": ns,
            "cpu_ns": time.process_time_ns() - cpu,
            "wall_ns": time.perf_counter_ns() - wall,
        }


def status(field: str) -> int:
    """A size of /proc/self/status in bytes; 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), 0)


def library_bytes(package: str) -> int:
    """Size of the shared libraries of a package, and of NAME.libs beside it, that are mapped."""
    if not package:
        return 0
    parts = {package, f"{package}.libs"}
    files = set()
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = Path(line.split(maxsplit=5)[-1])
        if ".so" in path.name and parts & set(path.parts) and "site-packages" in path.parts:
            files.add(path)
    return sum(path.stat().st_size for path in files)


def answer_file() -> TextIO:
    """Standard output for the answers alone; whatever else is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def main() -> None:
    """Answers until standard input ends."""
    worker = Worker()
    with answer_file() as answers:
        for line in sys.stdin:
            command = json.loads(line)
            try:
                answer = getattr(worker, command.pop("do"))(**command)
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
            print(json.dumps(answer), file=answers, flush=True)


def end_with_parent() -> None:
    """A worker that is stopped would outlive a command that was killed. Linux only."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


if __name__ == "__main__":
    end_with_parent()
    main()
