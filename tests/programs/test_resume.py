"""dfnet classify --resume, --shard, --jobs and dfnet merge: nothing lost, nothing twice."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import black_box
import numpy as np
import pytest
from conftest import ASTRONAUT, FACE, ROOT, Run, detector, program

FILES, BROKEN = 60, 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty small pictures, five of them broken, with odd names in folders."""
    place = tmp_path_factory.mktemp("files")
    black_box.make_pictures(place, FILES, BROKEN, 3)
    return place


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures, two broken."""
    place = tmp_path_factory.mktemp("few")
    black_box.make_pictures(place, 8, 2, 4)
    return place


def table(path: Path) -> list[dict]:
    """The rows of a results file, as a reader of CSV sees them."""
    found = list(csv.DictReader(io.StringIO(path.read_bytes().decode()), strict=True))
    assert all(None not in row and None not in row.values() for row in found)
    return found


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_kills_and_shards(tiny: Path, folder: Path, tmp_path: Path, ending: str) -> None:
    start = [str(program("dfnet")), "classify", "-q", "--whole", "-m", str(tiny)]
    setting = black_box.Setting(start, folder, ending)
    for what, good in black_box.compare(setting, tmp_path, FILES, 4, 3, 5):
        assert good, what


def test_rows_are_those_of_a_plain_run(
    dfnet: Run, tiny: Path, folder: Path, tmp_path: Path
) -> None:
    boxes = ("-m", tiny, "-b", "1,2,12,13", "-b", "3,3,9,9")
    for format, name in (("--csv", "r.csv"), ("--json", "r.jsonl")):
        plain = dfnet("classify", format, *boxes, folder)
        done = dfnet("classify", "--resume", tmp_path / name, *boxes, folder)
        lines = (tmp_path / name).read_bytes().splitlines()
        assert done.returncode == plain.returncode == 2 and done.stdout == b""
        assert b"60 of 60 files: 55 scored, 5 failed; 0 were there before" in done.stderr
        for line, expected in zip(lines, plain.stdout.splitlines(), strict=True):
            assert line.startswith(expected.rstrip(b"}"))
    found = table(tmp_path / "r.csv")
    assert [(r["row"], r["rows"]) for r in found if r["number"] == "1"] == [("1", "2"), ("2", "2")]
    assert {r["status"] for r in found} == {"scored", "failed"}
    assert all(bool(r["error"]) == (r["status"] == "failed") for r in found)
    assert sorted({int(r["number"]) for r in found}) == list(range(1, FILES + 1))
    assert {r["of"] for r in found} == {str(FILES)} and len({r["run"] for r in found}) == 1
    for line in (tmp_path / "r.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert row["schema"] == 1 and ("error" in row) == (row["status"] == "failed")


def test_every_torn_end_is_mended(dfnet: Run, tiny: Path, few: Path, tmp_path: Path) -> None:
    rng = np.random.RandomState(1)
    boxes = ("-m", tiny, "-b", "1,2,12,13", "-b", "3,3,9,9", few)  # two lines a file in CSV
    for name in ("r.csv", "r.jsonl"):
        results = tmp_path / name
        assert dfnet("classify", "--resume", results, *boxes).returncode == 2
        whole = results.read_bytes()
        lines = [i + 1 for i, byte in enumerate(whole) if byte == 10]
        ends = {0, 1, 3, *lines, *(at - 1 for at in lines), *rng.randint(0, len(whole), 30)}
        for end in sorted(ends):
            results.write_bytes(whole[:end])
            again = dfnet("classify", "--resume", results, *boxes)
            assert again.returncode == 2 and results.read_bytes() == whole, end
            if end not in lines:
                assert (b"its end was torn" in again.stderr) == (end > 0), end
        # What a power cut may leave: length without content. Longer than what comes, so that
        # something stands behind it.
        for rest in (whole[: lines[-3]] + bytes(9000), whole + bytes(9), whole + whole[:40]):
            results.write_bytes(rest)
            assert dfnet("classify", "--resume", results, *boxes).returncode == 2
            assert results.read_bytes() == whole


def test_nothing_is_done_twice(dfnet: Run, tiny: Path, few: Path, tmp_path: Path) -> None:
    results = tmp_path / "r.csv"
    arguments = ("classify", "-w", "-m", tiny, "--resume", results, few)
    assert dfnet(*arguments).returncode == 2
    whole = results.read_bytes()
    before = results.stat().st_mtime_ns
    again = dfnet(*arguments)
    assert again.returncode == 2 and b"8 were there before" in again.stderr
    assert results.read_bytes() == whole and results.stat().st_mtime_ns == before


def test_other_runs_are_refused(
    dfnet: Run, tiny: Path, other: Path, few: Path, tmp_path: Path
) -> None:
    results = tmp_path / "r.csv"

    def resume(*arguments: object) -> tuple[int, bytes]:
        done = dfnet("classify", "--resume", results, *arguments)
        assert done.stdout == b""
        return done.returncode, done.stderr

    assert resume("-w", "-m", tiny, few)[0] == 2
    whole = results.read_bytes()
    for arguments, says in (
        (("-w", "-m", other, few), b"another model"),
        (("-w", "-m", tiny, "-m", other, few), b"another model"),
        (("-b", "1,2,3,4", "-m", tiny, few), b"other options"),
        (("-w", "--max-pixels", 100, "-m", tiny, few), b"other options"),
        (("-w", "-m", tiny, few, FACE), b"another list of files (8 files, not 9)"),
        (("-w", "-m", tiny, *sorted(few.iterdir())[:-1]), b"another list of files"),
        (("-w", "-m", tiny, *sorted(few.iterdir())[::-1]), b"another list of files"),
        (("-w", "-m", tiny, "--shard", "2/2", few), b"another --shard"),
        (("-w", "-m", tiny, "--json", few), b"line 1 is not as"),
    ):
        code, error = resume(*arguments)
        assert code == 1 and says in error and error.count(b"\n") == 1, (arguments, error)
        assert results.read_bytes() == whole
    half = (tmp_path / "half.csv", few, "-w", "-m", tiny, "--shard")
    assert dfnet("classify", "--resume", *half, "1/2").returncode in (0, 2)
    done = dfnet("classify", "--resume", *half, "2/2")
    assert done.returncode == 1 and b"another --shard" in done.stderr
    # What rows do not depend on may change, and the order of options.
    assert resume("-m", tiny, "--whole", "-t", 2, "--jobs", 1, few)[0] == 2


def test_changed_list(dfnet: Run, tiny: Path, tmp_path: Path) -> None:
    place, names = tmp_path / "p", tmp_path / "names"
    black_box.make_pictures(place, 12, 0, 5)
    files = sorted(os.fsencode(p) for p in place.glob("*/*"))
    names.write_bytes(b"\0".join(files))
    folder_run = ("classify", "-w", "-m", tiny, "--resume", tmp_path / "a.csv", place)
    list_run = ("classify", "-w", "-m", tiny, "--resume", tmp_path / "b.csv", "-0")
    list_run += ("--files-from", names)
    assert dfnet(*folder_run).returncode == 0 and dfnet(*list_run).returncode == 0
    whole = (tmp_path / "b.csv").read_bytes()
    # Half of the work is undone; a file appears, another vanishes.
    for name in ("a.csv", "b.csv"):
        lines = (tmp_path / name).read_bytes().splitlines(keepends=True)
        (tmp_path / name).write_bytes(b"".join(lines[:7]))
    (place / "new.ppm").write_bytes(black_box.noise(np.random.RandomState(1), 30))
    os.unlink(files[-1])
    os.unlink(files[0])  # whose row is there
    refused = dfnet(*folder_run)
    assert refused.returncode == 1 and b"another list of files (12 files, not 11)" in refused.stderr
    # A list that was kept goes on: what vanished is a row that says so.
    assert dfnet(*list_run).returncode == 2
    rows = table(tmp_path / "b.csv")
    assert len(rows) == 12 and (tmp_path / "b.csv").read_bytes()[: len(whole) // 2] in whole
    assert [r["number"] for r in rows if r["error"]] == ["12"]
    assert "No such file" in rows[-1]["error"]


def test_the_list_may_lie_elsewhere(dfnet: Run, tiny: Path, tmp_path: Path) -> None:
    """Two machines, two mount points."""
    for place in ("here", "over/there"):
        black_box.make_pictures(tmp_path / place, 9, 1, 6)
    common = ("classify", "-w", "-m", tiny, "--resume")
    dfnet(*common, tmp_path / "1.csv", "--shard", "1/2", tmp_path / "here")
    dfnet(*common, tmp_path / "2.csv", "--shard", "2/2", "over/there/", cwd=tmp_path)
    done = dfnet("merge", tmp_path / "2.csv", tmp_path / "1.csv", "-o", tmp_path / "all.csv")
    assert done.returncode == 0 and done.stderr == b""
    rows = table(tmp_path / "all.csv")
    assert [int(r["number"]) for r in rows] == list(range(1, 10))
    assert rows[1]["path"].startswith("over/there/")
    # A merged file is a results file: there is nothing to do.
    again = dfnet(*common, tmp_path / "all.csv", tmp_path / "here")
    assert again.returncode == 2 and b"9 were there before" in again.stderr


def test_merge_refuses(dfnet: Run, tiny: Path, other: Path, few: Path, tmp_path: Path) -> None:
    def shard(name: str, *arguments: object) -> Path:
        dfnet("classify", "-w", "--resume", tmp_path / name, *arguments)
        return tmp_path / name

    one, two, three = (shard(f"{i}.csv", "-m", tiny, "--shard", f"{i}/3", few) for i in (1, 2, 3))
    torn = tmp_path / "torn.csv"
    torn.write_bytes(three.read_bytes()[:-9])
    short = tmp_path / "short.csv"
    short.write_bytes(b"".join(two.read_bytes().splitlines(keepends=True)[:-1]))
    cut = tmp_path / "cut.csv"
    cut.write_bytes(one.read_bytes().replace(b",1,8,1,1,", b",1,8,1,2,", 1))
    swapped = tmp_path / "swapped.csv"
    head, first, second, *_ = two.read_bytes().splitlines(keepends=True)
    swapped.write_bytes(b"".join([head, first, second, first]))
    strange = shard("s.csv", "-m", other, "--shard", "3/3", few)
    options = shard("o.csv", "-m", tiny, "--max-pixels", 999, "--shard", "3/3", few)
    lists = shard("l.csv", "-m", tiny, "--shard", "3/3", few, FACE)
    lines = shard("j.jsonl", "-m", tiny, "--shard", "3/3", few)
    empty = tmp_path / "empty.csv"
    empty.write_bytes(b"")
    out = tmp_path / "all.csv"
    for parts, says in (
        ((one, two), b"file 3 of the list's 8 is in none"),
        ((two, three), b"file 1 of the list's 8 is in none"),
        ((one, short, three), b"file 8 of the list's 8 is in none"),
        ((one, two, three, two), b"has file 2 of the list, as another has"),
        ((one, two, torn), b"its end is torn"),
        ((cut, two, three), b"line 3 does not follow"),
        ((one, swapped, three), b"not in the list's order"),
        ((one, two, strange), b"another model"),
        ((one, two, options), b"other options"),
        ((one, two, lists), b"another list"),
        ((one, two, lines), b"not in the format of the first"),
        ((one, two, FACE), b"is no results file"),
        ((one, two, tmp_path / "no"), b"No such file"),
        ((empty,), b"has a row"),
    ):
        done = dfnet("merge", *parts, "--output", out)
        assert done.returncode == 3 and says in done.stderr and not out.exists(), done.stderr
    assert dfnet("merge", one, two, three, empty, "-o", out).returncode == 0
    before = one.read_bytes()
    assert dfnet("merge", one, two, three, "-o", one).returncode == 3 and one.read_bytes() == before
    assert dfnet("merge", one).returncode == 1 and dfnet("merge", "-o", out).returncode == 1


def test_no_file_of_others_is_touched(dfnet: Run, tiny: Path, few: Path, tmp_path: Path) -> None:
    foreign = {
        "a.csv": b"name,value\n1,2\n",
        "b.csv": b"path,value",
        "c.json": b'{"a": 1}',
        "d.json": b'{"schema":1,"path":"x"}\n',
        "e.jsonl": b'{"schema":2,"pa',
        "f.csv": FACE.read_bytes(),
        "g.csv": bytes(50),
        "h.csv": b"x",
    }
    for name, content in foreign.items():
        (tmp_path / name).write_bytes(content)
        done = dfnet("classify", "-w", "-m", tiny, "--resume", tmp_path / name, few)
        assert done.returncode == 1 and done.stderr.count(b"\n") == 1, (name, done.stderr)
        assert (tmp_path / name).read_bytes() == content
    picture = tmp_path / "p.ppm"
    picture.write_bytes(b"")
    done = dfnet("classify", "-w", "--csv", "-m", tiny, "--resume", picture, tmp_path)
    assert done.returncode == 1 and b"is an input" in done.stderr
    for place in (tmp_path, "/dev/full", "/dev/null"):
        done = dfnet("classify", "-w", "--csv", "-m", tiny, "--resume", place, few)
        assert done.returncode in (1, 3) and done.stderr.startswith(b"dfnet: ")
    assert dfnet("classify", "-w", "--resume", tmp_path / "no" / "r.csv", few).returncode == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["--resume", "r.txt", "x"],
        ["--resume", "", "x"],
        ["--resume", "r.csv", "-"],
        ["--resume", "r.csv", "--report", "r.html", "x"],
        ["--resume", "r.csv", "--shard", "0/3", "x"],
        ["--resume", "r.csv", "--shard", "4/3", "x"],
        ["--resume", "r.csv", "--shard", "3", "x"],
        ["--resume", "r.csv", "--jobs", "65", "x"],
        ["--resume", "r.csv", "--heatmap", "one.png", "a", "b"],
        ["--shard", "1/3", "x"],
        ["--jobs", "2", "x"],
    ],
)
def test_wrong_usage(dfnet: Run, arguments: list[str], tmp_path: Path) -> None:
    done = dfnet("classify", *arguments, cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == b"" and len(done.stderr) > 20
    assert list(tmp_path.iterdir()) == []


def test_exit_codes(dfnet: Run, tiny: Path, few: Path, tmp_path: Path) -> None:
    def codes(name: str, *arguments: object) -> list[int]:
        command = ("classify", "-w", "-m", tiny, "--resume", tmp_path / name, *arguments)
        return [dfnet(*command).returncode for _ in range(2)]

    # What earlier runs found counts, too.
    assert codes("0.csv", FACE) == [0, 0] and codes("2.csv", FACE, "/no") == [2, 2]
    assert codes("3.jsonl", "/no", tmp_path / "no") == [3, 3]
    assert codes("10.csv", "--fail-if", "fake>=0", FACE, "/no") == [10, 10]
    assert table(tmp_path / "10.csv")[0]["status"] == "met"
    done = dfnet("classify", "-w", "-m", "/no", "--resume", tmp_path / "4.csv", FACE)
    assert done.returncode == 4 and not (tmp_path / "4.csv").exists()


def test_full_disk(tiny: Path, folder: Path, tmp_path: Path) -> None:
    """A limit on file sizes is what a full disk looks like, without being root."""
    results, calm = tmp_path / "r.csv", tmp_path / "calm.csv"
    command = [str(program("dfnet")), "classify", "-w", "-m", str(tiny), "--resume"]
    subprocess.run([*command, str(calm), str(folder)], stderr=subprocess.DEVNULL, timeout=60)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

    done = subprocess.run(
        [*command, str(results), str(folder)], preexec_fn=limit, capture_output=True, timeout=60
    )
    assert done.returncode == 3 and b"File too large" in done.stderr
    kept = results.read_bytes()
    assert kept.endswith(b"\n") and 4000 < len(kept) <= 5000
    subprocess.run([*command, str(results), str(folder)], stderr=subprocess.DEVNULL, timeout=60)
    assert results.read_bytes() == calm.read_bytes()


def test_full_file_system(dfnet: Run, tiny: Path, folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system needs root")
    try:
        command = ("classify", "-w", "-m", tiny, "--resume", place / "r.csv", folder)
        done = dfnet(*command)
        assert done.returncode == 3 and b"No space left" in done.stderr
        kept = (place / "r.csv").read_bytes()
        assert kept.endswith(b"\n") and len(kept) > 4096
        bigger = ["mount", "-o", "remount,size=1m", str(place)]
        subprocess.run(bigger, check=True, capture_output=True)
        assert dfnet(*command).returncode == 2
        assert (place / "r.csv").read_bytes().startswith(kept)
        assert len(table(place / "r.csv")) == FILES
    finally:
        subprocess.run(["umount", str(place)], check=True)


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def stopped_run(results: Path, place: Path, *more: str) -> subprocess.Popen:
    """A run of the shipped model that was stopped (SIGSTOP) midway, so that it can be disturbed.

    On a busy machine a run may be over before this process has its turn: then once more.
    """
    command = [str(program("dfnet")), "classify", "-qw", *more, "--resume", str(results)]
    for _ in range(20):
        process = subprocess.Popen([*command, str(place)], stderr=subprocess.PIPE)
        while black_box.rows_of(results) < 3 and process.poll() is None:
            time.sleep(0.001)
        if process.poll() is None:
            process.send_signal(signal.SIGSTOP)
            if black_box.rows_of(results) < FILES - 5 and children(process.pid):
                return process
            process.kill()
        process.communicate()
        results.unlink()
    pytest.fail("no run was slow enough to be stopped")


def test_a_worker_that_dies_is_a_row(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "r.csv"
    process = stopped_run(results, folder, "--jobs", "2")
    os.kill(children(process.pid)[0], signal.SIGKILL)
    process.send_signal(signal.SIGCONT)
    assert process.wait(120) == 2 and process.communicate()[1] == b""
    rows = table(results)
    killed = [r for r in rows if "ended by signal 9" in r["error"]]
    assert len(rows) == FILES and len(killed) <= 1
    assert len([r for r in rows if r["error"]]) == BROKEN + len(killed)


def test_no_worker_outlives_its_parent(folder: Path, tmp_path: Path) -> None:
    process = stopped_run(tmp_path / "r.csv", folder, "--jobs", "3")
    workers = children(process.pid)
    process.kill()
    process.wait()
    assert len(workers) == 3
    for _ in range(1000):
        if not any(running(pid) for pid in workers):
            return
        time.sleep(0.01)
    pytest.fail("a worker goes on without its parent")


def running(pid: int) -> bool:
    """Whether it is there, and more than a dead child that nobody asked for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_interrupt(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "r.jsonl"
    process = stopped_run(results, folder, "--jobs", "2")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    assert process.wait(60) == 130 and process.communicate()[1] == b""
    lines = results.read_text().splitlines()
    assert 3 <= len(lines) < FILES and [json.loads(x)["number"] for x in lines] == list(
        range(1, len(lines) + 1)
    )


def test_two_at_once_are_refused(dfnet: Run, folder: Path, tmp_path: Path) -> None:
    process = stopped_run(tmp_path / "r.csv", folder, "--jobs", "1")
    second = dfnet("classify", "-w", "--resume", tmp_path / "r.csv", folder)
    process.kill()
    process.communicate()
    assert second.returncode == 1 and b"another dfnet is writing it" in second.stderr


def test_jobs_change_nothing(dfnet: Run, tiny: Path, folder: Path, tmp_path: Path) -> None:
    made = []
    for jobs in (1, 2, 5):
        name = tmp_path / f"{jobs}.csv"
        dfnet("classify", "-w", "-m", tiny, "--jobs", jobs, "--resume", name, folder)
        made.append(name.read_bytes())
    assert made[0] == made[1] == made[2] and len(table(name)) == FILES


def test_detector_and_heatmaps(dfnet: Run, tiny: Path, tmp_path: Path) -> None:
    maps, results = tmp_path / "maps", tmp_path / "r.csv"
    command = ("classify", "-m", tiny, "--heatmap", f"{maps}/", "--resume", results)
    env = {"DFNET_DETECTOR": detector()}
    assert dfnet(*command, ASTRONAUT, "/no", FACE, env=env).returncode == 2
    rows = table(results)
    assert rows[0]["heatmap"] == f"{maps}/00001-astronaut.png" and float(rows[0]["found"]) > 0.9
    assert sorted(p.name[:5] for p in maps.iterdir()) == ["00001", "00003"]
    # Without that detector it is another run.
    assert b"another model" in dfnet(*command, ASTRONAUT, "/no", FACE).stderr


def test_a_damaged_clip_does_not_vanish(dfnet: Run, tiny: Path, few: Path, tmp_path: Path) -> None:
    """In a folder, too, where what a file holds says nothing."""
    program("dfnet-video")
    black_box.make_pictures(tmp_path / "f", 3, 0, 2)
    for name, content in (("a.mp4", b""), ("b.MOV", b"x"), ("part0/c.mkv", b"no clip")):
        (tmp_path / "f" / name).write_bytes(content)
    results = tmp_path / "r.csv"
    done = dfnet("classify", "-w", "-m", tiny, "--resume", results, tmp_path / "f")
    rows = {Path(r["path"]).name: r for r in table(results)}
    assert done.returncode == 2 and len(rows) == 6
    assert all(rows[name]["error"] for name in ("a.mp4", "b.MOV", "c.mkv"))


def test_memory_does_not_grow(tiny: Path, tmp_path: Path) -> None:
    command = [str(program("dfnet")), "classify", "-qw", "--jobs", "2", "-m", str(tiny)]
    used = []
    for count in (30, 600):
        place = tmp_path / f"{count}"
        black_box.make_pictures(place, count, 3, 8)
        setting = black_box.Setting(command, place)
        code, memory = black_box.finish(setting.command(tmp_path / f"{count}.csv"))
        assert code == 2
        used.append(memory)
    assert used[1] - used[0] < 1024, f"{used} KiB for 30 and 600 pictures"


def test_help_and_readme_say_it(dfnet: Run) -> None:
    text = (ROOT / "examples" / "README.md").read_text()
    for word in ("--resume", "--shard", "--jobs", "dfnet merge"):
        assert f"`{word}" in text or word in text
    for column in ("number", "of", "row", "rows", "status", "run"):
        assert f"`{column}`" in text
    assert b"RESULTS" in dfnet("help", "merge").stdout
