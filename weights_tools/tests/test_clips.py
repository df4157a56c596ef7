"""Clips: decoding, alterations over time, encoding, and scores by a program that is asked.

The program here is a few lines of Python that decode the clip and call bright ones fake; the last
test asks the real dfnet, if it was built with video.
"""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_models as tiny
from evaluation import picture, psnr

av = pytest.importorskip("av")

from weights_tools.__main__ import main  # noqa: E402
from weights_tools.engine import find_library  # noqa: E402
from weights_tools.evaluate import clip_scoring, clips  # noqa: E402
from weights_tools.evaluate.alterations import MOTIONS, TABLE, alter, cells, mix_cell  # noqa: E402
from weights_tools.evaluate.clips import ClipError, ClipPreparation, alter_clip  # noqa: E402
from weights_tools.evaluate.pictures import Picture, find  # noqa: E402

ROOT = Path(__file__).parents[2]
FACES = {
    name: sorted((ROOT / "examples" / "faces" / name).glob("*.jpg")) for name in ("real", "fake")
}
PREPARATION = ClipPreparation()
needs_library = pytest.mark.skipif(find_library() is None, reason="libdfnet was not found")

JUDGE = """#!{python}
import json, os, sys
sys.path[:0] = {path!r}
import av
import numpy as np
assert sys.argv[1] == "classify" and "--null" in sys.argv
names, name = sys.stdin.buffer, b""
while byte := names.read(1):
    if byte != b"\\0":
        name += byte
        continue
    row = {{"schema": 1, "path": os.fsdecode(name), "faces": []}}
    with av.open(os.fsdecode(name)) as clip:
        light = np.mean([f.to_ndarray(format="gray").mean() for f in clip.decode(video=0)])
    p = 1 / (1 + np.exp((light - 100) / 10))
    row |= {{"verdict": "none"}} if light < 20 else {{"verdict": "fake", "fake": p}}
    print(json.dumps(row), flush=True)
    name = b""
"""


def write_clip(path: Path, pictures: list[np.ndarray], rate: int = 30) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = ((i / rate, pixels) for i, pixels in enumerate(pictures))
    clips.encode(frames, str(path), 10)
    return path


def moving(seed: int, count: int = 30, factor: float = 1.0) -> list[np.ndarray]:
    """A picture that drifts."""
    wide = picture(seed, 96, 160)
    return [(wide[:, i : i + 96] * factor).astype(np.uint8) for i in range(count)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "a.mp4", moving(1, 60))


def frames_of(path, preparation=PREPARATION) -> list[np.ndarray]:
    return [pixels for _, pixels in clips.decode(str(path), preparation)]


def through(path: Path, name: str, level: int, key: str = "k") -> list[tuple[float, np.ndarray]]:
    """Frames after an alteration, not encoded."""
    return list(alter_clip(clips.decode(str(path), PREPARATION), name, level, key))


# ---- decoding and encoding ----


def test_frames_come_back(clip):
    original = moving(1, 60)
    found = list(clips.decode(str(clip), PREPARATION))
    assert [round(time * 30) for time, _ in found] == list(range(60))
    assert all(psnr(a, b) > 30 for a, (_, b) in zip(original, found, strict=True))
    half = frames_of(clip, ClipPreparation(side=48, seconds=1))
    assert len(half) == 30 and half[0].shape == (48, 48, 3)
    assert len(frames_of(clip, ClipPreparation(seconds=0))) == 60


def test_frames_are_upright(clip, tmp_path):
    turned = tmp_path / "turned.mp4"
    # A display matrix in the track's header (ISO 14496-12, tkhd): a quarter turn, 16.16 and 2.30.
    data = clip.read_bytes()
    unit, one = 0x10000, 0x40000000
    plain = b"".join(n.to_bytes(4, "big", signed=True) for n in (unit, 0, 0, 0, unit, 0, 0, 0, one))
    right = (0, unit, 0, -unit, 0, 0, 0, 0, one)
    at = data.index(plain, data.index(b"tkhd"))
    matrix = b"".join(n.to_bytes(4, "big", signed=True) for n in right)
    turned.write_bytes(data[:at] + matrix + data[at + len(matrix) :])
    expected = np.rot90(frames_of(clip)[0], -1)  # x right becomes y down: clockwise
    assert np.array_equal(frames_of(turned)[0], expected)


def test_odd_sides_lose_a_row(tmp_path):
    path = str(tmp_path / "odd.mp4")
    digest, count = clips.encode(((i / 10, picture(i, 51, 47)) for i in range(3)), path, 20)
    assert count == 3 and len(digest) == 64 and frames_of(path)[0].shape == (50, 46, 3)


def test_what_is_no_clip_says_so(clip, tmp_path):
    broken, sound = tmp_path / "broken.mp4", tmp_path / "sound.mp4"
    broken.write_bytes(clip.read_bytes()[:500])
    with av.open(str(sound), "w") as out:
        stream = out.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
        out.mux([*stream.encode(frame), *stream.encode()])
    for path, says in ((broken, "."), (sound, "has no video"), (tmp_path / "no.mp4", "No such")):
        with pytest.raises(ClipError, match=says):
            frames_of(path)
    with pytest.raises(ClipError, match="change their size"):
        frames = ((i / 10, picture(0, 48 + 2 * i, 48)) for i in range(2))
        clips.encode(frames, str(tmp_path / "x.mp4"), 20)
    with pytest.raises(ClipError, match="no frame"):
        clips.encode(iter(()), str(tmp_path / "y.mp4"), 20)


# ---- alterations ----


def test_all_twenty_are_for_clips():
    every = cells(clips=True)
    assert len(every) == 19 * 5 + 2 and {name for name, _ in every} == {row.name for row in TABLE}
    assert cells(["overlay_dots@roll", "h264=30"], [2], clips=True) == [
        ("overlay_dots@roll", 2),
        ("h264=30", 0),
    ]
    for name in ("jpeg@roll", "overlay_text@spin", "overlay_text@"):
        with pytest.raises(ValueError, match="only overlays move"):
            cells([name], clips=True)
    with pytest.raises(ValueError, match="no alteration"):
        cells(["overlay_text@roll"])
    mixed = {mix_cell(f"{i}", clips=True) for i in range(400)}
    assert {cell[0] for cell in mixed if cell} == {row.name for row in TABLE} and None in mixed


@pytest.mark.parametrize("name", [row.name for row in TABLE if row.change])
def test_the_first_frame_is_altered_as_a_picture(clip, name):
    level = 5
    expected = alter(frames_of(clip)[0], name, level, "k")
    if name in ("gaussian_noise", "salt_pepper"):
        expected = alter(frames_of(clip)[0], name, level, "k\0" + "0")
    wanted = f"{name}@stay" if name.startswith("overlay") else name
    first = through(clip, wanted, level)[0][1]
    assert first.shape == expected.shape
    # Many soft edges over each other round differently when drawn first and laid over then.
    apart = np.abs(first.astype(int) - expected)
    assert apart.max() <= (8 if "overlay" in name else 0) and apart.mean() < 0.4


def test_noise_is_drawn_anew_and_signs_stay(clip):
    original = frames_of(clip)
    for name in ("gaussian_noise", "salt_pepper"):
        one, two = (through(clip, name, 3)[i][1].astype(int) - original[i] for i in (0, 1))
        assert not np.array_equal(one, two)
    brighter = [
        np.sign(np.mean(pixels.astype(int) - before))
        for (_, pixels), before in zip(through(clip, "brightness", 3), original, strict=True)
    ]
    assert len(set(brighter)) == 1


@pytest.mark.parametrize(("level", "rate"), [(1, 24), (2, 20), (3, 15), (4, 10), (5, 5)])
def test_fps_leaves_frames_out(clip, level, rate):
    found = through(clip, "fps", level)
    times = np.array([time for time, _ in found])
    assert len(found) == 2 * rate and times[0] == 0
    assert np.diff(times).min() > 0.5 / rate and abs(times[-1] - (2 - 1 / rate)) < 1 / 30 + 1e-6
    # What has fewer frames already keeps them.
    assert len(through(clip, "fps=24", 0)) == 48


def test_h264_is_coarser_with_every_level(clip, tmp_path):
    original, sizes, quality, digests = frames_of(clip), [], [], set()
    for level in range(1, 6):
        path = str(tmp_path / f"{level}.mp4")
        crf = clips.crf_of(("h264", level), PREPARATION)
        assert crf == (23, 28, 32, 36, 40)[level - 1]
        digests.add(clips.encode(iter(through(clip, "h264", level)), path, crf)[0])
        sizes.append(Path(path).stat().st_size)
        quality.append(np.mean([psnr(*p) for p in zip(original, frames_of(path), strict=True)]))
    assert sorted(sizes, reverse=True) == sizes and sorted(quality, reverse=True) == quality
    assert len(digests) == 5 and clips.crf_of(("h264=30", 0), PREPARATION) == 30
    assert clips.crf_of(("jpeg", 1), PREPARATION) == 18


def layer(pixels: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Where the overlay is."""
    return np.abs(pixels.astype(int) - before).max(axis=2) > 8


@pytest.mark.parametrize(
    "name", ["overlay_image", "overlay_text", "overlay_shapes", "overlay_dots"]
)
def test_overlays_stay_roll_and_flash(tmp_path, name):
    # Over a colour that no overlay has, its place is plain to see.
    grey = np.full((96, 128, 3), (90, 131, 77), np.uint8)
    path = write_clip(tmp_path / "grey.mp4", [grey] * 60)
    before = frames_of(path)
    places = {
        motion: [
            layer(pixels, ground)
            for (_, pixels), ground in zip(
                through(path, f"{name}@{motion}", 5), before, strict=True
            )
        ]
        for motion in MOTIONS
    }
    stay, roll, flash = (places[motion] for motion in MOTIONS)
    assert stay[0].any() and all(np.array_equal(stay[0], one) for one in stay)
    assert np.array_equal(roll[0], stay[0])
    for i in (1, 7, 30):
        assert any(np.array_equal(roll[i], np.roll(stay[0], 10 * i, axis)) for axis in (0, 1))
    on = [one.any() for one in flash]
    assert on == [int(i / 30 / 0.5) % 2 == 0 for i in range(60)]
    assert all(np.array_equal(one, stay[0]) for one in flash if one.any())


def test_keys_choose_the_motion():
    chosen = {clips.motion_of("overlay_text", 2, f"{i}") for i in range(30)}
    assert chosen == set(MOTIONS) and clips.motion_of("overlay_text@roll", 2, "0") == "roll"


def test_every_model_sees_the_same(clip, tmp_path):
    def digest(name: str, key: str) -> str:
        frames = alter_clip(clips.decode(str(clip), PREPARATION), name, 3, key)
        return clips.encode(frames, str(tmp_path / "out.mp4"), 18)[0]

    for name in ("overlay_text", "gaussian_noise", "rotation"):
        first = digest(name, "k")
        np.random.seed(5)
        assert {digest(name, "k") for _ in range(12)} == {first}
    assert digest("overlay_text", "k") != digest("overlay_text", "other")


# ---- scores ----


def test_rows_become_logits():
    assert clip_scoring.logit_of({"verdict": "fake", "fake": 0.5}, 2) == 0
    assert clip_scoring.logit_of({"verdict": "real", "fake": 0.2}, 3) == pytest.approx(
        3 * np.log(0.25)
    )
    assert np.isfinite(clip_scoring.logit_of({"verdict": "fake", "fake": 1.0}, 1))
    assert np.isnan(clip_scoring.logit_of({"verdict": "none", "faces": []}, 1))
    with pytest.raises(ClipError, match="no luck"):
        clip_scoring.logit_of({"error": "no luck", "where": ""}, 1)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("program") / "judge"
    path.write_text(JUDGE.format(python=sys.executable, path=sys.path))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Faces in the public domain that drift; the fakes are darker."""
    path = tmp_path_factory.mktemp("clips")
    for label, factor in (("real", 1.0), ("fake", 0.6)):
        faces = [cv2.resize(cv2.imread(str(p))[..., ::-1], (120, 96)) for p in FACES["real"]]
        for i in range(5):
            wide = faces[i % len(faces)] * (factor - i / 20)
            drift = [wide[:, t : t + 96].astype(np.uint8) for t in range(12)]
            write_clip(path / label / f"{i}.mp4", drift)
    (path / "fake" / "note.png").write_bytes(b"no picture")
    (path / "real" / "broken.mp4").write_bytes(b"no clip")
    return path


def judge(program: Path) -> clip_scoring.Judge:
    return clip_scoring.Judge(str(program), "m", None, "whole", 2.0)


def test_scores_are_those_of_the_altered_clips(program, folder, tmp_path):
    found = find(str(folder)).clips
    assert len(found) == 11 and {c.key for c in found} == {f"{i}.mp4" for i in range(5)} | {
        "broken.mp4"
    }
    wanted = [("brightness", 5), ("overlay_text@flash", 2), ("h264=40", 0)]
    scores = clip_scoring.score(found, wanted, lambda: judge(program), PREPARATION, 2)
    assert [path for path, _ in scores.failed] == [str(folder / "real" / "broken.mp4")]
    assert len(scores.pictures) == 10 and (scores.sizes == (96, 96)).all()
    alone = judge(program)
    for i in (0, 7):
        chosen = scores.pictures[i]
        for cell in wanted:
            frames = alter_clip(clips.decode(chosen.path, PREPARATION), *cell, chosen.key)
            path = str(tmp_path / "out.mp4")
            clips.encode(frames, path, clips.crf_of(cell, PREPARATION))
            assert np.array_equal(scores.logits[cell][i], alone(path), equal_nan=True)
    alone.close()
    again = clip_scoring.score(found, wanted, lambda: judge(program), PREPARATION, 1)
    assert again.digests == scores.digests and len(set(scores.digests.values())) == 5
    assert scores.altered == np.mean([mix_cell(c.key, True) is not None for c in scores.pictures])


def test_a_program_that_ends_is_quoted(tmp_path, folder):
    path = tmp_path / "judge"
    path.write_text("#!/bin/sh\necho 'dfnet: m: cannot be opened' >&2\nexit 4\n")
    path.chmod(0o755)
    one = judge(path)
    with pytest.raises(ClipError, match="m: cannot be opened"):
        one("x.mp4")
    one.close()
    with pytest.raises(ClipError, match="No such file"):
        judge(tmp_path / "nowhere")


@needs_library
def test_evaluate_clips(program, folder, tmp_path, capsys, monkeypatch):
    model = tiny.write(tmp_path / "m.safetensors", resize="squash", temperature=2.0)
    out, plots = tmp_path / "r.json", tmp_path / "plots"
    arguments = ["evaluate", folder, "--clips", "--model", model, "--whole", "-q", "--jobs", 2]
    arguments += ["--alterations", "fps,overlay_shapes@roll", "--levels", "3", "--bootstrap", 50]
    arguments += ["--program", program, "--json", out, "--plots", plots]
    assert main([str(a) for a in arguments]) == 0
    text = capsys.readouterr()
    content = json.loads(out.read_text())
    assert content["subject"] == "clips" and content["pictures"]["real"] == 5
    assert content["pictures"]["failed"][0]["path"].endswith("broken.mp4")
    assert content["preparation"] == {"side": 0, "crf": 18, "seconds": 10.0}
    assert [(c["name"], c["level"]) for c in content["cells"]] == [
        ("fps", 3),
        ("overlay_shapes@roll", 3),
    ]
    assert content["clean"]["auc"][0] == 1.0 and "H.264 with CRF 18" in text.out
    assert "clips     5 real, 5 fake" in text.out and "1 pictures were left out" in text.out
    assert "broken.mp4" in text.err and "8x8 thumbnail" in text.out
    for name in ("overview.png", "alterations.png"):
        assert cv2.imread(str(plots / name)).shape[1] > 300
    # A folder with clips only needs no flag.
    (tmp_path / "only").mkdir()
    for label in ("real", "fake"):
        (tmp_path / "only" / label).symlink_to(folder / label)
    (folder / "fake" / "note.png").unlink()
    monkeypatch.setenv("DFNET_PROGRAM", str(program))
    plain = ["evaluate", tmp_path / "only", "--model", model, "--whole", "-q", "--no-control"]
    plain += ["--alterations", "none", "--bootstrap", 50]
    assert main([str(a) for a in plain]) == 0 and "clips     5 real" in capsys.readouterr().out


@needs_library
@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--crop"], "--crop is for pictures"),
        (["--whole", "--alterations", "jpeg@roll"], "only overlays move"),
        (["--whole", "--program", "/nowhere/dfnet"], "/nowhere/dfnet"),
    ],
)
def test_refusals_are_a_sentence(folder, more, says, capsys):
    assert main(["evaluate", str(folder), "--clips", "--no-control", "-q", *more]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_the_real_program(folder):
    path = clip_scoring.find_program()
    if path is None:
        pytest.skip("dfnet was not found (./dev build)")
    clip = folder / "real" / "0.mp4"
    done = subprocess.run([path, "classify", "--json", "--whole", clip], capture_output=True)
    if "error" in json.loads(done.stdout.splitlines()[0]):
        pytest.skip("this dfnet was built without video")
    model = str(ROOT / "weights_tools" / "models" / "face-lite0.safetensors")
    found = [c for c in find(str(folder)).clips if "broken" not in c.path]
    scores = clip_scoring.score(
        found,
        [("h264", 5)],
        lambda: clip_scoring.Judge(path, model, None, "whole", 1.0),
        PREPARATION,
        2,
    )
    assert not scores.failed and len(scores.pictures) == 10
    assert np.isfinite(scores.logits[("clean", 0)]).all()
    assert not np.array_equal(scores.logits[("clean", 0)], scores.logits[("h264", 5)])


def test_pictures_have_the_key_of_their_clip(folder, tmp_path):
    chosen = [c for c in find(str(folder)).clips if c.key == "1.mp4"]
    frames = clip_scoring.middle_frames(
        [*chosen, Picture("/no.mp4", "x", True)], PREPARATION, str(tmp_path)
    )
    assert [(f.key, f.fake) for f in frames] == [(c.key, c.fake) for c in chosen]
    shown = cv2.imread(frames[0].path)[..., ::-1]
    assert np.array_equal(shown, frames_of(chosen[0].path)[6])
