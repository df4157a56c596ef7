"""The six shipped pipelines from checkpoint to verdict, of a picture and of a clip: converted,
found by name, scored, and what is lacking said. The checkpoints are laid out like the real ones,
with random weights in narrow networks (weights_tools/tests/containers.py), on clips at less than
their size. What their members make together is computed again by
tests/combine/reference_rules.py from what each says alone."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from conftest import ASTRONAUT, BOX, FACE, MILD, ROOT, Run, detector, pixels, program

import containers  # isort: skip
import pth_writer as pw  # isort: skip

sys.path.insert(0, str(ROOT / "tests" / "combine"))
import reference_rules as rules  # isort: skip
from weights_tools.convert import Options, convert

PIPELINES = ROOT / "examples" / "pipelines"

# pipeline -> for each of its model files the container, and --system where it must be said
SYSTEMS = {
    "selimsef": [("selimsef", "auto")] * 7,
    "wm": [("wm", "auto")],
    "ntechlab": [
        ("ntechlab", "ntechlab-a"),
        ("ntechlab", "ntechlab-b"),
        ("ntechlab-sequence", "auto"),
    ],
    "robustforensics": [(f"robustforensics-b{n}", "auto") for n in (3, 1, 1, 1, 0)],
    "icpr2020dfdc": [(f"icpr-{name}", "auto") for name in ("b4", "b4st", "autoatt", "autoattst")],
    "sbi": [("sbi", "auto")],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """(container, system) -> converted model."""
    folder = tmp_path_factory.mktemp("systems")
    made = {}
    with containers.reduced():
        for container, system in {pair for pairs in SYSTEMS.values() for pair in pairs}:
            kind = next(k for k in containers.KINDS if k.name == container)
            state = kind.state()
            if kind.maps:  # so that they attend to something, untrained as they are
                state["attentions.bn.bias"] += np.float32(2)
            source = pw.save(folder / "checkpoint.pth", kind.tree(state))
            path = folder / f"{container}-{system}.safetensors"
            options = Options(system=system, reference=(1, 32, 32), temperature=MILD["temperature"])
            convert(source, path, options)
            made[container, system] = path
    return made


def installed(name: str, models: dict, folder: Path, small: bool = False) -> Path:
    """The shipped pipeline with its model files, in the folder. small: at a sixth of the size, and
    with temperatures, so that stand-ins for several networks of one kind say different things."""
    pipeline = Path(shutil.copy(PIPELINES / f"{name}.pipeline", folder))
    files = re.findall(r"^file = (.*)$", pipeline.read_text(), re.M)
    assert len(files) == len(SYSTEMS[name])
    for file, pair in zip(files, SYSTEMS[name], strict=True):
        (folder / file).parent.mkdir(exist_ok=True)
        shutil.copy(models[pair], folder / file)
    if small:
        text = pipeline.read_text()
        for size in (380, 300, 299, 224, 192):
            text = re.sub(rf"\b{size}(?=x|$)|(?<=\dx){size}\b", str(size // 6), text, flags=re.M)
        for i, file in enumerate(files):
            text = text.replace(f"{file}\n", f"{file}\ntemperature = {1 + i / 4}\n")
        pipeline.write_text(text)
    return pipeline


@pytest.mark.parametrize("name", SYSTEMS)
def test_pipeline(dfnet: Run, models: dict, tmp_path: Path, name: str) -> None:
    pipeline = installed(name, models, tmp_path)
    # A face that was aligned is a picture of its own; others lie in a box.
    place = ["--whole"] if name == "wm" else ["--box", BOX]
    done = dfnet("classify", "--json", "--pipeline", pipeline, *place, FACE)
    assert done.returncode == 0, done.stderr
    said = done.stderr.decode()
    assert "A partial system" in said
    sequences = sum("sequence" in container for container, _ in SYSTEMS[name])
    assert said.count("takes sequences of 7 video frames, so it does not score") == sequences
    (row,) = [json.loads(line) for line in done.stdout.splitlines()]
    (face,) = row["faces"]
    assert 0 < face["fake"] < 1 and math.isfinite(face["logit"])
    members = len(SYSTEMS[name])
    if members - sequences > 1:
        assert len(face["models"]) == members - sequences
    assert [one["model"] for one in row.get("lacking", [])] == ["S"] * sequences
    assert row["pipeline"]["lacks"] in said


def test_a_sequence_alone_scores_no_picture(dfnet: Run, models: dict) -> None:
    path = models["ntechlab-sequence", "auto"]
    done = dfnet("classify", "--quiet", "--whole", "--model", path, FACE)
    assert done.returncode == 3 and b"takes sequences of 7 video frames" in done.stderr


@pytest.mark.parametrize("container", ["wm", "icpr-autoatt"])
def test_heat_map_and_report_of_attention(
    dfnet: Run, models: dict, tmp_path: Path, container: str
) -> None:
    drawn, page = tmp_path / "map.png", tmp_path / "page.html"
    path = models[container, "auto"]
    arguments = ["--whole", "--model", path, "--heatmap", drawn, "--report", page, FACE]
    done = dfnet("classify", *arguments)
    assert done.returncode == 0, done.stderr
    check_map(drawn, page, FACE)


def check_map(drawn: Path, page: Path, picture: Path) -> np.ndarray:
    """bool [height, width]: where the drawn map changed the picture."""
    text = page.read_text()
    assert "no heat map" not in text and text.count("data:image/png") >= 2
    changed = (pixels(drawn) != pixels(picture)).any(axis=2)
    assert changed.mean() > 0.02
    return changed


def test_heat_map_of_a_face_that_was_aligned(dfnet: Run, models: dict, tmp_path: Path) -> None:
    """It lies turned over the face, and nowhere else."""
    pipeline = installed("wm", models, tmp_path, small=True)
    drawn, page = tmp_path / "map.png", tmp_path / "page.html"
    words = ["--pipeline", pipeline, "--heatmap", drawn, "--report", page, "--json", ASTRONAUT]
    done = dfnet("classify", *words, env={"DFNET_DETECTOR": detector()})
    assert done.returncode == 0, done.stderr
    changed = check_map(drawn, page, ASTRONAUT)
    box = json.loads(done.stdout)["faces"][0]["box"]
    rows, columns = np.nonzero(changed)
    for at, start, size in ((columns, box["x"], box["w"]), (rows, box["y"], box["h"])):
        assert start - 2.5 * size < at.min() and at.max() < start + 3.5 * size
        assert abs(at.mean() - (start + size / 2)) < size


# ---- clips ---------------------------------------------------------------------------------


def moving(faces: list[np.ndarray], count: int) -> np.ndarray:
    """[count, 128, 112, 3]: a window that wanders over the faces, one after the other."""
    frames = []
    for i in range(count):
        face = faces[i * len(faces) // count]
        y, x = (int(6 + 6 * math.sin(i / rate)) for rate in (3, 5))
        rows, columns = (np.linspace(o, n - 13 + o, size).astype(int) for o, n, size in (
            (y, face.shape[0], 128), (x, face.shape[1], 112)))  # fmt: skip
        frames.append(face[rows][:, columns])
    return np.stack(frames)


def encode(frames: np.ndarray, path: Path) -> Path:
    """30 frames a second."""
    ffmpeg = shutil.which("ffmpeg")
    if not ffmpeg or not (program("dfnet").parent / "dfnet-video").exists():
        pytest.skip("the ffmpeg program, or dfnet's decoder of videos, is missing")
    size = f"{frames.shape[2]}x{frames.shape[1]}"
    words = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", "30", "-i", "-"]
    command = [ffmpeg, "-v", "error", "-y", *words, "-pix_fmt", "yuv420p", "-g", "15", path]
    subprocess.run(command, input=frames.tobytes(), check=True)
    return path


@pytest.fixture(scope="module")
def faces() -> list[np.ndarray]:
    return [pixels(path) for path in sorted((ROOT / "examples" / "faces").glob("*/*.jpg"))]


@pytest.fixture(scope="module")
def clip(faces: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of faces."""
    return encode(moving(faces, 90), tmp_path_factory.mktemp("clip") / "faces.mp4")


@pytest.fixture(scope="module")
def short(faces: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames: six at 15 a second."""
    return encode(moving(faces, 12), tmp_path_factory.mktemp("clip") / "short.mp4")


def sections(text: str) -> list[str]:
    """Of a pipeline file, without comments; the head comes first."""
    plain = re.sub(r"^#.*\n", "", text, flags=re.M)
    return re.split(r"^(?=\[)", plain, flags=re.M)


def alone(pipeline: Path, index: int) -> Path:
    """The pipeline with one of its members, whose score of a face then is the face's."""
    parts = sections(pipeline.read_text())
    members = [part for part in parts if part.startswith("[model")]
    others = [part for part in parts if not part.startswith(("[model", "[rule"))]
    member = re.sub(r"^(weight|temperature|shrink) = .*\n", "", members[index], flags=re.M)
    path = pipeline.with_name(f"alone-{index}.pipeline")
    path.write_text("".join([*others, member, "[rule]\nkind = mean-logit\n"]))
    return path


def rule_of(pipeline: Path) -> rules.Rule:
    """What the file says, read once more here."""
    parts = sections(pipeline.read_text())
    says = [dict(re.findall(r"^(\w+) = (.*)$", p, re.M)) for p in parts if p.startswith("[model")]
    (said,) = (dict(re.findall(r"^(\w+) = (.*)$", p, re.M)) for p in parts if "[rule" in p)
    kind = ["mean-prob", "mean-logit", "confident", "sharpen", "group", "max-face"].index(
        said["kind"]
    )
    faces = ["pool", "mean", "max", "agree"].index(said.get("faces", "pool"))
    combine = ["mean-prob", "mean-logit", "agree", "pool"].index(said.get("models", "mean-prob"))
    numbers = {}
    for name, usual, of_group, *_ in rules.PARAMETERS:
        usual = of_group if kind == rules.GROUP else usual
        numbers[name] = Decimal(said.get(name, usual))
    rule = rules.Rule(kind, faces, combine, numbers, int(said.get("run", 5)), len(says))
    if any("weight" in one for one in says):
        rule.weights = [Decimal(one.get("weight", 1)) for one in says]
    if any("temperature" in one for one in says):
        rule.temperatures = [Decimal(one.get("temperature", 1)) for one in says]
    if any("shrink" in one for one in says):
        rule.shrinks = [int(one.get("shrink", 0)) for one in says]
    return rule


def run(dfnet: Run, pipeline: Path, clip: Path, *more: object, env: dict | None = None) -> dict:
    """Its only row."""
    done = dfnet("classify", "-q", "--json", "--pipeline", pipeline, *more, clip, env=env or {})
    assert done.returncode == 0, done.stderr
    (row,) = [json.loads(line) for line in done.stdout.splitlines()]
    return row


def check_combination(together: dict, apart: list[dict], rule: rules.Rule) -> int:
    """The clip's and each person's score against the members' own; how many scores there are."""
    scores: list[rules.Score] = []
    for person, track in enumerate(together["tracks"]):
        of_track = []
        for model, row in enumerate(apart):
            for face in row["tracks"][person]["faces"]:
                if face["verdict"] != "none" and face.get("counts", True):
                    logit = Decimal(repr(face["logit"]))
                    of_track.append(rules.Score(logit, model, person, face["frame"]))
        result = rules.combine(rule, of_track)
        assert track["fake"] == pytest.approx(float(result.fake), abs=1e-6)
        seen = {score.model for score in of_track}
        assert len(track.get("lacking", [])) == len(apart) - len(seen)
        scores += of_track
    result = rules.combine(rule, scores)
    assert together["fake"] == pytest.approx(float(result.fake), abs=1e-6)
    assert together["logit"] == pytest.approx(float(result.logit), abs=1e-5)
    return len(scores)


# Scores in the clip's 90 frames: 32 spread ones; 9, 19, ..., 89; 45 at 15 a second, of which every
# second goes to A or B, and three sequences; every third of 90; 32.
SCORES = {
    "selimsef": 7 * 32,
    "wm": 9,
    "ntechlab": 23 + 3 * 7,
    "robustforensics": 5 * 30,
    "icpr2020dfdc": 4 * 32,
    "sbi": 32,
}
LACKS = {
    "selimsef": "no network is missing",
    "wm": "Xception",
    "ntechlab": "DSFD",
    "robustforensics": "SlowFast",
    "icpr2020dfdc": "BlazeFace",
    "sbi": "RetinaFace",
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_pipeline_on_a_clip(
    dfnet: Run, models: dict, clip: Path, tmp_path: Path, name: str
) -> None:
    pipeline, page = installed(name, models, tmp_path, small=True), tmp_path / "page.html"
    words = ["--whole", "--report", page, "--json", "--pipeline", pipeline, clip]
    done = dfnet("classify", *words)
    assert done.returncode == 0, done.stderr
    (together,) = [json.loads(line) for line in done.stdout.splitlines()]
    # What the system has and this one has not, in words, in the row and in the report.
    for said in (done.stderr.decode(), together["pipeline"]["lacks"], page.read_text()):
        assert LACKS[name] in said
    assert "lacking" not in together and together["verdict"] != "none"
    members = range(len(SYSTEMS[name]))
    apart = [run(dfnet, alone(pipeline, i), clip, "--whole") for i in members]
    assert check_combination(together, apart, rule_of(pipeline)) == SCORES[name]
    if name == "ntechlab":
        at = [[f["frame"] for f in row["tracks"][0]["faces"] if "fake" in f] for row in apart]
        assert at[0][:4] == [0, 4, 16, 20] and at[1][:4] == [8, 12, 24, 28]
        assert at[2] == [2 * (start + i) for start in (0, 14, 28) for i in range(7)]
    else:
        assert all("fake" in f for row in apart for t in row["tracks"] for f in t["faces"])


def test_short_clip_says_what_is_lacking(
    dfnet: Run, models: dict, short: Path, tmp_path: Path
) -> None:
    pipeline, page = installed("ntechlab", models, tmp_path, 4), tmp_path / "page.html"
    why = "takes 7 video frames of a face in a row"
    words = ["--whole", "--pipeline", pipeline, "--report", page, short]
    (row,) = [json.loads(line) for line in dfnet("classify", "--json", *words).stdout.splitlines()]
    assert row["lacking"] == [{"model": "S", "why": why}] == row["tracks"][0]["lacking"]
    apart = [run(dfnet, alone(pipeline, i), short, "--whole") for i in range(3)]
    assert apart[2]["verdict"] == "none" and "fake" not in apart[2]
    assert check_combination(row, apart, rule_of(pipeline)) == 3
    assert f"S ({why})" in page.read_text()
    # Alone, S has nothing to say at all: no verdict, no number, no curve.
    words[2] = alone(pipeline, 2)
    assert dfnet("classify", *words).returncode == 0
    text = page.read_text()
    assert "There is no score." in text and "50.0 %" not in text and 'class="curve"' not in text
    cells = list(csv.DictReader(dfnet("classify", "--csv", *words).stdout.decode().splitlines()))
    assert cells and all(
        cell["found"] and cell["verdict"] == cell["picture_verdict"] == "none" for cell in cells
    )
    for name in ("fake", "logit", "picture_fake", "picture_logit"):
        assert all(cell[name] == "" for cell in cells), name
    words[2] = pipeline
    table = dfnet("classify", *words)
    assert f"person 1 has no score of S ({why})" in table.stderr.decode()
    assert f"no score of S ({why})" in dfnet("classify", "--csv", *words).stdout.decode()
    assert b"no score" not in dfnet("classify", "--quiet", *words).stderr


def test_a_sequence_alone_and_beside_others(
    dfnet: Run, models: dict, clip: Path, short: Path, tmp_path: Path
) -> None:
    sequence, frame = models["ntechlab-sequence", "auto"], models["ntechlab", "ntechlab-a"]

    def rows(*words: object) -> list[dict]:
        done = dfnet("classify", "-q", "--json", "--whole", *words, clip, short, FACE)
        assert done.returncode == (2 if words == ("-m", sequence) else 0), done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    alone = rows("-m", sequence)
    assert alone[0]["verdict"] != "none" and alone[1]["verdict"] == "none"
    assert "takes sequences of 7 video frames" in alone[2]["error"]
    (track,) = alone[0]["tracks"]
    # 15 frames a second without being asked.
    scored = [f["frame"] for f in track["faces"] if "fake" in f]
    assert scored == [2 * (start + i) for start in (0, 14, 28) for i in range(7)]
    other = rows("-m", frame, "--frames", "rate:15")
    both = rows("--rule", "mean-logit", "--ensemble", f"{sequence}:3", "--ensemble", f"{frame}:1")
    means = [
        np.mean([f["logit"] for f in t["faces"] if "fake" in f])
        for t in (track, other[0]["tracks"][0])
    ]
    assert both[0]["logit"] == pytest.approx((3 * means[0] + means[1]) / 4, abs=1e-5)
    (lacking,) = both[1]["lacking"]
    assert lacking["why"].startswith("takes 7")
    assert both[1]["fake"] == pytest.approx(other[1]["fake"], abs=1e-5)
    assert both[2]["fake"] == pytest.approx(other[2]["fake"], abs=1e-5)
    refused = dfnet("classify", "-q", "--whole", "-m", sequence, "--heatmap", tmp_path / "m.png",
                    clip)  # fmt: skip
    assert refused.returncode == 3 and b"a network of sequences has none" in refused.stderr


def test_found_faces_on_a_clip(
    dfnet: Run, models: dict, faces: list[np.ndarray], tmp_path: Path
) -> None:
    """The detector's faces: two persons at once, looked for as the pipelines say."""
    env = {"DFNET_DETECTOR": detector()}
    wall = np.zeros((45, 320, 512, 3), np.uint8)
    for i, at in ((0, 20), (2, 290)):
        face = faces[i][:: max(1, faces[i].shape[0] // 190), :: max(1, faces[i].shape[1] // 190)]
        for k in range(45):
            y, x = 40 + k // 3, at + (k if i == 0 else -k) // 5 + 10
            part = face[: 320 - y, : 512 - x]
            wall[k, y : y + part.shape[0], x : x + part.shape[1]] = part
    clip = encode(wall, tmp_path / "wall.mp4")
    for name in ("ntechlab", "wm"):
        folder = tmp_path / name
        folder.mkdir()
        pipeline = installed(name, models, folder, small=True)
        together = run(dfnet, pipeline, clip, env=env)
        # wm takes the largest face of each frame, which is now this one, now that one.
        assert len(together["tracks"]) == 2
        apart = [run(dfnet, alone(pipeline, i), clip, env=env) for i in range(len(SYSTEMS[name]))]
        assert check_combination(together, apart, rule_of(pipeline)) > 0
        if name == "ntechlab":
            found = [f["frame"] for f in together["tracks"][0]["faces"] if "found" in f]
            assert found == [*range(0, 43, 6), 44]
