"""evaluate and calibrate from folders of synthetic pictures to tables, JSON and model files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_models as tiny
from evaluation import gaussian_scores, picture, save

from weights_tools.__main__ import main
from weights_tools.engine import FaceScore, Library, find_library
from weights_tools.errors import InputRefused
from weights_tools.evaluate import bench, control, report, scoring
from weights_tools.evaluate.alterations import alter, cells, mix_cell
from weights_tools.evaluate.pictures import Picture, Preparation, find, limited
from weights_tools.model_file import Metadata, read_model

PATH = find_library()

needs_library = pytest.mark.skipif(PATH is None, reason="libdfnet was not found")


@pytest.fixture(scope="module")
def library():
    return Library(PATH)


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("evaluate") / "tiny.safetensors"
    return tiny.write(path, resize="squash", filter="opencv-area", face_margin=(0.1, 0.2, 0.3, 0.2))


def folder(path, real: int = 24, fake: int = 24):
    """Real pictures and darker fakes."""
    for i in range(real):
        save(path / "real" / f"{i:02}.png", picture(i))
    for i in range(fake):
        save(path / "fake" / f"{i:02}.png", (picture(100 + i) * 0.6).astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("photos"))


# ---- pictures ----


def test_labels_come_from_the_innermost_folder(tmp_path):
    for name in (
        "real/a.png",
        "real/deep/b.JPG",
        "set/fake/a.png",
        "fake/real/c.bmp",
        "neither/d.png",
        "e.png",
        "real/clip.mp4",
        "fake/notes.txt",
        "real/fake",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find(str(tmp_path))
    assert {(p.key, p.fake) for p in found.pictures} == {
        ("a.png", False),
        ("deep/b.JPG", False),
        ("set/a.png", True),
        ("fake/c.bmp", False),
    }
    assert (len(found.clips), found.unlabelled, found.other) == (1, 2, 2)
    told = find(str(tmp_path / "neither"), True)
    assert [(p.key, p.fake) for p in told.pictures] == [("d.png", True)]
    with pytest.raises(InputRefused, match="is not a folder"):
        find(str(tmp_path / "nowhere"))


def test_links_are_followed_once(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.png").touch()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "real").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to(tmp_path / "photos")
    assert [p.key for p in find(str(tmp_path / "photos")).pictures] == ["x.png"]


def test_a_limit_takes_the_same_pictures_whatever_else_lies_there():
    pictures = [Picture(f"/p/{i}", f"{i}", i % 2 == 0) for i in range(60)]
    chosen = limited(pictures, 10)
    assert sum(p.fake for p in chosen) == 10 and len(chosen) == 20
    assert limited(pictures[::-1], 10)[::-1] == chosen
    assert chosen != pictures[:20]
    assert [p for p in limited(pictures[4:], 10) if p in chosen] == [
        p for p in chosen if p in pictures[4:]
    ]
    assert limited(pictures, 0) == pictures


def test_preparation():
    pixels = picture(1, 300, 200)
    assert Preparation(0, 0).end(Preparation(0, 0).begin(pixels)) is pixels
    assert Preparation(150).begin(pixels).shape == (150, 100, 3)
    assert Preparation(300).begin(pixels) is pixels
    encoded = Preparation(0, 20).end(pixels)
    assert encoded.shape == pixels.shape and not np.array_equal(encoded, pixels)


# ---- scoring ----


@needs_library
def test_decodes_as_others_do(library):
    pixels = picture(5, 50, 37)
    for ending in (".png", ".bmp", ".ppm"):
        done, data = cv2.imencode(ending, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        assert done and np.array_equal(library.decode(data.tobytes()), pixels)


@needs_library
@pytest.mark.parametrize("outside", ["clamp", "shift", "pad"])
@pytest.mark.parametrize(
    ("shape", "unit", "rounding"),
    [
        ("square", "side", "nearest"),
        ("square", "side", "truncate"),
        ("box", "side", "nearest"),
        ("box", "height", "truncate"),
    ],
)
def test_a_cut_face_is_what_the_library_sees(library, tmp_path, outside, shape, unit, rounding):
    path = tiny.write(
        tmp_path / "m.safetensors",
        resize="squash",
        filter="opencv-linear",
        face_margin=(0.1, 0.25, 0.3, 0.2),
        face_outside=outside,
        face_shape=shape,
        face_unit=unit,
        face_rounding=rounding,
        face_pad=(9, 200, 77),
    )
    meta = read_model(path)[2]
    pixels = picture(2)
    with library.load(path) as model, model.classifier() as classifier:
        for box in ((20.4, 30.6, 30.5, 41.2), (-8.2, 60.1, 40.0, 30.0), (50, 2, 44, 29.5)):
            seen = classifier.score(pixels, box=box)
            cut = scoring.cut_face(pixels, box, meta)
            again = classifier.score(cut, whole=True)
            assert again.logit == pytest.approx(seen.logit, abs=1e-5), box


def test_unknown_crop_rules_are_refused():
    scoring.check_rule(Metadata())
    for changes in ({"face_rounding": "even"}, {"face_least": 64}, {"face_align": "32x32,real"}):
        with pytest.raises(InputRefused, match="crop rule"):
            scoring.check_rule(Metadata(**changes))


class Brightness:
    """A scorer that says fake of the dark, and finds no face where the first row is black."""

    def __init__(self, way: str = "frame") -> None:
        self.way, self.seen = way, []

    def subject(self, pixels):
        if self.way == "crop":
            return None if self.score(pixels) is None else pixels[10:-10, 10:-10]
        return pixels

    def score(self, pixels):
        self.seen.append(pixels.shape)
        if self.way == "frame" and (pixels[0] < 16).all():
            return None
        logit = (90 - float(pixels.mean())) / 10
        return FaceScore(1 / (1 + np.exp(-logit)), logit, "real", (0, 0, 1, 1))


@needs_library
def test_every_cell_is_the_altered_picture(library, photos):
    pictures = find(str(photos)).pictures
    wanted = [("jpeg", 5), ("crop_pad", 5), ("gaussian_blur=2", 0)]
    preparation = Preparation(64, 80)
    scores = bench.score(pictures, wanted, library, Brightness, preparation, jobs=3)
    assert list(scores.logits) == [("clean", 0), ("dfdc_like", 0), *wanted]
    assert scores.pictures == pictures and not scores.failed
    assert (scores.sizes == (96, 80)).all()
    for i in (0, 30):
        pixels = preparation.begin(library.decode(Path(pictures[i].path).read_bytes()))
        for cell in wanted[::2]:
            altered = preparation.end(alter(pixels, *cell, pictures[i].key))
            assert scores.logits[cell][i] == Brightness().score(altered).logit
        # crop_pad blackens the first row: no face.
        assert np.isnan(scores.logits[("crop_pad", 5)][i])
        mixed = mix_cell(pictures[i].key)
        altered = preparation.end(alter(pixels, *mixed, pictures[i].key) if mixed else pixels)
        face = Brightness().score(altered)
        expected = np.nan if face is None else face.logit
        assert np.array_equal(scores.logits[("dfdc_like", 0)][i], expected, equal_nan=True)
    assert scores.altered == np.mean([mix_cell(p.key) is not None for p in pictures])
    # One job or three, the same numbers of the same pixels.
    alone = bench.score(pictures, wanted, library, Brightness, preparation, jobs=1)
    assert alone.digests == scores.digests
    assert all(
        np.array_equal(alone.logits[c], scores.logits[c], equal_nan=True) for c in alone.logits
    )
    assert len(set(scores.digests.values())) == len(scores.digests)


@needs_library
def test_crop_alters_the_face_that_was_found_before(library, photos):
    made = []

    def new():
        made.append(Brightness("crop"))
        return made[-1]

    pictures = find(str(photos)).pictures[:3]
    scores = bench.score(pictures, [("crop_pad", 5)], library, new, Preparation(), 1)
    assert not np.isnan(scores.logits[("crop_pad", 5)]).any()
    assert made[-1].seen.count((96, 80, 3)) == 3  # once a picture
    assert (76, 60, 3) in made[-1].seen


@needs_library
def test_a_damaged_picture_stops_nothing(library, tmp_path):
    folder(tmp_path, 2, 2)
    (tmp_path / "real" / "00.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    pictures = find(str(tmp_path)).pictures
    scores = bench.score(pictures, [], library, Brightness, Preparation(), 2)
    assert [path for path, _ in scores.failed] == [str(tmp_path / "real" / "00.png")]
    assert len(scores.pictures) == 3 == len(scores.logits[("clean", 0)])


# ---- figures ----


def scores_of(logits: dict, fake: np.ndarray) -> bench.Scores:
    pictures = [Picture(f"{i}", f"{i}", bool(f)) for i, f in enumerate(fake)]
    digests = dict.fromkeys(logits, "0" * 32)
    return bench.Scores(pictures, logits, digests, np.ones((len(fake), 2), int), 0.79)


def test_summary():
    logits, fake = gaussian_scores(100, 2.0)
    blind = np.full(200, np.nan)
    half = np.where(np.arange(200) % 2 == 0, logits, np.nan)
    summary = bench.summarise(
        scores_of(
            {("clean", 0): logits, ("jpeg", 1): logits * 3, ("jpeg", 5): blind, ("flip", 1): half},
            fake,
        ),
        1.0,
        (0.4, 0.6),
        200,
    )
    clean, (same, none, some) = summary.clean, summary.cells
    assert same.auc == clean.auc and same.fall.value == same.fall.low == same.fall.high == 0
    assert same.log_loss > clean.log_loss and same.calibration_error > clean.calibration_error
    assert (none.auc.value, none.no_face, none.uncertain) == pytest.approx((0.5, 1, 1))
    assert none.log_loss == pytest.approx(np.log(2)) and np.isnan(none.auc_found)
    assert none.accuracy_half == pytest.approx(0.5) and np.isnan(none.right)
    assert none.fall.value == pytest.approx(clean.auc.value - 0.5)
    assert (some.no_face, some.no_face_real, some.no_face_fake) == pytest.approx((0.5,) * 3)
    assert 0.5 < some.auc.value < some.auc_found
    assert summary.mean_auc.value == pytest.approx(
        np.mean([cell.auc.value for cell in summary.cells])
    )
    assert summary.mean_fall.value == pytest.approx(clean.auc.value - summary.mean_auc.value)
    assert summary.mean_auc.low < summary.mean_auc.value < summary.mean_auc.high
    assert summary.mix is None


# ---- control ----


def test_the_control_finds_a_leak_and_nothing_else():
    fake = np.repeat([False, True], 60)
    rng = np.random.RandomState(1)
    pictures = [Picture(f"{i}", f"{i}", bool(f)) for i, f in enumerate(fake)]
    noise = rng.standard_normal((120, 30))
    leak = fake[:, None] + rng.standard_normal((120, 1)) * 0.5
    rows = control.rows(control.Features(pictures, {"noise": noise, "leak": leak}), 200)
    found = {row.features: row.auc for row in rows}
    assert list(found) == ["noise", "leak", "all but the file's"]
    assert found["noise"].low < 0.5 < found["noise"].high
    assert found["leak"].low > 0.85 and found["all but the file's"].low > 0.75


def test_pairs_stay_in_one_fold():
    # Each real picture has a fake of the same key and the same features: nothing can be learnt,
    # and nothing must seem to be, not even the opposite.
    half = np.random.RandomState(2).standard_normal((40, 4))
    values, fake = np.vstack([half, half]), np.repeat([False, True], 40)
    keys = np.array([f"{i % 40}" for i in range(80)])
    scores = control.out_of_fold(values, fake, keys)
    assert np.allclose(scores[:40], scores[40:])


class Corner:
    """A detector that sees a face in the upper left corner of bright pictures."""

    def largest(self, pixels):
        return (0, 0, 40, 40) if pixels.mean() > 100 else None


@needs_library
def test_the_face_is_measured_apart(library, tmp_path):
    bright = picture(1)
    bright[:46, :46] = 255  # a face 1.3 times as large, cut off at the edge
    save(tmp_path / "real" / "0.png", bright)
    save(tmp_path / "fake" / "0.png", picture(2) // 3)
    found = find(str(tmp_path)).pictures
    groups = control.features(found, library, Preparation(0, 0), Corner()).groups
    dark, light = groups["8x8 thumbnail, face"]
    assert (light == 1).all() and not (groups["8x8 thumbnail"][1] == 1).all()
    assert np.array_equal(dark, groups["8x8 thumbnail"][0])
    assert groups["sharpness, face"][1][0] < -5 < groups["sharpness"][1][0]


def test_features():
    sharp = picture(3, 128, 128)
    soft = alter(sharp, "gaussian_blur", 5, "")
    assert control.sharpness(soft)[0] < control.sharpness(sharp)[0] - 1
    assert len(control.thumbnail(sharp)) == 192
    assert np.mean(control.thumbnail(sharp)) == pytest.approx(sharp.mean() / 255, abs=0.01)
    few = [Picture(f"{i}", f"{i}", i % 2 == 0) for i in range(6)]
    assert control.rows(control.Features(few, {"x": np.zeros((6, 1))})) == []
    assert control.rows(control.Features([], {})) == []


# ---- the commands ----


@needs_library
def test_evaluate_writes_what_it_prints(photos, model_path, tmp_path, capsys):
    arguments = ["evaluate", photos, "--model", model_path, "--whole", "--jobs", 2, "-q"]
    arguments += ["--alterations", "jpeg,rotation=7", "--levels", "2,5", "--bootstrap", 50]
    out = tmp_path / "r.json"
    assert main([str(a) for a in [*arguments, "--json", out, "--plots", tmp_path / "p"]]) == 0
    text = capsys.readouterr().out
    content = json.loads(out.read_text())
    assert content["schema"] == report.SCHEMA and content["way"] == "whole"
    assert content["pictures"] == {"real": 24, "fake": 24, "failed": []}
    assert content["preparation"] == {"side": 0, "quality": 90}
    names = [(cell["name"], cell["level"]) for cell in content["cells"]]
    assert names == [("jpeg", 2), ("jpeg", 5), ("rotation=7", 0)]
    for cell in (content["clean"], content["dfdc_like"], *content["cells"]):
        low, high = cell["auc"][1:]
        assert low <= high and cell["log_loss"] >= 0 and cell["no_face"] == 0
        assert f"{cell['auc'][0]:.3f} [{low:.3f}, {high:.3f}]" in text
    assert set(content["scores"]["logit"]) == {"clean", "dfdc_like", "jpeg:2", "jpeg:5"} | {
        "rotation=7"
    }
    assert len(content["scores"]["logit"]["jpeg:5"]) == 48 == len(content["scores"]["key"])
    assert "all but the file's" in text and all(len(line) <= 140 for line in text.splitlines())
    for name in ("overview.png", "alterations.png"):
        assert cv2.imread(str(tmp_path / "p" / name)).shape[1] > 300
    # Again, and with another model: the same pixels.
    other = tiny.write(tmp_path / "other.safetensors", resize="squash", temperature=3.0)
    arguments[3] = other
    arguments += ["--no-control"]
    assert main([str(a) for a in [*arguments, "--json", tmp_path / "o.json"]]) == 0
    second = json.loads((tmp_path / "o.json").read_text())
    assert [c["pixels"] for c in second["cells"]] == [c["pixels"] for c in content["cells"]]
    assert second["scores"]["logit"] != content["scores"]["logit"]


@needs_library
def test_calibrate_from_scores_and_from_pictures(photos, model_path, tmp_path, capsys):
    scores = tmp_path / "r.json"
    common = [str(photos), "--whole", "-q"]
    quick = ["--alterations", "none", "--no-control", "--bootstrap", "50"]
    model = str(model_path)
    assert main(["evaluate", *common, "--model", model, *quick, "--json", str(scores)]) == 0
    by_scores, by_pictures = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    stored = ["--scores", str(scores), "--on", "both"]
    assert main(["calibrate", model, *stored, "-o", str(by_scores)]) == 0
    assert main(["calibrate", model, *common, "--on", "both", "-o", str(by_pictures)]) == 0
    assert by_scores.read_bytes() == by_pictures.read_bytes()
    assert "48 real, 48 fake" in capsys.readouterr().out
    meta = read_model(by_scores)[2]
    assert meta.extra["x.calibration"].endswith("uncertain")
    assert "(clean and dfdc_like)" in meta.extra["x.calibration"]
    # The library takes it, and the scores are those of another model now.
    assert main(["evaluate", *common, "--model", str(by_scores), *quick]) == 0
    assert f"temperature {meta.temperature:g}" in capsys.readouterr().out
    assert main(["calibrate", str(by_scores), *stored, "-o", str(tmp_path / "c")]) == 2
    assert "scores of another model" in capsys.readouterr().err


@needs_library
def test_control_alone_runs_no_model(photos, tmp_path, capsys):
    arguments = ["evaluate", str(photos), "--control", "--model", "does not exist"]
    arguments += ["--whole"]
    arguments += ["--bootstrap", "50"]
    assert main([*arguments, "--json", str(tmp_path / "c.json")]) == 0
    text = capsys.readouterr().out
    # The fakes of this folder are darker: exactly what the control is for.
    rows = {
        r["features"]: r["auc"] for r in json.loads((tmp_path / "c.json").read_text())["control"]
    }
    assert rows["8x8 thumbnail"][0] > 0.9 and "8x8 thumbnail" in text
    assert rows["file: pixels"][0] == 0.5


def test_list_names_every_alteration(capsys):
    assert main(["evaluate", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20 and sum("clips only" in line for line in lines) == 2
    assert {line.split()[0] for line in lines if "clips" not in line} == {c[0] for c in cells()}


@needs_library
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["evaluate", "--alterations", "fog"], "there is no alteration 'fog'"),
        (["evaluate", "--alterations", "h264"], "h264 alters clips"),
        (["evaluate", "--levels", "6"], "levels are 1 to 5"),
        (["evaluate", "nowhere"], "nowhere: is not a folder"),
        (["evaluate"], "no picture lies in a folder named 'real'"),
        (["evaluate", "PHOTOS", "--model", "nowhere"], "nowhere"),
        (["evaluate", "PHOTOS", "--library", "nowhere.so"], "nowhere.so"),
        (["evaluate", "PHOTOS", "--detector", "nowhere"], "./dev detector"),
        (["evaluate", "PHOTOS", "--control", "--detector", "nowhere"], "./dev detector"),
        (["calibrate", "MODEL", "-o", "x"], "one of them"),
        (["calibrate", "MODEL", "PHOTOS", "--scores", "x", "-o", "x"], "one of them"),
        (["calibrate", "MODEL", "--scores", "MODEL", "-o", "x"], "is not what"),
    ],
)
def test_refusals_are_a_sentence(arguments, says, photos, model_path, capsys):
    places = {"PHOTOS": str(photos), "MODEL": str(model_path)}
    assert main([places.get(a, a) for a in arguments]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_a_missing_package_is_named(monkeypatch, capsys):
    for name in [n for n in sys.modules if n.startswith("weights_tools.evaluate")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert main(["evaluate", "--list"]) == 2
    error = capsys.readouterr().err
    assert "cv2" in error and "requirements-evaluate.txt" in error and error.count("\n") == 1


def test_the_converter_needs_none_of_it(model_path, monkeypatch, capsys):
    for name in ("cv2", "scipy", "sklearn", "matplotlib", "tqdm"):
        for loaded in [n for n in sys.modules if n.split(".")[0] == name]:
            monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["info", str(model_path)]) == 0
