"""Parameters, multiply-accumulates and both spellings of `info`."""

from __future__ import annotations

import json

import pytest
import tiny_models

from weights_tools import info
from weights_tools.arch import NATIVE_SIZE, VARIANTS, variant
from weights_tools.model_file import write_model

# torchvision's num_params, and for b8, l2 and lite the count from the scaling rules.
PARAMETERS = {
    "b0": 5288548,
    "b1": 7794184,
    "b2": 9109994,
    "b3": 12233232,
    "b4": 19341616,
    "b5": 30389784,
    "b6": 43040704,
    "b7": 66347960,
    "b8": 87413142,
    "l2": 480309308,
    "lite0": 4652008,
    "lite1": 5416680,
    "lite2": 6092072,
    "lite3": 8197096,
    "lite4": 13006568,
    "v2-s": 21458488,
    "v2-m": 54139356,
    "v2-l": 118515272,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_trained_parameters(name):
    assert info.trained_parameters(variant(name)) == PARAMETERS[name]


def test_native_sizes_are_known():
    assert set(NATIVE_SIZE) == set(VARIANTS)


def test_text_and_json(tmp_path):
    arch = tiny_models.architecture()
    path = tmp_path / "tiny.safetensors"
    meta = tiny_models.metadata(name="ti\x1b[31mny")
    write_model(path, arch, tiny_models.weights(arch), meta)
    facts = info.describe(path)
    again = json.loads(info.as_json(facts))
    assert again == json.loads(json.dumps(facts))
    assert again["labels"] == meta.labels and again["xxh3"] == meta.xxh3
    assert again["macs"] == arch.macs(48, 40, "same")
    assert again["reference_logits"] == meta.reference_logits
    assert list(again["tensors"]) and again["bytes"] == path.stat().st_size
    text = info.as_text(facts)
    assert "\x1b" not in text and "ti\\x1b[31mny" in text
    for part in ("stem.weight", "[8,3,3,3]", "fused", meta.xxh3, "shorter:56", "MIT", "x.note"):
        assert part in text
    assert text.count("\n") > len(arch.tensors())
