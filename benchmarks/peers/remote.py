"""A worker process seen from the command. Called by measure.py.

Between its turns a worker is stopped (SIGSTOP), so that threads that spin, or a runtime that
tidies up, take nothing from the others. Signals go to its process group: some engines have children
(OpenVINO's telemetry), which else would outlive it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.peers.engines import environment

#: Seconds that an answer may take; the slowest is a first run of the largest network.
PATIENCE = 900

ROOT = Path(__file__).resolve().parents[2]


class WorkerError(RuntimeError):
    """The engine refused, or its process ended; the sentence is for the report."""


class Remote:
    """One engine in a process of its own, running until close()."""

    def __init__(self, engine: str, threads: int, log: Path) -> None:
        self.engine = engine
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.peers.worker"],
                cwd=ROOT,
                env=environment(threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        try:
            answer = self.ask("prepare", engine=engine, threads=threads)
        except WorkerError:
            self.close()
            raise
        self.version = str(answer["version"])

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Wakes the worker, has the answer, leaves it awake; WorkerError if it fails."""
        if self._process.poll() is not None:
            raise WorkerError(self._ended())
        self._signal(signal.SIGCONT)
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._ended()) from None
        # An answer is one line at a time, so nothing is left in the buffer that select cannot see.
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            raise WorkerError(f"no answer for {PATIENCE} s")
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(self._ended())
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def pause(self) -> None:
        """Not a step further until the next ask()."""
        if self._process.poll() is None:
            self._signal(signal.SIGSTOP)

    def close(self) -> None:
        """Ends the process and its children: the group has its number as long as one lives."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ended(self) -> str:
        return f"the process ended with {self._process.wait()}; see {self._log}"
