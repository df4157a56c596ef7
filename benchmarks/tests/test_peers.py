"""The pure parts of the comparison, and the worker's protocol; no peer needs to be installed.

Run by `./dev test python`. The engine that works here is libdfnet, if it is built, and one made
up for the purpose.
"""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.peers import measure as measure_module
from benchmarks.peers import worker as worker_module
from benchmarks.peers.cases import (
    Case,
    Net,
    Row,
    agrees,
    busy,
    cases,
    fastest,
    gflops,
    runs_a_turn,
    share,
    turn,
)
from benchmarks.peers.export import write_own
from benchmarks.peers.machine import Peaks
from benchmarks.peers.remote import Remote, WorkerError
from benchmarks.peers.report import as_json
from weights_tools.engine import find_library
from weights_tools.forward import forward
from weights_tools.model_file import read_model

B0 = Net("b0", 224)
CASE = Case(B0, 1, 1)


@pytest.mark.parametrize("text", ["b0@224", "b7@380", "lite0@224"])
def test_a_net_reads_as_it_is_written(text: str) -> None:
    assert str(Net.parse(text)) == text


@pytest.mark.parametrize("text", ["b0", "b0@", "b0@16", "b0@9999", "b9@224", "v2-s@224", "b0@224x"])
def test_what_is_no_net_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Net.parse(text)


def test_macs_are_those_of_the_paper_times_the_batch() -> None:
    # 0.386 G multiply-adds: the design's count of B0 at 224, classifier of 1000 included.
    assert 0.384e9 < B0.macs() < 0.388e9
    assert Case(B0, 2, 8).macs == 8 * B0.macs()


def test_batches_are_for_the_first_net_unless_asked() -> None:
    nets = [B0, Net("b4", 380)]
    some = cases(nets, [1, 2], [1, 8], every=False)
    assert [(str(c.net), c.threads, c.batch) for c in some] == [
        ("b0@224", 1, 1),
        ("b0@224", 2, 1),
        ("b4@380", 1, 1),
        ("b4@380", 2, 1),
        ("b0@224", 1, 8),
        ("b0@224", 2, 8),
    ]
    assert len(cases(nets, [1, 2], [1, 8], every=True)) == 8


def test_every_engine_is_first_equally_often() -> None:
    order = ["a", "b", "c"]
    assert [turn(order, n)[0] for n in range(6)] == ["a", "b", "c", "a", "b", "c"]
    assert sorted(turn(order, 4)) == order
    assert turn([], 3) == []


def test_a_turn_has_one_run_at_least_and_two_hundred_at_most() -> None:
    assert runs_a_turn(1.0, 0.1) == 10
    assert runs_a_turn(0.1, 3.0) == 1
    assert runs_a_turn(10.0, 1e-6) == 200
    assert runs_a_turn(1.0, 0.0) == 1


def test_agreement_is_relative_and_never_with_nan() -> None:
    assert agrees(0.9e-4, 1.0) and agrees(0.9e-5, 0.1)
    assert not agrees(1.1e-4, 1.0) and not agrees(1.1e-5, 0.1)
    assert not agrees(float("nan"), 1.0)


def test_rates() -> None:
    # 1 G multiply-adds in 100 ms are 20 GFLOP/s.
    assert gflops(10**9, 100e6) == pytest.approx(20)
    assert share(10**9, 100e6, 80) == pytest.approx(0.25)
    assert share(10**9, 100e6, 0) == 0


def test_the_rival_is_the_fastest_peer_that_ran() -> None:
    rows = [
        Row("dfnet", "1", samples=[5]),
        Row("dfnet-avx2", "1", samples=[4]),
        Row("slow", "1", samples=[9, 30]),
        Row("quick", "1", samples=[20, 8]),
        Row("broken", "1", error="no"),
    ]
    assert fastest(rows) is rows[3]
    assert fastest(rows[:2]) is None


def test_a_busy_machine_is_noticed() -> None:
    def rows(*used: float) -> list[Row]:
        return [Row("x", "1", threads_used=u, samples=[1]) for u in used]

    assert busy(CASE, rows(0.99, 0.89)) and not busy(CASE, rows(0.99, 0.95))
    # An engine that uses one of two threads is no sign.
    assert not busy(Case(B0, 2, 1), rows(0.8))
    assert not busy(CASE, [Row("x", "", error="why")])


def test_peaks_only_rise() -> None:
    peaks = Peaks()
    assert peaks.best(1) == 0
    peaks.add(1, {"gflops": {"avx2": 90.0, "ref": 5.0}, "read_gbytes_per_second": {"1 KiB": 7.0}})
    peaks.add(1, {"gflops": {"avx2": 80.0, "ref": 6.0}, "read_gbytes_per_second": {"1 KiB": 8.0}})
    assert peaks.gflops == {1: {"avx2": 90.0, "ref": 6.0}}
    assert peaks.read == {1: {"1 KiB": 8.0}}
    assert peaks.best(1) == 90 and peaks.best(2) == 0


def test_json_holds_samples_and_what_follows() -> None:
    peaks = Peaks()
    peaks.add(1, {"gflops": {"avx2": 100.0}, "read_gbytes_per_second": {}})
    row = Row("quick", "1.2", samples=[20_000_000, 10_000_000, 40_000_000], first=[9, 7_000_000])
    content = as_json([(CASE, [row, Row("x", "", error="why")], {})], peaks, {"cpu": "c"})
    good, bad = json.loads(json.dumps(content))["cases"][0]["engines"]
    assert good["min_ms"] == 10 and good["median_ms"] == 20
    assert good["samples"] == row.samples
    assert good["images_per_second"] == pytest.approx(100)
    assert good["share_of_peak"] == pytest.approx(2 * B0.macs() / 10e6 / 100)
    assert bad["error"] == "why" and "min_ms" not in bad


class Doubling:
    """Its logits are twice the input's first value; `broken` ones are not."""

    package = ""
    factor = 2.0

    def prepare(self, threads: int) -> str:
        print("libraries talk")
        return "7"

    def load(self, folder: Path, threads: int, shape: tuple[int, int, int, int]) -> None:
        assert shape == (1, 3, 2, 2)

    def run(self, x: np.ndarray) -> np.ndarray:
        return self.factor * x[:, 0, 0, :1]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    x = np.arange(3.0, 15.0, dtype=np.float32).reshape(1, 3, 2, 2)
    np.save(tmp_path / "input.npy", x)
    np.save(tmp_path / "logits.npy", np.array([[6.0]]))
    return tmp_path


def test_a_worker_prepares_loads_and_runs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(worker_module.ENGINES, "doubling", Doubling)
    w = worker_module.Worker()
    assert w.prepare("doubling", 1)["version"] == "7"
    loaded = w.load(str(place), 1)
    assert loaded["difference"] == 0 and loaded["largest"] == 6 and loaded["first_ns"] > 0
    answer = w.run(3, 1)
    assert len(answer["ns"]) == 3 and answer["wall_ns"] >= sum(answer["ns"])


class FakeRemote:
    """A worker without a process: runs take 1 ms, `wrong` computes something else."""

    stopped: list[str] = []
    version = "7"

    def __init__(self, engine: str, threads: int, log: Path) -> None:
        self.engine, self.turns = engine, 0
        if engine == "absent":
            raise WorkerError("no such module")

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        if do == "load":
            difference = 1.0 if self.engine == "wrong" else 0.0
            figures = {"difference": difference, "largest": 2.0, "memory": 5, "memory_peak": 6}
            return {"first_ns": 3_000_000, "library": 0, **figures}
        self.turns += 1
        if self.engine == "dies" and self.turns > 2:
            raise WorkerError("the process ended with -9")
        count = arguments["count"]
        return {"ns": [1_000_000] * count, "cpu_ns": 2 * count, "wall_ns": count}

    def pause(self) -> None:
        self.stopped.append(self.engine)

    def close(self) -> None:
        pass

    def __enter__(self) -> FakeRemote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def test_one_engine_that_fails_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure_module, "Remote", FakeRemote)
    names = ["good", "absent", "wrong", "dies"]
    log = tmp_path / "log"
    good, absent, wrong, dies = measure_module.measure(
        CASE,
        names,
        tmp_path,
        rounds=3,
        seconds=0.01,
        starts=2,
        log=log,
        say=lambda _: None,
    )
    assert good.samples == [1_000_000] * 30 and good.first == [3_000_000] * 2 and not good.error
    assert good.threads_used == 2 and good.memory == 5
    assert absent.error == "no such module" and not absent.samples
    assert "differ by 1" in wrong.error and not wrong.samples
    assert dies.error.endswith("-9")
    # Whoever had a turn is stopped after it.
    assert FakeRemote.stopped.count("good") == 4


def test_the_protocol_survives_talk_and_errors(
    place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """main() of the worker: one answer a line, whatever libraries print or raise."""
    answers = tmp_path / "answers"
    monkeypatch.setitem(worker_module.ENGINES, "doubling", Doubling)
    commands = [
        {"do": "prepare", "engine": "nothing", "threads": 1},
        {"do": "prepare", "engine": "doubling", "threads": 1},
        {"do": "load", "folder": str(place), "threads": 1},
    ]
    lines = "".join(json.dumps(command) + "\n" for command in commands)
    monkeypatch.setattr(worker_module.sys, "stdin", io.StringIO(lines))
    monkeypatch.setattr(worker_module, "answer_file", lambda: answers.open("w"))
    worker_module.main()
    replies = [json.loads(line) for line in answers.read_text().splitlines()]
    assert "nothing" in replies[0]["error"]
    assert replies[1]["version"] == "7"
    assert replies[2]["difference"] == 0


def test_a_process_that_is_told_nonsense_says_so(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="nothing"):
        Remote("nothing", 1, tmp_path / "log")


def test_children_of_a_worker_end_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tmp_path / "python"
    worker.write_text(
        "#!/bin/sh\nsleep 600 >/dev/null &\n"
        "while read -r line; do printf '{\"version\": %d}\\n' $!; done\n"
    )
    worker.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(worker))
    with Remote("dfnet", 1, tmp_path / "log") as remote:
        child = int(remote.version)
        remote.pause()
        assert remote.ask("anything")["version"] == child
        state = Path(f"/proc/{child}/stat")
        assert state.exists()
    for _ in range(200):  # it is killed, but by and by
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] in "ZX":
            return
        time.sleep(0.05)
    pytest.fail("the child lives")


@pytest.mark.skipif(find_library() is None, reason="libdfnet is not built")
def test_libdfnet_through_a_process_of_its_own(tmp_path: Path) -> None:
    net = Net("lite0", 32)
    folder = net.folder(tmp_path)
    write_own(net, folder)
    arch, tensors, meta = read_model(folder / "model.safetensors")
    batch = folder / "b2"
    batch.mkdir()
    x = np.random.default_rng(1).standard_normal((2, 3, 32, 32), dtype=np.float32)
    np.save(batch / "input.npy", x)
    np.save(batch / "logits.npy", forward(arch, tensors, x, meta.padding))
    with Remote("dfnet", 1, tmp_path / "log") as remote:
        answer = remote.ask("load", folder=str(batch), threads=1)
        assert agrees(answer["difference"], answer["largest"])
        assert answer["memory"] > 0
        remote.pause()
        assert len(remote.ask("run", count=2, warmup=0)["ns"]) == 2
        with pytest.raises(WorkerError, match="No such file"):
            remote.ask("load", folder=str(tmp_path), threads=1)
