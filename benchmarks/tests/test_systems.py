"""benchmarks.systems runs and prints what it promises; how fast is nobody's business here."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from benchmarks import systems
from weights_tools.engine import find_library


@pytest.fixture(autouse=True)
def built():
    if find_library() is None:
        pytest.skip("libdfnet is not built")


def test_both(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "--small b0 --size 64 --rounds 2 --frames 2 --models 2 --threads 1".split()
    assert systems.main(arguments) == 0
    text = capsys.readouterr().out
    assert "WS-DAN b0, 8 maps, 64 x 64, two looks, 1 threads" in text
    assert "2 x B0 at 64 x 64, 2 frames, 1 threads" in text
    assert text.count("largest difference of a logit") == 2
    assert text.count("  2 calls") == 2 and text.count("  4 calls") == 2
    assert text.count("32 frames at its minimum") == 2


def test_other_logits_are_not_timed() -> None:
    with pytest.raises(SystemExit, match="differ too much"):
        systems.agree("x", np.array([1.0, 2.0]), np.array([1.0, 2.1]))
    with pytest.raises(SystemExit, match="differ too much"):
        systems.agree("x", np.array([np.nan]), np.array([1.0]))
