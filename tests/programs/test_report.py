"""The HTML report: what it says, what it escapes, and that a browser opens it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from child import MP4, child, colours
from conftest import ASTRONAUT, BOX, FACE, HOSTILE, ROOT, Run, pixels

VOID = {"meta", "img", "rect", "line"}


class Page(HTMLParser):
    """Text, elements, and whether each element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.open, self.elements = "", [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def made(dfnet: Run, tiny: Path, other: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """The page, its path, and the scores of the same run."""
    folder = tmp_path_factory.mktemp("report")
    odd = folder / (HOSTILE.replace("/", "_") + ".jpg")
    shutil.copy(FACE, odd)
    (folder / "broken<b>.jpg").write_bytes(b"no picture")
    page = folder / "report.html"
    boxes = ("-b", BOX, "-b", "20,20,90,90")
    done = dfnet(
        *("classify", "-j", "-m", tiny, "-m", other, *boxes, "--report", page),
        *(ASTRONAUT, odd, folder / "broken<b>.jpg"),
    )
    assert done.returncode == 2 and done.stderr == b""
    return page.read_text(), page, [json.loads(x) for x in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def clip(dfnet: Run, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """The same of a video of two hours with 200 frames, broken off for a hostile reason."""
    folder = tmp_path_factory.mktemp("clip")
    (folder / "clip<i>.mp4").write_bytes(MP4)
    page = folder / "report.html"
    env = child(folder, colours(200, 7200, b"<script>'\"&"))
    words = ("--whole", "--frames", "all", "-j", "-m", tiny, "--report", page)
    done = dfnet("classify", *words, folder / "clip<i>.mp4", env=env)
    assert done.returncode == 0 and done.stderr == b""
    return page.read_text(), page, [json.loads(x) for x in done.stdout.splitlines()]


def test_says_what_the_rows_say(made: tuple) -> None:
    page = Page(made[0])
    assert page.open == []
    for row in made[2][:2]:
        for score in (row, *row["faces"]):
            assert f"{100 * score['fake']:.1f} %" in page.text
            assert f"logit {score['logit']:.3f}" in page.text
    for words in ("hint, never a proof", "mean-prob", "Failed:", "n<script>", "l<script>"):
        assert words in page.text
    pictures = [a for tag, a in page.elements if tag == "img"]
    assert len(pictures) == 6 and all(a["alt"] for a in pictures)
    for picture in pictures:
        assert base64.b64decode(picture["src"].split(",")[1], validate=True)[:4] == b"\x89PNG"


@pytest.mark.parametrize("which", ["made", "clip"])
def test_escapes(which: str, request: pytest.FixtureRequest) -> None:
    made = request.getfixturevalue(which)
    page = Page(made[0])
    assert page.open == []
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "b>.jpg", "i>.mp4", "i", "iframe", "object", "link", "a"}
    assert not [c for c in made[0] if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160)]
    assert "\u202e" not in made[0]
    for _, attributes in page.elements:
        assert not [k for k in attributes if k.startswith("on") or k in ("style", "href")]


def test_policy(made: tuple) -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", made[0], re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', made[0])
    assert f"style-src 'sha256-{digest}'" in policy, "belongs into report_style.c"
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "http" not in re.sub(r'http-equiv="|data:[^"]*', "", made[0])


def strips(page: str) -> list[list[tuple[str, float, np.ndarray]]]:
    """Of each row of pictures: letter and time, score, the picture's mean colour."""
    found = []
    for strip in re.findall(r'<ul class="strip[^"]*">(.*?)</ul>', page):
        found.append([])
        for item in re.findall(r"<li>(.*?)</li>", strip):
            (png,) = re.findall(r'src="data:image/png;base64,([^"]*)"', item)
            when, score = re.fullmatch(r"(.*) ([\d.]+) %", re.sub(r"<[^>]*>", "", item)).groups()
            found[-1].append((when, float(score), base64.b64decode(png)))
    return found


def test_a_clip_says_what_its_row_says(clip: tuple) -> None:
    page, (row,) = Page(clip[0]), clip[2]
    for words in ("Video of 2:00:00.0, 32 \u00d7 32", "200 of its 200 frames", "Person 1",
                  "From 0.0 s to 1:59:24.0, found in 200 frames", "<script>'\"&",
                  "Real or fake? 1 file", f"{100 * row['fake']:.1f} %",
                  f"logit {row['logit']:.3f}"):  # fmt: skip
        assert words in page.text, words
    (label,) = [
        a["aria-label"]
        for tag, a in page.elements
        if tag == "svg" and "Score of person 1 over time" in a.get("aria-label", "")
    ]
    scores = [100 * face["fake"] for face in row["tracks"][0]["faces"]]
    assert f"{min(scores):.1f} % to {max(scores):.1f} %" in label
    assert "below 0.25 real, from 0.75 fake" in label
    limits = [a["d"] for t, a in page.elements if t == "path" and "limit " in a["class"]]
    assert limits == ["M0 30.0H1000", "M0 90.0H1000"]
    axis = re.findall(r'text-anchor="(?:start|middle|end)">([\d:]+(?: s)?)</text>', clip[0])
    assert axis == ["0 s", "1:00:00"]


def test_the_curve_goes_through_the_scores(clip: tuple) -> None:
    (curve,) = re.findall(r'class="curve" d="M([^"]*)"', clip[0])
    points = [tuple(map(float, p.split())) for p in curve.replace("h0", "").split("L")]
    faces = clip[2][0]["tracks"][0]["faces"]
    last = faces[-1]["seconds"]
    assert len(points) == len(faces)
    for (x, y), face in zip(points, faces, strict=True):
        assert x == pytest.approx(1000 * face["seconds"] / last, abs=0.06)
        assert y == pytest.approx(120 * (1 - face["fake"]), abs=0.06)


def test_pictures_of_a_clip_are_those_of_their_times(clip: tuple, tmp_path: Path) -> None:
    faces = clip[2][0]["tracks"][0]["faces"]
    thumbs, maps = strips(clip[0])
    assert len(thumbs) == 6 and len(maps) == 3
    times = []
    for _, score, png in thumbs:
        (tmp_path / "thumb.png").write_bytes(png)
        red, green, blue = pixels(tmp_path / "thumb.png").mean(axis=(0, 1))
        face = faces[round(red - 8) + round((green - 8) / 16)]
        assert blue == 128 and score == pytest.approx(100 * face["fake"], abs=0.051)
        times.append(face["seconds"])
    assert np.allclose(np.diff(times), 7164 / 5, atol=36)
    assert [when[0] for when, _, _ in maps] == ["A", "B", "C"]
    best = max(faces, key=lambda face: face["fake"])
    assert max(score for _, score, _ in maps) == pytest.approx(100 * best["fake"], abs=0.051)


def test_a_page_does_not_grow_with_the_clip(dfnet: Run, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(MP4)
    sizes = []
    for count in (1500, 9000):
        page = tmp_path / f"{count}.html"
        words = ("--whole", "--frames", "all", "-q", "-m", tiny, "--report", page)
        env = child(tmp_path, colours(count, 600))
        assert dfnet("classify", *words, tmp_path / "a.mp4", env=env).returncode == 0
        text = page.read_text()
        assert f"{count} of its {count} frames" in text and len(strips(text)[0]) == 6
        (curve,) = re.findall(r'class="curve" d="([^"]*)"', text)
        sizes.append(len(curve))
    assert sizes[1] < 60000 and sizes[1] < 4 * sizes[0]


def test_a_clip_that_cannot_be_decoded_twice(dfnet: Run, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(MP4)
    page = tmp_path / "page.html"
    dies = 'import os, sys\nif sys.argv[1].startswith("list:"):\n    os.abort()\n'
    words = ("--whole", "-j", "-m", tiny, "--report", page)
    env = child(tmp_path, dies + colours(9, 3))
    done = dfnet("classify", *words, tmp_path / "a.mp4", env=env)
    assert done.returncode == 0 and b"error" not in done.stdout
    text = Page(page.read_text()).text
    assert "could not be decoded again: the decoding process crashed" in text
    assert "Person 1" in text and "data:image" not in page.read_text()


def test_faces_without_a_score(dfnet: Run, tmp_path: Path) -> None:
    """A network of sequences scores some frames, or none; others beside it score all."""
    models = ROOT / "tests" / "api" / "models"
    (tmp_path / "a.mp4").write_bytes(MP4)
    env = child(tmp_path, colours(2, 3))
    pages = []
    for others in ((), ("-m", models / "sigmoid_squash_clamp.safetensors")):
        page = tmp_path / "page.html"
        words = ("-w", "-q", "-m", models / "sequence.safetensors", *others, "--report", page)
        assert dfnet("classify", *words, tmp_path / "a.mp4", env=env).returncode == 0
        pages.append(page.read_text())
        text = Page(pages[-1]).text
        assert text.count("No score of sequence (takes 3 video frames of a face in a row)") == 2
    assert "No score.No score of" in Page(pages[0]).text
    assert "curve" not in pages[0].split("</style>")[1]
    assert "over time" not in pages[0].split("Person 1")[1].split("Each line")[0]
    assert pages[1].count('class="curve"') == 1 and len(strips(pages[1])) == 2


def browse(folder: Path, page: Path, *flags: str) -> subprocess.CompletedProcess:
    """Opens the page in headless Chromium and returns the finished process."""
    browser = shutil.which("chromium")
    if not browser:
        pytest.skip("chromium is not installed, so no browser opened the report")
    common = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    common += " --disable-background-networking --disable-component-update --hide-scrollbars"
    command = [browser, *common.split(), f"--user-data-dir={folder}/profile", *flags]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def test_a_browser_opens_it(made: tuple, tmp_path: Path) -> None:
    done = browse(tmp_path, made[1], "--dump-dom", "--enable-logging=stderr")
    assert "CONSOLE" not in done.stderr, done.stderr
    text = re.sub(r"<[^>]*>", "", done.stdout)
    assert f"{100 * made[2][0]['fake']:.1f} %" in text and "hint, never a proof" in text


@pytest.mark.parametrize("which", ["made", "clip"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(("scheme", "page"), [(0, (0x11, 0x16, 0x1C)), (1, (0xF6, 0xF7, 0xF9))])
def test_a_browser_shows_it(
    which: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    width: int,
    scheme: int,
    page: tuple,
) -> None:
    """Dark (0) and light, wide and as narrow as a phone: the page's own colour, and nothing that
    reaches over the edge of what it stands in."""
    out = tmp_path / "shot.png"
    browse(
        tmp_path,
        request.getfixturevalue(which)[1],
        f"--window-size={width},3000",
        f"--blink-settings=preferredColorScheme={scheme}",
        f"--screenshot={out}",
    )
    shot = pixels(out)
    assert shot.shape == (3000, width, 3)
    for edge in (shot[:, :8], shot[:, -8:]):
        assert (edge == page).all()
    inside = shot[:, 16:-16].reshape(-1, 3)
    assert len(np.unique(inside, axis=0)) > 1000, "the pictures are there"
    if which == "clip":
        # The dashes of both thresholds reach over most of the width.
        light = ((0xB3, 0x26, 0x1E), (0x17, 0x70, 0x3F))
        for colour in light if scheme else ((0xFF, 0x9A, 0x90), (0x6F, 0xD3, 0x9B)):
            like = np.abs(shot.astype(int) - colour).max(axis=2) < 70
            assert like.sum(axis=1).max() > 0.3 * min(width, 1088), colour
