"""libdfnet through ctypes. Skipped only where no library is found ($DFNET_LIBRARY, build/lib)."""

import argparse
import json

import numpy as np
import pytest
import tiny_models as tiny
from test_goldens import CASES
from test_goldens import load as load_golden
from test_model_file import HEADER_CHANGES

from weights_tools import engine, verify
from weights_tools.engine import EngineError, Library, find_library
from weights_tools.forward import forward, tap_names
from weights_tools.model_file import ModelFileError, read_model
from weights_tools.reference import uniform

PATH = find_library()

needs_library = pytest.mark.skipif(PATH is None, reason="libdfnet was not found")


@pytest.fixture(scope="module")
def library():
    return Library(PATH)


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("engine") / "tiny.safetensors")


# ---- finding it ----


def test_find_library(monkeypatch):
    monkeypatch.setenv("DFNET_LIBRARY", "from the environment")
    assert find_library("given") == "given"
    assert find_library() == "from the environment"
    monkeypatch.delenv("DFNET_LIBRARY")
    monkeypatch.setattr(engine.ctypes.util, "find_library", lambda name: f"system {name}")
    monkeypatch.setattr(engine, "__file__", "/nowhere/weights_tools/engine.py")
    assert find_library() == "system dfnet"


def test_other_libraries_are_refused():
    libc = engine.ctypes.util.find_library("c")
    with pytest.raises(OSError, match="is this libdfnet"):
        Library(libc)


# ---- running it ----


@needs_library
@pytest.mark.parametrize("gemm", ["native", "openblas"])
@pytest.mark.parametrize("cpu_mask", [0, engine.CPU_ALL])
@pytest.mark.parametrize("name", CASES)
def test_goldens(library, name, gemm, cpu_mask):
    case = load_golden(name)
    n, _, height, width = case.x.shape
    with library.load(case.model) as model:
        try:
            session = model.session(height, width, n, gemm=gemm, cpu_mask=cpu_mask)
        except EngineError as error:
            assert gemm == "openblas"  # the one thing that a build may lack
            assert error.unsupported
            return
        with session:
            assert session.outputs == case.logits.shape[1]
            assert np.abs(session.run(case.x) - case.logits).max() <= case.tolerance


@needs_library
def test_version(library):
    assert [part.isdigit() for part in library.version.split(".")] == [True] * 3


@needs_library
def test_verify_of_the_library(library, model_path):
    with library.load(model_path) as model:
        difference, tolerance = model.verify()
        assert 0 < difference < tolerance / 10


@needs_library
def test_fewer_pictures_than_the_batch(library, model_path):
    x = uniform(3, 3, 3, 40, 33)
    with library.load(model_path) as model, model.session(40, 33, 3, gemm="native") as session:
        together = session.run(x)
        for i in range(3):
            assert np.array_equal(session.run(x[i : i + 1])[0], together[i])


@needs_library
def test_taps_see_every_layer(library, model_path):
    arch, tensors, meta = read_model(model_path)
    x = uniform(4, 2, 3, 45, 52)
    expected: dict[str, np.ndarray] = {}
    forward(arch, tensors, x, meta.padding, expected.__setitem__)
    steps: dict[str, np.ndarray] = {}
    with library.load(model_path) as model, model.session(45, 52, 2) as session:
        logits = session.run(x, steps.__setitem__)
    assert np.array_equal(steps["classifier"].reshape(2, -1), logits)
    for name in ("stem", "blocks.2.conv", "blocks.4.expand", "blocks.4.depthwise", "head"):
        assert np.abs(np.moveaxis(steps[name], 3, 1) - expected[name]).max() < 1e-4, name
    assert np.abs(steps["blocks.5.se"].reshape(2, -1) - expected["blocks.5.se"]).max() < 1e-5
    # Steps that the library fuses have other names; all others are known to forward.py.
    own = {n for n in steps if n.rsplit(".", 1)[-1] in ("project", "pool", "reduce", "scale")}
    assert set(steps) - own <= set(tap_names(arch))


@needs_library
def test_what_a_tap_raises_comes_out(library, model_path):
    with library.load(model_path) as model, model.session(40, 40) as session:

        def tap(name, _):
            if name == "blocks.4.depthwise":
                raise KeyError(name)

        x = uniform(4, 1, 3, 40, 40)
        with pytest.raises(KeyError, match=r"blocks\.4\.depthwise"):
            session.run(x, tap)
        assert np.isfinite(session.run(x)).all()


@needs_library
def test_refused_file(library, model_path, tmp_path):
    raw = bytearray(model_path.read_bytes())
    raw[-1] ^= 1
    (tmp_path / "m").write_bytes(raw)
    with pytest.raises(EngineError) as caught:
        library.load(tmp_path / "m")
    assert not caught.value.unsupported
    assert str(caught.value)


@needs_library
@pytest.mark.parametrize("shape", [(3, 40, 40), (1, 3, 41, 40), (2, 3, 40, 40), (0, 3, 40, 40)])
def test_wrong_input_never_reaches_the_library(library, model_path, shape):
    with (
        library.load(model_path) as model,
        model.session(40, 40) as session,
        pytest.raises(ValueError, match="expected"),
    ):
        session.run(np.zeros(shape))


@needs_library
def test_impossible_session(library, model_path):
    with library.load(model_path) as model, pytest.raises(EngineError, match=r"\w"):
        model.session(8, 8)


# Taken or refused, but by both readers alike.
BORDER_CHANGES = [
    ('"dfnet.std":"0.5,', '"dfnet.std":"0.0,'),
    ("shorter:56", "shorter:48"),
    ("shorter:56", "shorter:47"),
    ("shorter:56", "shorter:8192"),
    ("shorter:56", "shorter:8193"),
    ('"dfnet.fake":"1"', '"dfnet.fake":"3"'),
    ('"dfnet.mean":"0.5,', '"dfnet.mean":"5e-1,'),
    ('"dfnet.mean":"0.5,', '"dfnet.mean":"5E-1,'),
    ('"dfnet.mean":"0.5,', '"dfnet.mean":".5,'),
    ('"dfnet.mean":"0.5,', '"dfnet.mean":"+0.5,'),
    ('"dfnet.license":"MIT"', '"dfnet.license":"\\/\\u00e9\\ud83d\\ude00"'),
    ('"dfnet.license":"MIT"', '"dfnet.license":""'),
    ('"dfnet.name":"tiny"', '"dfnet.name":""'),
    ('"dfnet.variant":"custom"', '"dfnet.variant":"zz"'),
]


@needs_library
@pytest.mark.parametrize(
    ("old", "new"), [*((old, new) for old, new, _ in HEADER_CHANGES), *BORDER_CHANGES]
)
def test_both_readers_agree(library, model_path, tmp_path, old, new):
    text, data = tiny.split(model_path)
    assert old in text
    path = tiny.join(tmp_path / "m", text.replace(old, new, 1), data)
    try:
        read_model(path)
        taken = True
    except ModelFileError:
        taken = False
    if taken:
        library.load(path).close()
    else:
        with pytest.raises(EngineError):
            library.load(path)


# ---- the subcommand with the library ----


def verify_json(capsys, *words: object) -> tuple[int, dict]:
    parser = argparse.ArgumentParser()
    verify.add_arguments(parser)
    code = verify.run(parser.parse_args([*map(str, words), "--library", PATH, "--json"]))
    return code, json.loads(capsys.readouterr().out)


@needs_library
def test_verify_subcommand(model_path, capsys):
    code, report = verify_json(capsys, model_path)
    assert code == 0
    assert "libdfnet" in [row["implementation"] for row in report["rows"]]
    assert PATH in report["library"]


@needs_library
def test_verify_names_the_layer_of_the_library(model_path, capsys, monkeypatch):
    """The yardstick gets one bias that the library does not have."""

    def other(path):
        arch, tensors, meta = read_model(path)
        tensors["blocks.4.project.bias"] = tensors["blocks.4.project.bias"] + np.float32(0.5)
        return arch, tensors, meta

    monkeypatch.setattr(verify, "read_model", other)
    code, report = verify_json(capsys, model_path)
    assert code == verify.EXIT_DIFFERS
    row = next(r for r in report["rows"] if r["implementation"] == "libdfnet")
    assert not row["ok"]
    assert row["first_layer"].startswith("blocks.4 (")
