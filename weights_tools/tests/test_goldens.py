"""Replays tests/golden without torch: numpy's forward pass, and folding with the right epsilon."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import unfolded

from weights_tools import naming
from weights_tools.arch import Architecture, variant
from weights_tools.checkpoint import open_checkpoint
from weights_tools.convert import Options, convert, fold_layers
from weights_tools.forward import forward
from weights_tools.model_file import read_model
from weights_tools.naming import Layer
from weights_tools.reference import reference_input, uniform

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "golden"
CASES = sorted(path.stem for path in FOLDER.glob("*.golden"))


@dataclass
class Case:
    model: Path
    x: np.ndarray
    logits: np.ndarray
    tolerance: float


def load(name: str) -> Case:
    """Token by token, as the C test does with fscanf."""
    words = iter((FOLDER / f"{name}.golden").read_text().split())

    def after(keyword: str) -> str:
        assert next(words) == keyword
        return next(words)

    assert after("dfnet-golden") == "1"
    model = FOLDER / after("model")
    seed = int(after("seed"))
    shape = [int(after("input")), *(int(next(words)) for _ in range(3))]
    outputs = int(after("outputs"))
    largest = float(after("max_logit"))
    error = float(after("torch_f32_error"))
    tolerance = float(after("tolerance"))
    assert next(words) == "logits"
    logits = np.array([float(w) for w in words]).reshape(shape[0], outputs)
    assert largest == np.abs(logits).max()
    assert 0 < 3 * error <= tolerance < 1e-5 * max(1.0, largest)
    return Case(model, uniform(seed, *shape), logits, tolerance)


def test_goldens_are_there():
    assert len(CASES) >= 30
    used = {load(name).model.name for name in CASES}
    assert used == {p.name for p in FOLDER.glob("*.safetensors")} - {
        "bn_eps_checkpoint.safetensors"
    }


@pytest.mark.parametrize("name", CASES)
def test_forward(name):
    case = load(name)
    arch, tensors, meta = read_model(case.model)
    logits = forward(arch, tensors, case.x, meta.padding)
    assert np.abs(logits - case.logits).max() <= 1e-11 * max(1.0, np.abs(case.logits).max())


@pytest.mark.parametrize("name", CASES)
def test_stored_reference_logits(name):
    arch, tensors, meta = read_model(load(name).model)
    x = reference_input(*meta.reference, arch.frames)
    logits = forward(arch, tensors, x, meta.padding).reshape(-1)
    # Rounded when the file was written (reference.as_stored); some files are older than that.
    assert logits == pytest.approx(meta.reference_logits, abs=1e-7)


@pytest.mark.parametrize("name", [n for n in CASES if n.startswith("padding_")])
def test_a_wrong_padding_is_far_outside_the_tolerance(name):
    case = load(name)
    arch, tensors, meta = read_model(case.model)
    expected = forward(arch, tensors, case.x, meta.padding)
    pads = {"same", "sym", "fixed:0,1,0,1,1,2,0,1,1,2"} - {meta.padding}
    for other in pads:
        apart = np.abs(forward(arch, tensors, case.x, other) - expected).max()
        if arch.sizes(*case.x.shape[2:], other) == arch.sizes(*case.x.shape[2:], meta.padding):
            # On sizes that are odd all the way SAME is SYM, on even ones it is this FIXED.
            assert apart == 0 or apart > 1000 * case.tolerance
        else:
            assert apart > 1000 * case.tolerance


def test_padding_goldens_tell_the_modes_apart():
    """The even case differs from SYM; with the two axes swapped the mixed cases differ."""
    case = load("padding_same_even")
    arch, tensors, _ = read_model(case.model)
    sym = forward(arch, tensors, case.x, "sym")
    assert np.abs(sym - case.logits).max() > 1000 * case.tolerance
    case = load("padding_same_rows_even_columns_odd")
    swapped = forward(arch, tensors, case.x.swapaxes(2, 3), "same")
    assert np.abs(swapped - case.logits).max() > 1000 * case.tolerance


# ---- the epsilon of batch normalisation ----


@pytest.mark.parametrize("eps", [1e-3, 1e-5])
def test_bn_eps(eps):
    """Folding a stored checkpoint of a tiny network, against torch's batch_norm."""
    golden = json.loads((FOLDER / "bn_eps.json").read_text())
    arch = Architecture.parse(
        golden["stages"],
        activation="swish",
        stem=golden["stem"],
        head=golden["head"],
        outputs=golden["outputs"],
    )
    scheme = next(s for s in naming.SCHEMES if s.name == "timm")
    layers = [*scheme.layers(arch), Layer("classifier", "classifier")]
    state = open_checkpoint(FOLDER / golden["checkpoint"]).tree
    tensors = fold_layers(arch, layers, state, eps)
    logits = forward(arch, tensors, uniform(golden["seed"], *golden["input"]), "sym")
    expected = np.array(golden["logits"][repr(eps)])
    assert np.abs(logits - expected).max() < 1e-11
    other = np.array(golden["logits"][repr({1e-3: 1e-5, 1e-5: 1e-3}[eps])])
    assert np.abs(other - expected).max() > 0.1


def write_b0(folder: Path, scheme: naming.Scheme) -> Path:
    """A B0 with batch normalisation, in a library's names, from the PRNG."""
    arch = variant("b0")
    layers = [*scheme.layers(arch), Layer("classifier", scheme.classifier)]
    state = unfolded.generated_state(naming.expected_shapes(arch, layers))
    return unfolded.write_safetensors(folder / "checkpoint.safetensors", state)


@pytest.mark.parametrize(
    ("scheme", "name"), [("timm", "tf_efficientnet_b0"), ("torchvision", "efficientnet_b0")]
)
def test_bn_eps_b0(tmp_path, scheme, name):
    """The whole converter against timm and torchvision: epsilon, padding, names, order."""
    golden = json.loads((FOLDER / "bn_eps_b0.json").read_text())[name]
    source = write_b0(tmp_path, next(s for s in naming.SCHEMES if s.name == scheme))
    path = tmp_path / "model.safetensors"

    def logits(**options: object) -> np.ndarray:
        convert(source, path, Options(name=name, **options))
        arch, tensors, meta = read_model(path)
        assert arch.variant == "b0"
        x = reference_input(20201, 72, 55)
        return forward(arch, tensors, x, meta.padding)[0, : len(expected)]

    expected = np.array(golden["first_logits"])
    # The model file holds float32: about 50 layers with roundings of 2^-24 in their weights.
    tolerance = 1e-5 * max(1.0, golden["max_logit"])
    assert np.abs(logits() - expected).max() < tolerance
    wrong = {"timm": 1e-5, "torchvision": 1e-3}[scheme]
    assert np.abs(logits(bn_eps=wrong) - expected).max() > 1000 * tolerance
    padding = {"timm": "sym", "torchvision": "same"}[scheme]
    assert np.abs(logits(padding=padding) - expected).max() > 1000 * tolerance
