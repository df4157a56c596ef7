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
from conftest import ASTRONAUT, BOX, FACE, HOSTILE, Run, pixels

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


def test_escapes(made: tuple) -> None:
    page = Page(made[0])
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "b>.jpg", "iframe", "object", "link", "a"}
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


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(("scheme", "page"), [(0, (0x11, 0x16, 0x1C)), (1, (0xF6, 0xF7, 0xF9))])
def test_a_browser_shows_it(
    made: tuple, tmp_path: Path, width: int, scheme: int, page: tuple
) -> None:
    """Dark (0) and light, wide and as narrow as a phone: the page's own colour, and nothing that
    reaches over the edge of what it stands in."""
    out = tmp_path / "shot.png"
    browse(
        tmp_path,
        made[1],
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
