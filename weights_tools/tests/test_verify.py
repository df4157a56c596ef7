"""The subcommand verify: what it compares, what it prints, its exit codes."""

import argparse
import importlib.util
import json

import numpy as np
import pytest
import tiny_models as tiny
import unfolded

from weights_tools import naming, verify
from weights_tools.arch import variant
from weights_tools.convert import Options, convert
from weights_tools.forward import forward
from weights_tools.model_file import read_model
from weights_tools.naming import Layer

HAS_TORCH = importlib.util.find_spec("torch") is not None


@pytest.fixture(autouse=True)
def no_library(monkeypatch):
    """These tests are about the rest; test_engine.py is about libdfnet."""
    monkeypatch.setattr(verify, "find_library", lambda explicit: explicit)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("verify") / "tiny.safetensors")


def run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    verify.add_arguments(parser)
    return verify.run(parser.parse_args([str(word) for word in words]))


def report(capsys, *words: object, code: int = 0) -> dict:
    assert run(*words, "--json") == code
    return json.loads(capsys.readouterr().out)


def rehash_with(path, out, change):
    """A copy of the model file with changed text and a right hash."""
    text, data = tiny.split(path)
    changed = change(text)
    assert changed != text
    return tiny.join(out, changed, data)


def test_sound_model(model, capsys):
    got = report(capsys, model)
    labels = [row["implementation"] for row in got["rows"]]
    expected = ["as stored in the file"]
    expected += ["torch float32", "torch float64"] if HAS_TORCH else []
    assert labels == expected
    assert got["ok"]
    assert got["library"] is None
    assert any("libdfnet was not found" in note for note in got["notes"])
    assert got["rows"][0]["difference"] <= 0.5e-7


def test_text(model, capsys):
    assert run(model) == 0
    out = capsys.readouterr().out
    assert "reference" in out
    assert "as stored in the file" in out
    assert "DIFFERS" not in out


def test_wrong_stored_logits(model, tmp_path, capsys):
    _, _, meta = read_model(model)
    old = repr(meta.reference_logits[0])
    new = repr(meta.reference_logits[0] + 1e-6)
    path = rehash_with(model, tmp_path / "m", lambda t: t.replace(old, new))
    got = report(capsys, path, code=verify.EXIT_DIFFERS)
    assert not got["rows"][0]["ok"]
    assert got["rows"][0]["difference"] == pytest.approx(1e-6, abs=0.5e-7)


def test_damaged_file(model, tmp_path, capsys):
    raw = bytearray(model.read_bytes())
    raw[-1] ^= 1
    (tmp_path / "m").write_bytes(raw)
    assert run(tmp_path / "m") == verify.EXIT_REFUSED
    assert "hash" in capsys.readouterr().err


def test_missing_file(tmp_path, capsys):
    assert run(tmp_path / "none") == verify.EXIT_REFUSED
    assert "none" in capsys.readouterr().err


def test_library_that_was_asked_for_must_load(model, tmp_path, capsys):
    assert run(model, "--library", tmp_path / "libdfnet.so") == verify.EXIT_REFUSED
    assert "libdfnet.so" in capsys.readouterr().err


def test_inputs(model, tmp_path, capsys):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "one.npy", rng.standard_normal((3, 40, 33)))
    np.save(tmp_path / "two.npy", rng.standard_normal((2, 3, 33, 40)).astype(np.float32))
    rng.standard_normal((2, 3, 48, 40)).astype("<f4").tofile(tmp_path / "raw.bin")
    names = ["one.npy", "two.npy", "raw.bin"]
    words = [w for name in names for w in ("--input", tmp_path / name)]
    rows = report(capsys, model, *words)["rows"]
    shapes = {row["input"].rsplit("/", 1)[-1]: row["shape"] for row in rows}
    assert shapes["reference"] == [1, 3, 72, 55]
    if HAS_TORCH:
        assert [shapes[n] for n in names] == [[1, 3, 40, 33], [2, 3, 33, 40], [2, 3, 48, 40]]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("a.npy", np.zeros((1, 3, 31, 40))),
        ("a.npy", np.zeros((1, 1, 40, 40))),
        ("a.npy", np.zeros((3, 40, 40), dtype=np.int32)),
        ("a.npy", np.full((3, 40, 40), np.nan)),
        ("a.npy", np.array([{}], dtype=object)),
        ("a.bin", np.zeros(100, dtype="<f4")),
        ("a.bin", np.zeros(0, dtype="<f4")),
    ],
)
def test_inputs_refused(model, tmp_path, capsys, name, array):
    if name.endswith("npy"):
        np.save(tmp_path / name, array, allow_pickle=True)
    else:
        array.tofile(tmp_path / name)
    assert run(model, "--input", tmp_path / name) == verify.EXIT_REFUSED
    assert capsys.readouterr().err.startswith("verify: ")


def test_tolerance_must_be_positive(model):
    assert run(model, "--tolerance", "0") == verify.EXIT_REFUSED
    assert run(model, "--tolerance", "nan") == verify.EXIT_REFUSED


class Wrong:
    """A torch stand-in that computes one layer slightly wrong."""

    def __init__(self, arch, tensors, padding, change):
        self.arch, self.padding = arch, padding
        self.tensors = dict(tensors)
        change(self.tensors)

    def __call__(self, x, tap):
        return forward(self.arch, self.tensors, x, self.padding, tap)


@pytest.mark.parametrize(
    ("tensor", "layer"),
    [
        ("stem.bias", "stem"),
        ("blocks.2.conv.bias", "blocks.2.conv"),
        ("blocks.3.depthwise.bias", "blocks.3.depthwise"),
        ("blocks.3.se.reduce.bias", "blocks.3.se"),
        ("blocks.4.project.bias", "blocks.4"),
        ("head.bias", "head"),
        ("classifier.bias", "classifier"),
    ],
)
def test_first_layer_that_differs(model, monkeypatch, capsys, tensor, layer):
    def change(tensors):
        tensors[tensor] = tensors[tensor] + 0.3

    def add(implementations, arch, tensors, meta, tolerance, _report):
        implementations["wrong"] = (Wrong(arch, tensors, meta.padding, change), tolerance)

    monkeypatch.setattr(verify, "_add_torch", add)
    row = report(capsys, model, code=verify.EXIT_DIFFERS)["rows"][-1]
    assert row["implementation"] == "wrong"
    assert row["first_layer"].split(" ")[0] == layer


def test_layers_are_listed(model, monkeypatch, capsys):
    def add(implementations, arch, tensors, meta, tolerance, _report):
        implementations["same"] = (Wrong(arch, tensors, meta.padding, lambda t: None), tolerance)

    monkeypatch.setattr(verify, "_add_torch", add)
    assert run(model, "--layers") == 0
    out = capsys.readouterr().out
    assert "layers of same, reference:" in out
    assert "blocks.3.depthwise" in out


# ---- the source ----


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    arch = variant("b0")
    scheme = next(s for s in naming.SCHEMES if s.name == "torchvision")
    layers = [*scheme.layers(arch), Layer("classifier", scheme.classifier)]
    state = unfolded.generated_state(naming.expected_shapes(arch, layers))
    source = unfolded.write_safetensors(folder / "source.safetensors", state)
    state["features.3.0.block.1.1.running_mean"][5] += 0.01
    other = unfolded.write_safetensors(folder / "other.safetensors", state)
    for dtype in ("f32", "f16"):
        convert(source, folder / f"{dtype}.dfn", Options(name="efficientnet_b0", dtype=dtype))
    return folder, source, other


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_source(converted, capsys, dtype):
    folder, source, _ = converted
    got = report(capsys, folder / f"{dtype}.dfn", "--source", source)
    assert any("source ok" in n and "epsilon 1e-05" in n for n in got["notes"])


def test_wrong_source(converted, capsys):
    folder, _, other = converted
    got = report(capsys, folder / "f32.dfn", "--source", other, code=verify.EXIT_DIFFERS)
    assert any("SHA-256" in n for n in got["notes"])
    assert any("source DIFFERS" in n and "depthwise.bias" in n for n in got["notes"])


def test_source_that_is_no_checkpoint(model, tmp_path, capsys):
    (tmp_path / "x.pth").write_bytes(b"nothing")
    assert run(model, "--source", tmp_path / "x.pth") == verify.EXIT_REFUSED
    assert "x.pth" in capsys.readouterr().err
