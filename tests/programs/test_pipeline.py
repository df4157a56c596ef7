"""dfnet classify --pipeline and dfnet info of pipelines: what a file says is what is done."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import ASTRONAUT, BOX, FACE, HOSTILE, ROOT, Run, detector, pixels, write_ppm

SHIPPED = sorted((ROOT / "examples" / "pipelines").glob("*.pipeline"))
CROP = """[crop c]
input = 48x48
resize = squash
filter = opencv-linear
mean = 0.5,0.5,0.5
std = 0.5,0.5,0.5
face.margin = 0.25,0.25,0.25,0.25
face.shape = box
face.outside = clamp
face.pad = 0,0,0
"""


def written(
    path: Path, models: str, rule: str = "kind = mean-prob", finder: str = "kind = given"
) -> Path:
    """A pipeline file; models: its sections [model] and [crop]."""
    head = "dfnet-pipeline = 1\nname = Mine\nsource = here\nlacks = Everything, as a test does.\n"
    frames = "[frames]\nchoose = all\n"
    path.write_text(f"{head}[detector]\n{finder}\n{frames}{models}[rule]\n{rule}\n")
    return path


def model(name: Path, **facts: object) -> str:
    return f"[model]\nfile = {name.name}\n" + "".join(f"{k} = {v}\n" for k, v in facts.items())


@pytest.fixture
def folder(tiny: Path, other: Path, tmp_path: Path) -> Path:
    """A folder with both models, where pipelines find them."""
    shutil.copy(tiny, tmp_path)
    shutil.copy(other, tmp_path)
    return tmp_path


def scores(done: object) -> list[dict]:
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    return [json.loads(line) for line in done.stdout.splitlines()]  # type: ignore[attr-defined]


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_shipped_ones_say_what_they_lack(dfnet: Run) -> None:
    assert len(SHIPPED) == 6
    for path in SHIPPED:
        done = dfnet("info", path)
        text = done.stdout.decode()
        assert done.returncode == 0 and done.stderr == b"" and "\x1b" not in text
        (lacks,) = [line for line in text.splitlines() if line.startswith("lacks")]
        assert "A partial system" in lacks
        facts = json.loads(dfnet("info", "--json", path).stdout)
        assert facts["lacks"] in text and facts["text"] == text and facts["models"]
        assert all(m["file"] in text for m in facts["models"])


def test_weights_and_rules(dfnet: Run, tiny: Path, other: Path, folder: Path) -> None:
    boxes = ("-b", BOX, "-b", "20,20,90,90")
    plain = [
        scores(dfnet("classify", "-j", "-m", m, *boxes, ASTRONAUT))[0]["faces"]
        for m in (tiny, other)
    ]
    p = np.array([[f["fake"] for f in faces] for faces in plain])  # [model][face]
    models = model(tiny, weight=3) + model(other, temperature=2)
    cases = {
        "kind = mean-prob": (3 * p[0] + 1 / (1 + np.exp(-np.log(p[1] / (1 - p[1])) / 2))) / 4,
        "kind = mean-logit": 1
        / (1 + np.exp(-(3 * np.log(p[0] / (1 - p[0])) + np.log(p[1] / (1 - p[1])) / 2) / 4)),
    }
    for rule, expected in cases.items():
        file = written(folder / "a.pipeline", models, rule)
        row = scores(dfnet("classify", "-j", "-p", file, *boxes, ASTRONAUT))[0]
        np.testing.assert_allclose([f["fake"] for f in row["faces"]], expected, atol=2e-6)
    file = written(folder / "a.pipeline", model(tiny), "kind = max-face\nclip = 0.4999")
    row = scores(dfnet("classify", "-j", "-p", file, *boxes, ASTRONAUT))[0]
    assert 0.4999 <= row["fake"] <= 0.5001 and row["faces"][0]["fake"] != p[0, 0]
    for low, high, verdict in ((0.51, 0.6, "real"), (0.4, 0.51, "uncertain"), (0.1, 0.2, "fake")):
        rule = f"kind = mean-prob\nclip = 0.4999\nthresholds = {low},{high}"
        file = written(folder / "a.pipeline", model(tiny), rule)
        row = scores(dfnet("classify", "-j", "-p", file, *boxes, ASTRONAUT))[0]
        assert row["verdict"] == verdict == row["faces"][0]["verdict"]


def test_crop_and_flip(dfnet: Run, tiny: Path, folder: Path) -> None:
    def fake(models: str, box: str = BOX) -> float:
        file = written(folder / "a.pipeline", models)
        return scores(dfnet("classify", "-jq", "-p", file, "-b", box, ASTRONAUT))[0]["fake"]

    x, y, w, h = (int(v) for v in BOX.split(","))
    assert (w % 4, h % 4) == (1, 1)
    around = f"{x - w // 4},{y - h // 4},{w + w // 2},{h + h // 2}"
    none = CROP.replace("0.25", "0")
    cropped = fake(model(tiny, crop="c", flip=0) + CROP, "168,61,108,108")
    same = fake(model(tiny, crop="c", flip=0) + none, "141,34,162,162")
    assert cropped == same and around != BOX
    one, both = fake(model(tiny, flip=0)), fake(model(tiny, flip=1))
    assert one != both and fake(model(tiny)) == both  # the file itself says flip


def test_finds_faces_as_it_says(dfnet: Run, tiny: Path, folder: Path) -> None:
    env = {"DFNET_DETECTOR": detector()}
    face = ASTRONAUT  # 512 x 512, one face
    plain = scores(dfnet("classify", "-j", "-m", tiny, face, env=env))[0]["faces"]

    def faces(finder: str, input: Path = face) -> list[dict]:
        file = written(folder / "a.pipeline", model(tiny), finder=finder)
        done = dfnet("classify", "-j", "-p", file, input, env=env)
        assert b"Everything, as a test does." in done.stderr
        assert (b"MTCNN stands in" in done.stderr) == ("given" in finder)
        return scores(done)[0]["faces"]

    assert [f["box"] for f in faces("kind = mtcnn")] == [f["box"] for f in plain]
    assert [f["box"] for f in faces("kind = given")] == [f["box"] for f in plain]
    half = faces("kind = mtcnn\nscale = 0.5\nthresholds = 0.7,0.8,0.8")
    assert len(half) == 1 and half[0]["box"] != plain[0]["box"]
    assert faces("kind = mtcnn\nmin_face = 400") == []
    assert faces("kind = mtcnn\nscore = 1") == []
    (whole,) = faces("kind = whole")
    assert whole["box"] == {"x": 0, "y": 0, "w": 512, "h": 512}
    # A second, smaller face: the picture again, at half its size, beside the first one.
    collage = np.zeros((512, 768, 3), np.uint8)
    collage[:, :512] = pixels(face)
    collage[:256, 512:] = collage[::2, :512:2]
    picture = write_ppm(folder / "two.ppm", collage)
    assert len(faces("kind = mtcnn", picture)) == 2
    assert len(faces("kind = mtcnn\nleast_area = 0.5", picture)) == 1
    assert len(faces("kind = mtcnn\nmax_faces = 1", picture)) == 1


def test_models_from_the_command_line(dfnet: Run, tiny: Path, other: Path, folder: Path) -> None:
    file = written(folder / "a.pipeline", model(tiny))
    named = scores(dfnet("classify", "-jq", "-p", file, "-b", BOX, FACE))
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    file = shutil.move(file, elsewhere)
    assert dfnet("classify", "-p", file, "-b", BOX, FACE).returncode == 4
    given = dfnet("classify", "-jq", "-p", file, "-m", tiny, "-b", BOX, FACE)
    assert scores(given) == named and given.stderr == b""
    assert dfnet("classify", "-p", file, "-m", tiny, "-m", other, FACE).returncode == 1


def test_wrong_usage(dfnet: Run, tiny: Path, faceless: Path, folder: Path) -> None:
    file = written(folder / "a.pipeline", model(tiny))
    for arguments in (["--rule", "group"], ["--ensemble", f"{tiny}:1"]):
        done = dfnet("classify", "-w", "-p", file, *arguments, FACE)
        assert done.returncode == 1 and done.stdout == b"" and b"--pipeline" in done.stderr
    assert dfnet("classify", "-w", "-p", "/no", FACE).returncode == 4
    assert dfnet("classify", "-w", "-p", file, "-m", faceless, FACE).returncode == 4
    file.write_text("dfnet-pipeline = 1\nname = a\nnonsense = 1\n")
    for done in (dfnet("classify", "-w", "-p", file, FACE), dfnet("info", file)):
        assert done.returncode == 4 and b"3" in done.stderr and b"nonsense" in done.stderr
    assert dfnet("info", "/no.pipeline").returncode == 4


def test_the_report_says_it(dfnet: Run, tiny: Path, folder: Path) -> None:
    name = HOSTILE.replace("\x1b", "").replace("\u009b", "")
    file = written(folder / "a.pipeline", model(tiny), "kind = confident")
    file.write_text(file.read_text().replace("name = Mine", f"name = {name}", 1))
    page = folder / "report.html"
    env = {"DFNET_DETECTOR": detector()}
    done = dfnet("classify", "-p", file, "--report", page, ASTRONAUT, env=env)
    assert done.returncode == 0 and "\u202e".encode() not in done.stderr
    text = page.read_text()
    assert "Everything, as a test does." in text and "MTCNN stood in" in text
    assert "rule      confident, faces pool" in text and "&lt;script&gt;" in text
    assert "<script" not in text and "\u202e" not in text
