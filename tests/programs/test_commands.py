"""info, verify, explain, bench, help, man, completion, and the other programs' exit codes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import ASTRONAUT, BOX, FACE, HOSTILE, PHOTOS, ROOT, Run, detector, runner

TABLE = (ROOT / "examples/dfnet/options.def").read_text()
OPTIONS = re.findall(r'^OPT\(\w+, ([\w |]+), [^,]+, "([\w-]+)"', TABLE, re.MULTILINE)
COMMANDS = re.findall(
    r'^CMD\(\w+, "(\w+)"', (ROOT / "examples/dfnet/commands.def").read_text(), re.MULTILINE
)


def test_the_tables_are_read() -> None:
    assert len(OPTIONS) > 20 and len(COMMANDS) == 9


def test_info(dfnet: Run, tiny: Path) -> None:
    done = dfnet("info", "--json", tiny)
    facts = json.loads(done.stdout)
    assert done.returncode == 0 and facts["schema"] == 1 and facts["name"] == "n" + HOSTILE
    assert facts["labels"] == ["=1+1", HOSTILE, "@sum"] and facts["outputs"] == 3
    assert facts["metadata"]["dfnet.license"] == "l" + HOSTILE and len(facts["hash"]) == 32
    text = dfnet("info", tiny).stdout
    assert facts["hash"].encode() in text and b"\x1b" not in text and b"\xe2\x80\xae" not in text
    assert [dfnet("info", *a).returncode for a in ([], ["/no"], [FACE])] == [1, 4, 4]


def test_verify(dfnet: Run, tiny: Path, other: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    data = bytearray(tiny.read_bytes())
    data[-5] ^= 1
    bad.write_bytes(data)
    assert dfnet("verify", tiny, other).returncode == 0
    assert dfnet("verify", tiny, bad).returncode == 2 and dfnet("verify", bad).returncode == 3
    assert dfnet("verify").returncode == 1
    lines = [json.loads(x) for x in dfnet("verify", "-j", tiny, bad).stdout.splitlines()]
    assert lines[0]["ok"] and lines[0]["difference"] <= lines[0]["tolerance"]
    assert not lines[1]["ok"] and lines[1]["error"]


def test_explain(dfnet: Run, tiny: Path) -> None:
    plan = dfnet("explain", tiny).stdout.decode()
    assert "stem" in plan and "48" in plan
    assert dfnet("explain", "--size", "64x96", "--batch", 2, tiny).stdout.decode() != plan
    timed = dfnet("explain", "--times", tiny)
    assert timed.returncode == 0 and timed.stdout.decode() != plan
    wrong = (["--size", "16"], ["--size", "64x"], ["--batch", "0"], [tiny, tiny])
    assert [dfnet("explain", *a, tiny).returncode for a in wrong] == [1] * 4
    assert dfnet("explain", "/no").returncode == 4


def test_bench(dfnet: Run, tiny: Path) -> None:
    done = dfnet("bench", "--json", "--repeat", 3, tiny)
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["context"]["executable"] == "dfnet"
    assert len(report["benchmarks"]) == 3 and report["benchmarks"][0]["real_time"] > 0
    assert b"median" in dfnet("bench", "--repeat", 2, "--size", 64, tiny).stdout


def test_help_names_everything(dfnet: Run) -> None:
    first = dfnet("help").stdout.decode()
    assert all(f"\n  {c}" in first for c in COMMANDS) and dfnet("--help").stdout.decode() == first
    for command in COMMANDS:
        text = dfnet("help", command).stdout
        assert dfnet(command, "--help").stdout == text and dfnet(command, "-h").returncode == 0
        for where, name in OPTIONS:
            wanted = f"IN_{command.upper()}" in where.split(" | ") or where == "IN_ALL"
            assert (f"--{name}" in re.findall(r"--[\w-]+", text.decode())) >= wanted
    assert [dfnet(*a).returncode for a in ([], ["no"], ["help", "no"], ["--no"])] == [1] * 4


def test_version(dfnet: Run) -> None:
    text = dfnet("--version").stdout.decode()
    assert re.match(r"dfnet \d+\.\d+\.\d+\nlibrary \d+\.\d+\.\d+\ncpu", text)
    assert dfnet("classify", "-V").stdout.decode() == text


def test_manual(dfnet: Run, tmp_path: Path) -> None:
    page = tmp_path / "dfnet.1"
    page.write_bytes(dfnet("man").stdout)
    text = page.read_text().replace("\\-", "-")
    assert all(f"Fl -{name}" in text for _, name in OPTIONS)
    assert all(f".Ss {command}" in text for command in COMMANDS)
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed, so the page's form was not checked")
    lint = subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, text=True)
    assert lint.returncode == 0 and not lint.stdout + lint.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(dfnet: Run, shell: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_bytes(dfnet("completion", shell).stdout)
    dashes = "-l " if shell == "fish" else "--"
    text = script.read_text()
    assert all(dashes + name in text for _, name in OPTIONS)
    assert all(command in text for command in COMMANDS)
    assert dfnet("completion", "csh").returncode == dfnet("completion").returncode == 1
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed, so the script was not parsed")
    assert subprocess.run([shell, "-n", script]).returncode == 0


def test_bash_completes(dfnet: Run, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_bytes(dfnet("completion", "bash").stdout)

    def complete(*words: str) -> list[str]:
        quoted = " ".join(f"'{w}'" for w in words)
        code = f". {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _dfnet"
        command = ["bash", "-c", code + '; printf "%s\\n" "${COMPREPLY[@]}"']
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert complete("dfnet", "cl") == ["classify"]
    assert complete("dfnet", "classify", "--fa") == ["--fail-if"]
    assert complete("dfnet", "classify", "--rule", "mean") == ["mean-prob", "mean-logit"]
    assert "--csv" not in complete("dfnet", "bench", "--")


def test_face_classifier(tiny: Path, tmp_path: Path) -> None:
    run = runner("face_classifier")
    table = run("--whole", "--model", tiny, PHOTOS)
    assert table.returncode == 0 and len(table.stdout.splitlines()) == 3 and not table.stderr
    piped = run("--json", "-w", "--model", tiny, "-", input=FACE.read_bytes())
    row = json.loads(piped.stdout)
    assert row["schema"] == 1 and row["path"] == "-" and 0 <= row["faces"][0]["fake"] <= 1
    assert [
        run("--whole", "--model", tiny, *a).returncode
        for a in ([FACE], [], [FACE, "/no"], ["/no"], ["--box", BOX, FACE], [tmp_path])
    ] == [0, 1, 2, 3, 1, 3]
    assert run("--box", "1", "--model", tiny, FACE).returncode == 1
    assert run("--model", "/no", FACE).returncode == 4
    shutil.copy(FACE, tmp_path / (HOSTILE.replace("/", "_") + ".jpg"))
    for flags in ([], ["--json"], ["--top", "3"]):
        done = run("--whole", "--model", tiny, *flags, tmp_path)
        assert (
            done.returncode == 0 and b"\x1b" not in done.stdout and b"\xc2\x9b" not in done.stdout
        )


def test_face_classifier_finds_faces(dfnet: Run, tiny: Path, tmp_path: Path) -> None:
    run = runner("face_classifier")
    without = run("--json", "--model", tiny, FACE)  # the picture is the face, and it says so
    assert without.returncode == 0
    assert without.stdout == run("--json", "--whole", "--model", tiny, FACE).stdout
    assert all(word in without.stderr for word in (b"no face detector", b"--box", b"--whole"))
    env = {"DFNET_DETECTOR": detector()}
    empty = tmp_path / "empty.ppm"
    empty.write_bytes(b"P6 64 64 255\n" + bytes(64 * 64 * 3))
    done = run("--json", "--model", tiny, ASTRONAUT, empty, env=env)
    found, none = (json.loads(line) for line in done.stdout.splitlines())
    expected = json.loads(dfnet("classify", "-j", "-m", tiny, ASTRONAUT, env=env).stdout)
    assert done.returncode == 0 and none["faces"] == [] and len(found["faces"]) == 1
    assert found["faces"] == [
        {k: v for k, v in f.items() if k != "found"} for f in expected["faces"]
    ]
    table = run("--model", tiny, empty, env=env)
    assert table.returncode == 0 and table.stdout.splitlines()[1].startswith(b"none ")


def test_run_tensor(tiny: Path, tmp_path: Path) -> None:
    run = runner("run_tensor")
    data, out = tmp_path / "in.bin", tmp_path / "out.bin"
    values = np.random.default_rng(1).standard_normal((2, 3, 48, 40)).astype("<f4")
    data.write_bytes(values.tobytes())
    shape = ("--shape", "2,3,48,40")
    assert run(tiny, data, out, *shape).returncode == 0
    both = np.frombuffer(out.read_bytes(), "<f4").reshape(2, 3)
    data.write_bytes(values[0].tobytes())
    assert run(tiny, data, out).returncode == 0
    np.testing.assert_allclose(np.frombuffer(out.read_bytes(), "<f4"), both[0], atol=1e-4)
    few = run(tiny, data, out, *shape)
    assert few.returncode == 3 and b"fewer bytes" in few.stderr
    data.write_bytes(values.tobytes())
    assert b"more bytes" in run(tiny, data, out).stderr
    bad = (["--shape", "2,4,48,40"], ["--shape", "x"], ["--gemm", "x"], ["extra"], ["--no"])
    assert [run(tiny, data, out, *a).returncode for a in bad] == [1] * 5
    assert run("/no", data, out).returncode == 4 and run(tiny, "/no", out).returncode == 3
    assert run(tiny, data, tmp_path / "no" / "out", *shape).returncode == 3
    assert run(ASTRONAUT, data, out).returncode == 4
