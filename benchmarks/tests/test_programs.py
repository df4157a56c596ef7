"""The C benchmarks print what they promise. No time is tested.

Programs of the build folder that DFNET_BUILD names, else of build/; without them the tests skip.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from weights_tools.arch import variant
from weights_tools.random_model import write_random_model

ROOT = Path(__file__).parents[2]


def run(name: str, *arguments: object, code: int = 0) -> str:
    path = Path(os.environ.get("DFNET_BUILD", ROOT / "build")).resolve() / "benchmarks" / name
    if not path.exists():
        pytest.skip(f"{path} is not built (./dev build)")
    command = [str(path), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "lite0.safetensors"
    write_random_model(path, "lite0", 3, 1, "f32")
    return path


def test_peak_names_every_level_and_size() -> None:
    found = json.loads(run("bench_peak", 2))
    assert found["threads"] == 2
    assert "portable" in found["gflops"] and all(rate > 0 for rate in found["gflops"].values())
    assert len(found["read_gbytes_per_second"]) == 6
    assert all(rate > 0 for rate in found["read_gbytes_per_second"].values())
    assert "THREADS" in run("bench_peak", "no", code=1)


@pytest.mark.parametrize("net", ["b0@224", "b4@380", "b7@600", "lite0@224"])
def test_kernel_shapes_are_all_layers_of_the_network(net: str) -> None:
    name, size = net.split("@")
    lines = run("bench_kernel", "--list", "--net", net).splitlines()
    macs = sum(int(count) * float(m) for _, count, m in map(str.split, lines))
    # The default padding; all of these sizes round the same way with the other.
    assert macs == pytest.approx(variant(name, 1000).macs(int(size), int(size), "same"), rel=1e-9)


def test_kernel_rows_are_those_of_the_level() -> None:
    common = ("--json", "--net", "lite0@32", "--seconds", 1e-5)
    rows = json.loads(run("bench_kernel", *common, "--cpu", "ref"))["benchmarks"]
    kernels = {row["name"].split("/")[0] for row in rows}
    assert "dfn_f32_dwconv__ref" in kernels
    assert not [name for name in kernels if "__avx" in name or "__neon" in name]
    assert all(row["gflops"] > 0 and row["of_peak"] > 0 for row in rows)
    best = json.loads(run("bench_kernel", *common, "--cpu", "ref", "--best"))["benchmarks"]
    chosen = {row["name"].split("/")[0] for row in best}
    assert chosen < kernels and "dfn_f32_pointwise_naive__ref" not in chosen
    some = json.loads(run("bench_kernel", *common, "dwconv__ref/lite0@32.0"))["benchmarks"]
    assert {row["name"] for row in some} == {"dfn_f32_dwconv__ref/lite0@32.0.depthwise"}


def test_every_row_of_the_kernel_table_is_timed() -> None:
    table = (ROOT / "kernels" / "kernels.def").read_text()
    rows = set(re.findall(r"^DFN_K\(\w+,\s*(\w+),", table, re.MULTILINE))
    assert len(rows) > 50
    nets = ("--net", "b0@32,mtcnn,attention,pixels", "--seconds", 1e-5)
    found = json.loads(run("bench_kernel", "--json", *nets))["benchmarks"]
    timed = {row["name"].split("/")[0] for row in found}
    assert all(row["real_time"] > 0 for row in found)
    # What this processor or this build lacks is missing with its whole level.
    levels = {name.split("__")[1] for name in timed}
    assert "ref" in levels
    assert {name for name in rows if name.split("__")[1] in levels} == timed


@pytest.mark.parametrize("wrong", [["--net", "b9@224"], ["--cpu", "sse9"], ["--seconds", "0"]])
def test_kernel_refuses_nonsense(wrong: list[str]) -> None:
    run("bench_kernel", *wrong, code=1)


def test_model_json_is_google_benchmarks(model: Path) -> None:
    options = ("--model", model, "--size", 64, "--batch", 2, "--repeat", 3, "--cpu", "ref")
    found = json.loads(run("bench_model", *options, "--json"))
    assert found["context"]["executable"] == "bench_model"
    rows = found["benchmarks"]
    assert [row["repetition_index"] for row in rows] == [0, 1, 2]
    for row in rows:
        assert row["name"] == "lite0/64x64/batch:2/threads:1" and row["time_unit"] == "us"
        assert row["run_type"] == "iteration" and row["real_time"] > 0
        # Measured apart: the same number in both columns would be a copy.
        assert row["cpu_time"] > 0
    assert [row["cpu_time"] for row in rows] != [row["real_time"] for row in rows]
    for row in rows:
        assert 0 < row["gflops"] and 0 < row["peak_gflops"] and row["first_result_ms"] > 0
        assert row["peak_resident_bytes"] >= row["resident_bytes"] > row["session_bytes"]


def test_model_waits_for_questions(model: Path) -> None:
    asked, wait = run("bench_model", "--model", model, "--size", 64, "--cancel").splitlines()
    found = re.fullmatch(r"asked (\d+) times in a run of [\d.]+ ms", asked)
    assert found and int(found[1]) >= 51  # the steps of lite0
    found = re.fullmatch(r"longest wait .*: ([\d.]+) ms in .* 20 runs, ([\d.]+) in .*", wait)
    assert found and float(found[1]) <= float(found[2])


def test_model_shares_work_evenly(model: Path) -> None:
    options = ("--model", model, "--size", 96, "--repeat", 2, "--threads")
    text = run("bench_model", *options, 3, "--balance")
    found = re.fullmatch(
        r"3 threads, (\d+) calls: slowest parts ([\d.]+) ms together, all ([\d.]+) ms, "
        r"balance ([\d.]+) %; one thread alone besides [\d.]+ ms \(minima of 2 runs\)\n",
        text,
    )
    assert found and int(found[1]) > 20
    path, everything, balance = map(float, found.groups()[1:])
    assert path < everything < 3.001 * path
    assert balance == pytest.approx(100 * everything / 3 / path, rel=0.02)
    run("bench_model", *options, 1, "--balance", code=1)


def test_model_times_denormal_weights() -> None:
    options = ("--arch", "lite0", "--size", 32, "--repeat", 1, "--denormal")
    assert re.search(r"denormal ones [\d.]+ ms .*: [\d.]+ times", run("bench_model", *options))


def test_model_layers_add_up(model: Path) -> None:
    text = run("bench_model", "--model", model, "--size", 64, "--repeat", 2, "--layers")
    table, kinds = text.split("above floor\n")[1].split("\n\n")
    steps = [line.split() for line in table.splitlines()]
    macs = sum(float(step[2]) for step in steps)
    assert macs == pytest.approx(variant("lite0", 3).macs(64, 64, "same") / 1e6, rel=1e-3)
    assert float(steps[0][3]) > 0
    assert sum(float(s[3]) for s in steps) == pytest.approx(float(kinds.split()[-9]), rel=0.05)
    assert {"stem", "depthwise", "all"} <= {line.split()[0] for line in kinds.splitlines()}


@pytest.mark.parametrize(
    "wrong",
    [
        ["--arch", "no such"],
        ["--cpu", "sse9"],
        ["--layers", "--json"],
        ["--cancel", "--json"],
        ["--denormal"],
        ["--model", "/no"],
    ],
)
def test_model_refuses_nonsense(wrong: list[str]) -> None:
    run("bench_model", *wrong, code=4 if wrong[0] in ("--arch", "--model") else 1)


def test_arch_makes_its_weights_once(tmp_path: Path) -> None:
    assert "lite0" in run("bench_model", "--arch", "lite0", "--size", 32, "--repeat", 1)
    made = ROOT / "build" / "models" / "random-lite0.safetensors"
    before = made.stat().st_mtime_ns
    run("bench_model", "--arch", "lite0", "--size", 32, "--repeat", 1)
    assert made.stat().st_mtime_ns == before
    assert not list(made.parent.glob("*.part"))
