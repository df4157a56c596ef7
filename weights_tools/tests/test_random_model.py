"""Random models: right shapes, finite logits, the same bytes for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from weights_tools.__main__ import main
from weights_tools.arch import variant
from weights_tools.model_file import read_model
from weights_tools.random_model import random_tensors


def test_a_random_model_loads_and_is_sane(tmp_path: Path) -> None:
    out = tmp_path / "lite0.safetensors"
    assert main(["random", "lite0", "-o", str(out), "--outputs", "7", "--dtype", "f16"]) == 0
    arch, tensors, meta = read_model(out)
    assert (arch.variant, arch.outputs, meta.input) == ("lite0", 7, (224, 224))
    assert {name: a.shape for name, a in tensors.items()} == arch.tensors()
    assert 0 < np.abs(meta.reference_logits).max() < 100


def test_the_seed_decides_the_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.safetensors" for i in range(3)]
    for path, seed in zip(paths, ("1", "1", "2"), strict=True):
        assert main(["random", "b0", "-o", str(path), "--seed", seed, "--outputs", "2"]) == 0
    first, again, other = (path.read_bytes() for path in paths)
    assert first == again
    assert first != other


def test_tensors_do_not_depend_on_each_other() -> None:
    small, large = random_tensors(variant("b0", 2), 1), random_tensors(variant("b0", 9), 1)
    assert np.array_equal(small["head.weight"], large["head.weight"])


def test_an_unknown_variant_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["random", "b99", "-o", str(tmp_path / "x")]) == 1
    assert "b99" in capsys.readouterr().err
