"""Videos through dfnet classify: what a file is, not what it is called; broken files; children that
die, hang or lie. Clips are made here from the committed photo by the ffmpeg program.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from child import MP4, child, message, spoken
from conftest import ASTRONAUT, FACE, ROOT, Run, detector, pixels, program
from people import Person, between, film, resize

FFMPEG = shutil.which("ffmpeg")
pytestmark = [
    pytest.mark.skipif(
        FFMPEG is None, reason="the ffmpeg program, which makes the clips, is missing"
    ),
    pytest.mark.skipif(
        not (program("dfnet").parent / "dfnet-video").exists(), reason="built without FFmpeg"
    ),
]


def ffmpeg(*words: str | Path) -> None:
    """Runs it; it must succeed."""
    assert FFMPEG
    subprocess.run([FFMPEG, "-v", "error", "-y", *map(str, words)], check=True)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of the photo, 25 frames a second, with the index in front."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    ffmpeg("-loop", "1", "-i", ASTRONAUT, "-t", "2", "-vf", "scale=256:192", "-pix_fmt", "yuv420p",
           "-g", "10", "-movflags", "+faststart", path)  # fmt: skip
    return path


def rows(dfnet: Run, tiny: Path, *words: str | Path, **how: object) -> list[dict]:
    """The JSON rows of whole frames."""
    done = dfnet("classify", "-q", "-m", tiny, "--whole", "--json", *words, **how)
    return [json.loads(line) for line in done.stdout.splitlines()]


def row(dfnet: Run, tiny: Path, *words: str | Path) -> dict:
    """The only one."""
    (only,) = rows(dfnet, tiny, *words)
    return only


def frames(one: dict) -> list[int]:
    """Numbers of the scored frames of the first track."""
    return [face["frame"] for face in one["tracks"][0]["faces"]]


def test_a_video_has_frames_times_tracks_and_a_verdict(dfnet: Run, tiny: Path, clip: Path) -> None:
    one = row(dfnet, tiny, clip)
    video = one["video"]
    assert (video["frames"], video["scored"], video["partial"]) == (50, 32, False)
    assert (video["width"], video["height"]) == (256, 192)
    assert video["seconds"] == pytest.approx(2, abs=0.05)
    assert frames(one) == sorted({i * 49 // 31 for i in range(32)})
    for face in one["tracks"][0]["faces"]:
        assert face["seconds"] == pytest.approx(face["frame"] / 25, abs=1e-3)
        assert 0 <= face["fake"] <= 1
    assert one["verdict"] == one["tracks"][0]["verdict"] != "none"


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("5", [0, 12, 24, 36, 49]),
        ("1", [0]),
        ("every:20", [0, 20, 40]),
        ("every:20:3", [3, 23, 43]),
        ("time:2", [0, 13, 25, 38]),
        ("list:1,17", [1, 17]),
        ("all", list(range(50))),
    ],
)
def test_which_frames(dfnet: Run, tiny: Path, clip: Path, which: str, expected: list[int]) -> None:
    assert frames(row(dfnet, tiny, "--frames", which, clip)) == expected


def test_words_that_choose_nothing(dfnet: Run, clip: Path) -> None:
    for bad in ("0", "every:0", "some", "time:", "list:3,2", "-1", "spread:1x"):
        assert dfnet("classify", "--frames", bad, clip).returncode == 1


def test_the_name_says_nothing(dfnet: Run, tiny: Path, clip: Path, tmp_path: Path) -> None:
    for name in ("clip.jpg", "clip", "clip.txt"):
        shutil.copy(clip, tmp_path / name)
    shutil.copy(FACE, tmp_path / "face.mp4")
    found = {Path(one["path"]).name: one for one in rows(dfnet, tiny, tmp_path)}
    assert set(found) == {"clip.jpg", "clip", "clip.txt"}
    assert all(one["video"]["frames"] == 50 for one in found.values())
    assert "faces" in row(dfnet, tiny, tmp_path / "face.mp4")


def test_standard_input_and_pipes(dfnet: Run, tiny: Path, clip: Path) -> None:
    expected = row(dfnet, tiny, clip)
    words = [program("dfnet"), "classify", "-q", "-m", tiny, "--whole", "--json", "-"]
    with clip.open("rb") as file:
        seekable = subprocess.run(words, stdin=file, capture_output=True, check=True)
    piped = subprocess.run(words, input=clip.read_bytes(), capture_output=True, check=True)
    for done in (seekable, piped):
        assert json.loads(done.stdout) | {"path": expected["path"]} == expected


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_turned_as_the_display_matrix_says(
    dfnet: Run, tiny: Path, clip: Path, tmp_path: Path, degrees: int
) -> None:
    turned = tmp_path / "turned.mp4"
    ffmpeg("-i", clip, "-c", "copy", "-metadata:s:v", f"rotate={degrees}", turned)
    one = row(dfnet, tiny, turned)
    size = (192, 256) if degrees % 180 else (256, 192)
    assert (one["video"]["width"], one["video"]["height"]) == size
    box = one["tracks"][0]["faces"][0]["box"]
    assert (box["w"], box["h"]) == size


@pytest.mark.parametrize(("degrees", "before"), [(90, 2), (180, 12), (270, 1)])
def test_turned_pixels_are_upright(
    dfnet: Run, tiny: Path, clip: Path, tmp_path: Path, degrees: int, before: int
) -> None:
    """Stored lying or upside down, with a matrix that says so: the face is where it was."""
    turned, stored = tmp_path / "turned.mp4", tmp_path / "stored.mp4"
    flips = "hflip,vflip" if before == 12 else f"transpose={before}"
    ffmpeg("-i", clip, "-vf", flips, "-crf", "5", stored)
    ffmpeg("-i", stored, "-c", "copy", "-metadata:s:v", f"rotate={-degrees % 360}", turned)
    env = {"DFNET_DETECTOR": detector()}
    boxes = []
    for path in (clip, turned):
        done = dfnet("classify", "-q", "-m", tiny, "--json", "--frames", "3", path, env=env)
        (track,) = json.loads(done.stdout)["tracks"]
        boxes.append([[face["box"][k] for k in "xywh"] for face in track["faces"]])
    assert boxes[1] == [pytest.approx(box, abs=6) for box in boxes[0]]


def test_variable_rate_keeps_its_times(dfnet: Run, tiny: Path, clip: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.mkv"
    ffmpeg("-i", clip, "-vf", "setpts=N*N/250/TB", "-vsync", "vfr", odd)
    one = row(dfnet, tiny, "--frames", "all", odd)
    times = [face["seconds"] for face in one["tracks"][0]["faces"]]
    assert times == sorted(times)
    assert times[-1] - times[-2] > 1.5 * (times[len(times) // 2] - times[len(times) // 2 - 1])
    shown = row(dfnet, tiny, "--frames", "time:10", odd)
    gaps = [face["seconds"] for face in shown["tracks"][0]["faces"]]
    assert len(gaps) < len(times)


def test_short_and_empty_and_silent_ones(
    dfnet: Run, tiny: Path, clip: Path, tmp_path: Path
) -> None:
    single, sound, empty = tmp_path / "one.mp4", tmp_path / "sound.mp4", tmp_path / "empty.mp4"
    ffmpeg("-i", clip, "-frames:v", "1", single)
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", sound)
    empty.touch()
    assert frames(row(dfnet, tiny, single)) == [0]
    assert "no video, only sound" in row(dfnet, tiny, sound)["error"]
    assert "error" in row(dfnet, tiny, empty)


def test_truncated_at_twenty_places(dfnet: Run, tiny: Path, clip: Path, tmp_path: Path) -> None:
    whole = clip.read_bytes()
    scored = 0
    for i in range(1, 21):
        (tmp_path / f"{i:02}.mp4").write_bytes(whole[: len(whole) * i // 21])
    for one in rows(dfnet, tiny, *sorted(tmp_path.iterdir())):
        if "error" in one:
            continue
        scored += 1
        assert one["video"]["partial"] and one["video"]["reason"]
        assert one["video"]["scored"] >= 1
    assert scored >= 10


def test_junk_is_no_video_and_no_picture(dfnet: Run, tiny: Path, tmp_path: Path) -> None:
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"junk " * 1000)
    assert "not a picture of a known kind" in row(dfnet, tiny, junk)["error"]


def test_csv_and_report(dfnet: Run, tiny: Path, clip: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = dfnet("classify", "-q", "-m", tiny, "--whole", "--csv", "--report", page, clip)
    assert done.returncode == 0
    head, line = csv.reader(done.stdout.decode().splitlines())
    assert len(head) == len(line)
    assert line[1] == "1" and line[9] in ("real", "uncertain", "fake")
    assert line[-1].startswith("video 0.00-")
    assert "data:image/png" in page.read_text(encoding="utf-8")


# ---- children that are not what they should be ----


ONE_FRAME = message(2, size=192) + bytes(192)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (spoken(then="os.kill(os.getpid(), 9)"), "was killed"),
        (spoken(then="os.kill(os.getpid(), signal.SIGXCPU)"), "processor time"),
        (spoken(then="os.kill(os.getpid(), signal.SIGSYS)"), "what it must not"),
        (spoken(then="os.abort()"), "crashed"),
        (spoken(then="sys.exit(3)"), "fell silent"),
        (spoken(then="time.sleep(60)"), "hung"),
        (spoken(b"\0" * 56), "another language"),
        (spoken(message(2, size=192)), "before its beginning"),
        (spoken(message(1), message(1)), "began twice"),
        (spoken(message(1), message(2, size=191)), "size is wrong"),
        (spoken(message(1), message(2, size=2**63)), "size is wrong"),
        (spoken(message(1, width=0)), "impossible size"),
        (spoken(message(1, width=2**31)), "impossible size"),
        (spoken(message(1), message(2, size=192, seconds=float("nan"))), "no number"),
        (spoken(message(1), ONE_FRAME, ONE_FRAME), "out of order"),
        (spoken(message(9)), "something unknown"),
        (spoken(message(1), message(4, size=201)), "too long"),
        (spoken(message(3)), "ended before"),
    ],
)
def test_a_child_that_misbehaves_is_a_row(
    dfnet: Run, tiny: Path, clip: Path, tmp_path: Path, text: str, reason: str
) -> None:
    began = time.monotonic()
    found = rows(dfnet, tiny, "--timeout", "1", clip, FACE, env=child(tmp_path, text))
    assert reason in found[0]["error"]
    assert found[1]["faces"], "the run goes on"
    assert time.monotonic() - began < 50


def test_frames_before_a_death_are_scored(
    dfnet: Run, tiny: Path, clip: Path, tmp_path: Path
) -> None:
    text = spoken(message(1), ONE_FRAME, then="os.kill(os.getpid(), 9)")
    (one,) = rows(dfnet, tiny, clip, env=child(tmp_path, text))
    assert one["video"]["partial"] and "was killed" in one["video"]["reason"]
    assert frames(one) == [0]


def test_words_of_a_child_are_text_from_outside(
    dfnet: Run, tiny: Path, clip: Path, tmp_path: Path
) -> None:
    evil = b"\x1b[31m<script>"
    text = spoken(message(4, size=len(evil)), evil)
    (one,) = rows(dfnet, tiny, clip, env=child(tmp_path, text))
    assert one["error"] == "?[31m<script>"


def test_memory_that_does_not_suffice(clip: Path) -> None:
    """The child says so, or cannot even start; it writes no frame."""
    for mib in ("1", "100"):
        with clip.open("rb") as file:
            done = subprocess.run(
                [program("dfnet").parent / "dfnet-video", "all", "1000000", mib, "10"],
                stdin=file, capture_output=True, check=False,
            )  # fmt: skip
        assert b"memory" in done.stdout or done.returncode != 0


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few bytes that become pictures of 192 MiB."""
    path = tmp_path_factory.mktemp("huge") / "huge.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=gray:size=8192x8192", "-frames:v", "2", "-preset",
           "ultrafast", "-pix_fmt", "yuv420p", path)  # fmt: skip
    assert path.stat().st_size < 1000000
    return path


TOO_MUCH = "decoding needs more memory than the limit allows"


def test_out_of_memory_is_a_row(dfnet: Run, tiny: Path, clip: Path, huge: Path) -> None:
    found = rows(dfnet, tiny, "--memory", "300", huge, clip)
    assert found[0]["error"] == TOO_MUCH
    assert found[1]["video"]["scored"] == 32, "the run goes on"
    assert "memory" in row(dfnet, tiny, "--memory", "60", clip)["error"]
    for bad in ("0", "-1", "2G", ""):
        assert dfnet("classify", "--memory", bad, clip).returncode == 1


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_the_black_box_goes_on(
    dfnet: Run, tiny: Path, clip: Path, huge: Path, tmp_path: Path, jobs: str
) -> None:
    """Children that are killed, hang, crash, or need too much memory, between clips and pictures:
    a row each, with a sentence; and nothing of it is done again."""
    ways = {
        b"KILL": ("os.kill(os.getpid(), 9)", "the decoding process was killed"),
        b"STOP": ("os.kill(os.getpid(), signal.SIGSTOP)", "hung and was ended after"),
        b"TRAP": ("os.kill(os.getpid(), signal.SIGSEGV)", "the decoding process crashed"),
    }
    real = program("dfnet").parent / "dfnet-video"
    text = "import os, signal, sys\nmark = os.pread(0, 16, 0)[12:]\n"
    for mark, (act, _) in ways.items():
        text += f"if mark == {mark!r}:\n    {act}\n"
    text += f"os.lseek(0, 0, 0)\nos.execv({str(real)!r}, [{str(real)!r}, *sys.argv[1:]])\n"
    files = []
    for mark in ways:
        files += [tmp_path / f"{mark.decode()}.mp4", clip]
        files[-2].write_bytes(MP4 + mark)
    files += [huge, FACE]
    results = tmp_path / "r.csv"
    words = ("classify", "-q", "-m", tiny, "--whole", "--memory", "300", "--timeout", "3")
    words += ("--jobs", jobs, "--resume", results, *files)
    done = dfnet(*words, env=child(tmp_path, text))
    assert done.returncode == 2
    with results.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [one["number"] for one in found] == [str(i + 1) for i in range(8)]
    expected = [reason for _, reason in ways.values()]
    for one, reason in zip(found[:6:2], expected, strict=True):
        assert reason in one["error"] and one["status"] == "failed"
    assert found[6]["error"] == TOO_MUCH
    assert all(found[i]["status"] == "scored" and not found[i]["error"] for i in (1, 3, 5, 7))
    before = results.read_bytes()
    assert dfnet(*words, env=child(tmp_path, text)).returncode == 2
    assert results.read_bytes() == before


# ---- times ----


def test_timings(dfnet: Run, tiny: Path, clip: Path) -> None:
    one = row(dfnet, tiny, "--timings", clip)
    times = one.pop("times")
    assert set(times) == {"wall", "decode", "detect", "score"}
    assert all(v > 0 for k, v in times.items() if k != "detect") and times["detect"] >= 0
    assert one == row(dfnet, tiny, clip), "nothing else is there, or differs"
    done = dfnet("classify", "-m", tiny, "--whole", "--csv", "--timings", clip, FACE)
    (line,) = done.stderr.decode().splitlines()
    pattern = r"dfnet: .*clip\.mp4: 32 frames in [\d.]+ s: decoding [\d.]+ s \((\d+) %\), "
    pattern += r"finding faces [\d.]+ s \((\d+) %\), scoring [\d.]+ s \((\d+) %\)"
    match = re.fullmatch(pattern, line)
    assert match and 98 <= sum(map(int, match.groups())) <= 102, line


# ---- persons ----


@pytest.fixture(scope="module", params=[0, 70], ids=["behind", "below"])
def two(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """Two people who walk towards each other, cross - one behind the other, or lower - and one of
    whom leaves the picture and comes back. A clip, and who is where."""
    detector()
    real = pixels(ROOT / "examples/faces/real/astronaut.jpg")
    fake = pixels(ROOT / "examples/faces/fake/hopper_with_astronaut.jpg")
    y = 150 + request.param
    there = between([(0, 110, 150), (4, 530, 150), (6.1, 530, 150)])
    back = between([(0, 530, y), (4, 110, y), (4.6, -70, y), None,
                    (5.2, -70, y), (5.8, 110, y), (6.1, 110, y)])  # fmt: skip
    people = [Person(resize(real, 140), there), Person(resize(fake, 130), back)]
    path = tmp_path_factory.mktemp("two") / "two.mp4"
    assert FFMPEG
    film(FFMPEG, path, people, 6)
    return path, people


def who(people: list[Person], face: dict) -> int:
    """Number of the person whose face is nearest to the box."""
    box = face["box"]
    centre = box["x"] + box["w"] / 2, box["y"] + box["h"] / 2
    places = [person.way(face["seconds"]) for person in people]
    return min(
        (i for i, place in enumerate(places) if place),
        key=lambda i: sum((a - b) ** 2 for a, b in zip(places[i], centre, strict=True)),
    )


@pytest.mark.parametrize("frames_wanted", ["32", "time:10"])
def test_two_people_cross_and_one_comes_back(dfnet: Run, two: tuple, frames_wanted: str) -> None:
    path, people = two
    words = ("classify", "-q", "--json", "--frames", frames_wanted, path)
    (line,) = dfnet(*words, env={"DFNET_DETECTOR": detector()}).stdout.splitlines()
    tracks = json.loads(line)["tracks"]
    assert len(tracks) == 2
    owners = []
    for track in tracks:
        # Where both are in the same place the nearest is nobody in particular.
        nearest = [who(people, f) for f in track["faces"] if abs(f["seconds"] - 2) > 0.3]
        assert len(set(nearest)) == 1, nearest
        owners += nearest[:1]
    assert sorted(owners) == [0, 1]
    gone = tracks[owners.index(1)]
    assert gone["last"] > 5.3 and not [f for f in gone["faces"] if 4.7 < f["seconds"] < 5.2]
    verdicts = [track["verdict"] for track in tracks]
    assert verdicts[owners.index(1)] == "fake" != verdicts[owners.index(0)]


def test_the_report_shows_two_people_and_a_gap(dfnet: Run, two: tuple, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = ("classify", "-q", "--frames", "time:10", "--report", page, two[0])
    assert dfnet(*words, env={"DFNET_DETECTOR": detector()}).returncode == 0
    text = page.read_text(encoding="utf-8")
    assert "Person 2" in text and "Person 3" not in text and "All persons together" in text
    drawings = re.findall(r"Score of person \d over time.*?</svg></div>", text)
    assert len(drawings) == 2
    away = [re.findall(r'class="away" x="([\d.]+)" width="([\d.]+)"', d) for d in drawings]
    ((x, width),) = max(away, key=lambda gaps: max([float(w) for _, w in gaps], default=0))
    assert 600 < float(x) < 800 and 100 < float(width) < 300
    assert any("away 1 time in between" in d for d in drawings)
    assert text.count('alt="The face at') == 12 and text.count('alt="Heat map at') == 6
