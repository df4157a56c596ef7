"""dfnet classify: rows, options, exit codes, hostile names, many pictures, interrupts."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import random
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import ASTRONAUT, BOX, FACE, HOSTILE, PHOTOS, Run, detector, program
from terminal import on_terminal


def rows(output: bytes) -> list[dict]:
    """JSON lines, each checked against the documented schema."""
    found = [json.loads(line) for line in output.decode().splitlines()]
    for row in found:
        assert row["schema"] == 1 and isinstance(row["path"], str)
        if "error" in row:
            assert set(row) == {"schema", "path", "error", "where"}
            continue
        assert set(row) <= {"schema", "path", "faces", "fake", "logit", "verdict", "top", "heatmap"}
        assert row["verdict"] in ("none", "real", "uncertain", "fake")
        assert ("fake" in row) == bool(row["faces"])
        for face in row["faces"]:
            assert set(face) - {"models"} == {"box", "fake", "logit", "verdict", "found"}
            assert set(face["box"]) == set("xywh") and 0 <= face["fake"] <= 1
    return found


def test_default_model_equals_face_classifier(dfnet: Run) -> None:
    from conftest import runner

    ours = dfnet("classify", "--json", "--box", BOX, ASTRONAUT)
    theirs = runner("face_classifier")("--json", "--box", BOX, ASTRONAUT)
    face, expected = rows(ours.stdout)[0], json.loads(theirs.stdout)
    assert ours.returncode == 0 and ours.stderr == b""
    assert {k: face["faces"][0][k] for k in expected["faces"][0]} == expected["faces"][0]
    assert face["fake"] == face["faces"][0]["fake"]


def test_table(dfnet: Run, tiny: Path) -> None:
    done = dfnet("classify", "-m", tiny, "--whole", PHOTOS)
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0 and done.stderr == b"" and len(lines) == 3
    assert lines[0].split() == ["verdict", "fake", "logit", "face", "picture"]
    assert lines[1].endswith(str(ASTRONAUT)) and lines[2].endswith(str(FACE))


def test_csv_parses_back(dfnet: Run, tiny: Path) -> None:
    arguments = ("-m", tiny, "-b", BOX, "-b", "1,2,30,40", "--top", 3, ASTRONAUT, "/nonexistent")
    done = dfnet("classify", "--csv", *arguments)
    table = list(csv.DictReader(io.StringIO(done.stdout.decode()), strict=True))
    lines = rows(dfnet("classify", "--json", *arguments).stdout)
    assert done.returncode == 2 and len(table) == 3
    assert all(None not in row and None not in row.values() for row in table)
    for row, face in zip(table[:2], lines[0]["faces"], strict=True):
        assert float(row["fake"]) == face["fake"] and float(row["logit"]) == face["logit"]
        assert float(row["width"]) == face["box"]["w"] and row["verdict"] == face["verdict"]
        assert float(row["picture_fake"]) == lines[0]["fake"]
    assert table[2]["error"] and table[2]["path"] == "/nonexistent" and not table[2]["fake"]
    assert "=1+1 [0]" in table[0]["top"]


def test_ensemble_is_the_weighted_mean(dfnet: Run, tiny: Path, other: Path) -> None:
    done = dfnet("classify", "-jw", "--ensemble", f"{tiny}:2,{other}:1", FACE)
    face = rows(done.stdout)[0]["faces"][0]
    one, two = (m["fake"] for m in face["models"])
    assert one != two
    assert math.isclose(face["fake"], (2 * one + two) / 3, abs_tol=1e-6)
    equal = rows(dfnet("classify", "-jw", "-m", tiny, "-m", other, FACE).stdout)[0]
    assert math.isclose(equal["fake"], (one + two) / 2, abs_tol=1e-6)


@pytest.mark.parametrize("rule", "mean-prob mean-logit confident sharpen group max-face".split())
def test_rules(dfnet: Run, tiny: Path, rule: str) -> None:
    boxes = ("-b", "10,20,60,60", "-b", BOX, "-b", "300,300,90,90")
    done = dfnet("classify", "-j", "-m", tiny, "--rule", rule, *boxes, ASTRONAUT)
    row = rows(done.stdout)[0]
    scores = [face["fake"] for face in row["faces"]]
    assert done.returncode == 0 and len(set(scores)) == 3
    if rule != "sharpen":  # which moves scores away from the middle before it averages
        assert min(scores) - 1e-6 <= row["fake"] <= max(scores) + 1e-6
    if rule == "mean-prob":
        assert math.isclose(row["fake"], sum(scores) / 3, abs_tol=1e-6)
    if rule == "max-face":
        assert math.isclose(row["fake"], max(scores), abs_tol=1e-6)


def test_pooling_takes_no_weights(dfnet: Run, tiny: Path, other: Path) -> None:
    done = dfnet("classify", "-w", "--rule", "sharpen", "--ensemble", f"{tiny}:2,{other}", FACE)
    assert done.returncode == 1 and b"--rule" in done.stderr and done.stdout == b""


def test_labels_of_a_model_not_about_faces(dfnet: Run, faceless: Path) -> None:
    row = rows(dfnet("classify", "-j", "--top", 2, "-m", faceless, FACE).stdout)[0]
    assert row["faces"] == [] and row["verdict"] == "none" and len(row["top"]) == 2
    assert row["top"][0]["value"] >= row["top"][1]["value"]
    refused = dfnet("classify", "-m", faceless, "-m", faceless, FACE)
    assert refused.returncode == 4 and b"means fake" in refused.stderr


def test_without_a_detector(dfnet: Run, tiny: Path) -> None:
    done = dfnet("classify", "-j", "-m", tiny, FACE, ASTRONAUT)
    assert done.returncode == 3
    assert all("--box" in row["error"] and "detector" in row["error"] for row in rows(done.stdout))


def test_detects(dfnet: Run, tiny: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.ppm"
    empty.write_bytes(b"P6 64 64 255\n" + bytes(64 * 64 * 3))
    done = dfnet("classify", "-j", "-m", tiny, ASTRONAUT, empty, env={"DFNET_DETECTOR": detector()})
    found, none = rows(done.stdout)
    box = found["faces"][0]["box"]
    assert done.returncode == 0 and none["faces"] == [] and none["verdict"] == "none"
    # The face's place as examples/photos/README.md has it: x 160 to 284, y 45 to 184.
    assert 160 < box["x"] < 284 and 45 < box["y"] < 184 and found["faces"][0]["found"] > 0.9


def test_standard_input_and_lists(dfnet: Run, tiny: Path, tmp_path: Path) -> None:
    expected = rows(dfnet("classify", "-jw", "-m", tiny, FACE).stdout)[0]
    piped = rows(dfnet("classify", "-jw", "-m", tiny, "-", input=FACE.read_bytes()).stdout)[0]
    assert piped["path"] == "-" and piped["fake"] == expected["fake"]
    odd = tmp_path / "new\nline.jpg"
    shutil.copy(FACE, odd)
    names = f"{odd}\0{FACE}\0\0{PHOTOS}".encode()
    listed = dfnet("classify", "-jw0", "-m", tiny, "--files-from", "-", input=names)
    assert [r["path"] for r in rows(listed.stdout)] == [
        str(odd),
        *map(str, [FACE, ASTRONAUT, FACE]),
    ]
    plain = tmp_path / "list"
    plain.write_text(f"{FACE}\n\n{'x' * 70000}\n{FACE}\n")
    done = dfnet("classify", "-jw", "-m", tiny, "--files-from", plain)
    assert done.returncode == 2 and ["error" in r for r in rows(done.stdout)] == [
        False,
        True,
        False,
    ]
    assert dfnet("classify", "-w", "--files-from", tmp_path / "no").returncode == 3


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--bxo", "x"],
        ["--box"],
        ["--box", "1,2,3", "x"],
        ["--box", "1,2,0,4", "x"],
        ["--whole", "--box", "1,2,3,4", "x"],
        ["--fail-if", "fake=>1", "x"],
        ["--fail-if", "fake>=1.5", "x"],
        ["--fail-if", "verdict=maybe", "x"],
        ["--rule", "median", "x"],
        ["--color", "sometimes", "x"],
        ["--threads", "65", "x"],
        ["--threads", "-1", "x"],
        ["--top", "0", "x"],
        ["--max-pixels", "-5", "x"],
        ["--ensemble", "a:0", "x"],
        ["--ensemble", "a:nan", "x"],
        ["-0", "x"],
        ["-", "-"],
        ["--gemm", "cublas", "x"],
        ["--times", "x"],
        ["--heatmap", "one.png", "a", "b"],
    ],
)
def test_wrong_usage(dfnet: Run, arguments: list[str], tmp_path: Path) -> None:
    done = dfnet("classify", *arguments, cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == b"" and len(done.stderr) > 20


def test_exit_codes(dfnet: Run, tiny: Path, tmp_path: Path) -> None:
    def code(*arguments: object) -> int:
        return dfnet("classify", "-w", "-m", tiny, *arguments).returncode

    assert [code(FACE), code(FACE, "/no"), code("/no"), code(tmp_path)] == [0, 2, 3, 3]
    assert dfnet("classify", "-w", "-m", "/no", FACE).returncode == 4
    assert dfnet("classify", "-w", "-m", FACE, FACE).returncode == 4
    assert code("--fail-if", "fake>=0", FACE) == 10
    assert code("--fail-if", "fake>=0", FACE, "/no") == 10
    assert code("--fail-if", "fake>=0", "/no") == 3
    assert code("--fail-if", "fake>1", FACE) == 0
    assert code("--fail-if", "fake<=1", FACE) == 10 and code("--fail-if", "fake<0", FACE) == 0
    verdict = rows(dfnet("classify", "-jw", "-m", tiny, FACE).stdout)[0]["verdict"]
    assert code("--fail-if", f"verdict={verdict}", FACE) == 10
    assert code("--fail-if", "verdict=none", FACE) == 0
    assert code("--max-pixels", 100, FACE) == 3


def test_no_memory(dfnet: Run) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (60 << 20, 60 << 20))

    if "asan" in os.environ.get("DFNET_BUILD", ""):
        pytest.skip("a sanitizer needs its address space")
    env = {"OPENBLAS_NUM_THREADS": "1"}  # whose threads would not start, either
    done = dfnet("classify", "-w", "-t", 1, FACE, preexec_fn=limit, env=env)
    assert done.returncode in (5, 127), done.stderr
    if done.returncode == 127:
        pytest.skip("even the dynamic linker has too little memory here")


def test_hostile_names(dfnet: Run, tiny: Path, tmp_path: Path) -> None:
    names = [
        HOSTILE.replace("/", "_") + ".jpg",
        "=cmd|' !A0.jpg",
        "+1.jpg",
        "-1.jpg",
        "@a.jpg",
        "\tt.jpg",
        'a,b"c.jpg',
        "line\nbreak\r.jpg",
    ]
    encoded = [os.fsencode(n) for n in names] + [b"bad\xff\xc3utf8\xed\xa0\x80.jpg"]
    for name in encoded:
        shutil.copy(os.fsencode(FACE), os.fsencode(tmp_path) + b"/" + name)
    common = ("-w", "-m", tiny, "--top", 3)
    for flags in ([], ["--json"], ["--csv"]):
        done = dfnet("classify", *common, *flags, "--", *encoded, cwd=tmp_path)
        assert done.returncode == 0 and done.stderr == b""
        text = done.stdout.decode()
        # Nothing that a terminal would obey.
        assert not [c for c in text if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160)]
        assert flags == ["--json"] or "\u202e" not in text
        if flags == ["--json"]:
            assert [r["path"] for r in rows(done.stdout)][: len(names)] == names
        if flags == ["--csv"]:
            table = list(csv.DictReader(io.StringIO(text), strict=True))
            assert len(table) == len(encoded)
            for row in table:
                assert not row["path"].strip().startswith(tuple("=+-@")) and row["path"]
                assert not row["top"].strip().startswith(tuple("=+-@"))
    failed = dfnet("classify", *common, b"no\x1b[31m\xff", cwd=tmp_path)
    assert b"\x1b" not in failed.stderr and b"\xff" not in failed.stderr


def test_heatmaps(dfnet: Run, tiny: Path, tmp_path: Path) -> None:
    one, folder = tmp_path / "one.png", tmp_path / "maps"
    done = dfnet("classify", "-j", "-m", tiny, "-b", BOX, "--heatmap", one, ASTRONAUT)
    assert done.returncode == 0 and one.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert rows(done.stdout)[0]["heatmap"] == str(one)
    assert one.read_bytes()[16:24] == ASTRONAUT.read_bytes()[16:24]  # the picture's size
    assert dfnet("classify", "-w", "-m", tiny, "--heatmap", f"{folder}/", PHOTOS).returncode == 0
    assert sorted(p.name for p in folder.iterdir()) == [
        "00001-astronaut.png",
        "00002-astronaut_face.png",
    ]
    dfnet("classify", "-w", "-m", tiny, "--heatmap", tmp_path / "m{n}.png", FACE, FACE)
    assert (tmp_path / "m00001.png").exists() and (tmp_path / "m00002.png").exists()
    assert dfnet("info", one).returncode == 4
    again = dfnet("classify", "-jw", "-m", tiny, one)
    assert again.returncode == 0, "the heat map is a picture itself"


def test_never_over_an_input(dfnet: Run, tiny: Path, tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    shutil.copy(FACE, picture)
    link = tmp_path / "link.html"
    link.symlink_to(picture)
    before = picture.read_bytes()
    for flags in (["--heatmap", picture], ["--report", picture], ["--report", link]):
        for inputs in ([picture], [tmp_path]):
            many = flags[0] == "--heatmap" and inputs == [tmp_path]
            if not many:
                done = dfnet("classify", "-w", "-m", tiny, *flags, *inputs)
                assert done.returncode == 1 and b"is an input" in done.stderr
    assert picture.read_bytes() == before
    model = tmp_path / "m.safetensors"
    shutil.copy(tiny, model)
    assert dfnet("classify", "-w", "-m", model, "--report", model, picture).returncode == 1
    lost = dfnet("classify", "-w", "-m", tiny, "--report", tmp_path / "no" / "r.html", picture)
    assert lost.returncode == 3 and b"cannot be written" in lost.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg", "link.html", "m.safetensors"]


def test_colour(dfnet: Run, tiny: Path) -> None:
    def colored(*flags: str, **env: str) -> bool:
        return b"\x1b[" in dfnet("classify", "-w", "-m", tiny, *flags, FACE, env=env).stdout

    assert not colored() and colored("--color", "always") and not colored("--color=never")
    assert colored("--color=always", NO_COLOR="1")


def test_terminal(tiny: Path) -> None:
    arguments = ["classify", "-w", "-m", tiny, FACE, FACE]
    fine = on_terminal(arguments, TERM="xterm")
    assert b"done" in fine and b"\x1b[3" in fine and b"\x1b[K" in fine
    assert b"\x1b" not in on_terminal(arguments, TERM="dumb")
    plain = on_terminal(arguments, TERM="xterm", NO_COLOR="1")
    assert b"\x1b[3" not in plain and b"done" in plain
    assert b"done" not in on_terminal([*arguments, "-q"], TERM="xterm")


def broken(kind: int, jpeg: bytes, png: bytes) -> bytes:
    """Twenty ways to be no picture."""
    ways = [
        b"",
        b"x",
        jpeg[:3],
        jpeg[:40],
        b"\0" * 500,
        png[:8],
        png[:33],
        png[:200],
        png[:16] + b"\xff" * 8 + png[24:],
        png[:16] + b"\0" * 8 + png[24:],
        b"P6 0 0 255\n",
        b"P6 99999999 99999999 255\n",
        b"P6 10 10 255\nshort",
        b"P5 -1 3 255\n",
        b"BM" + b"\xff" * 60,
        b"BM",
        b"GIF89a" + b"\0" * 50,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        jpeg[:2] + jpeg[200:],
        png[:60] + b"\xff" * 40 + png[100:],
    ]
    return ways[kind]


def peak(arguments: list[object], output: Path) -> tuple[int, int]:
    """Exit code, and the most memory in KiB that the program held."""
    with output.open("wb") as file:
        process = subprocess.Popen([str(a) for a in arguments], stdout=file, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss


def test_a_thousand_pictures(tiny: Path, tmp_path: Path) -> None:
    jpeg, png = FACE.read_bytes(), ASTRONAUT.read_bytes()
    positions = random.Random(4).sample(range(1000), 20)
    bad = {position: kind for kind, position in enumerate(positions)}
    folder = tmp_path / "many"
    for i in range(1000):
        place = folder / f"{i // 100}" / f"{i:04}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        if i in bad:
            place.write_bytes(broken(bad[i], jpeg, png))
        else:
            os.link(FACE, place) if os.stat(FACE).st_dev == os.stat(
                tmp_path
            ).st_dev else place.write_bytes(jpeg)
    common = [program("dfnet"), "classify", "-jw", "-t", 1, "-m", tiny]
    report = ["--report", tmp_path / "r.html"]
    some = peak([*common, *report, folder / "1"], tmp_path / "some")[1]
    code, most = peak([*common, *report, folder], tmp_path / "all")
    found = rows((tmp_path / "all").read_bytes())
    assert code == 2 and len(found) == 1000
    assert {i for i, row in enumerate(found) if "error" in row} == set(bad)
    assert len({row["fake"] for row in found if "fake" in row}) == 1
    assert most - some < 2048, f"{some} KiB for 100 pictures, {most} KiB for 1,000"


def test_interrupt(tmp_path: Path) -> None:
    report, names = tmp_path / "r.html", tmp_path / "names"
    # Few enough rows for a pipe to hold, slow enough to be interrupted: the shipped model.
    names.write_text(f"{FACE}\n" * 250)
    command = [program("dfnet"), "classify", "-jw", "--files-from", names, "--report", report]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == b""
    assert len(out.splitlines()) < 249 and list(tmp_path.iterdir()) == [names]
    for line in out.splitlines():
        json.loads(line)


def test_rows_come_at_once(tiny: Path) -> None:
    process = subprocess.Popen(
        [program("dfnet"), "classify", "-jw", "-m", tiny, "--files-from", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    # A block's worth of names, so that the reader's buffer is not what we wait for.
    process.stdin.write(f"{FACE}\n".encode() + b"\n" * 8192)
    process.stdin.flush()
    first = process.stdout.readline()
    process.stdin.close()
    process.stdout.close()
    assert json.loads(first)["path"] == str(FACE) and process.wait(60) == 0


def test_full_disk(tiny: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [program("dfnet"), "classify", "-w", "-m", tiny, FACE], stdout=full, timeout=60
        )
    assert done.returncode == 3
