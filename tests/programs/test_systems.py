"""The six shipped pipelines from checkpoint to verdict: converted, found by name, scored, and what
is lacking said. The checkpoints are laid out like the real ones, with random weights in narrow
networks (weights_tools/tests/containers.py)."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path

import pytest
from conftest import BOX, FACE, MILD, ROOT, Run  # first: it says where the next two are

import containers  # isort: skip
import pth_writer as pw  # isort: skip
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
            source = pw.save(folder / "checkpoint.pth", kind.tree(kind.state()))
            path = folder / f"{container}-{system}.safetensors"
            options = Options(system=system, reference=(1, 32, 32), temperature=MILD["temperature"])
            convert(source, path, options)
            made[container, system] = path
    return made


@pytest.mark.parametrize("name", SYSTEMS)
def test_pipeline(dfnet: Run, models: dict, tmp_path: Path, name: str) -> None:
    pipeline = shutil.copy(PIPELINES / f"{name}.pipeline", tmp_path)
    files = re.findall(r"^file = (.*)$", Path(pipeline).read_text(), re.M)
    assert len(files) == len(SYSTEMS[name])
    for file, pair in zip(files, SYSTEMS[name], strict=True):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(models[pair], tmp_path / file)
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
    if len(files) - sequences > 1:
        assert len(face["models"]) == len(files) - sequences


def test_a_sequence_alone_scores_no_picture(dfnet: Run, models: dict) -> None:
    path = models["ntechlab-sequence", "auto"]
    done = dfnet("classify", "--quiet", "--whole", "--model", path, FACE)
    assert done.returncode == 3 and b"takes sequences of 7 video frames" in done.stderr


def test_heat_map_and_report_of_attention(dfnet: Run, models: dict, tmp_path: Path) -> None:
    drawn, page = tmp_path / "map.png", tmp_path / "page.html"
    path = models["wm", "auto"]
    arguments = ["--whole", "--model", path, "--heatmap", drawn, "--report", page, FACE]
    done = dfnet("classify", *arguments)
    assert done.returncode == 0, done.stderr
    assert drawn.read_bytes()[:4] == b"\x89PNG"
    text = page.read_text()
    assert "no heat map" not in text and text.count("data:image/png") >= 2
