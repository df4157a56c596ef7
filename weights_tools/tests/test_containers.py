"""Published detectors' checkpoints: recognised, filled in, equal to torch, refused when spoiled.

The files are laid out exactly like the real ones (containers.py), their networks narrowed so that
a B7 is small; tests/parity/systems_parity.py does the same at full size.
"""

from __future__ import annotations

import re
from pathlib import Path

import containers
import numpy as np
import pth_writer as pw
import pytest

from weights_tools import systems
from weights_tools.convert import Options, convert
from weights_tools.engine import Library, find_library
from weights_tools.errors import InputRefused
from weights_tools.forward import forward
from weights_tools.model_file import read_model
from weights_tools.recipes import static_padding

PIPELINES = Path(__file__).resolve().parents[2] / "examples" / "pipelines"
ALL = pytest.mark.parametrize("kind", containers.KINDS, ids=lambda kind: kind.name)


@pytest.fixture(autouse=True)
def small():
    with containers.reduced():
        yield


def options_for(kind: containers.Kind, **changes: object) -> Options:
    """NTechLab's frame models must be told apart by the user."""
    return Options(**({"system": kind.system or "ntechlab-a", "reference": (1, 32, 33)} | changes))


def written(folder: Path, kind: containers.Kind, state: containers.State) -> Path:
    return pw.save(folder / "checkpoint.pth", kind.tree(state))


def converted(folder: Path, kind: containers.Kind, state: containers.State, **changes: object):
    options = options_for(kind, **changes)
    report = convert(written(folder, kind, state), folder / "m.safetensors", options)
    return report, *read_model(folder / "m.safetensors")


# ---- recognised and filled in ----


@ALL
def test_what_is_in_the_model_file(tmp_path, kind):
    state = kind.state()
    source = written(tmp_path, kind, state)
    auto = Options(reference=(1, 32, 33))
    if kind.system:
        report = convert(source, tmp_path / "m", auto)
        title = next(s.title for s in systems.SYSTEMS if s.name == kind.system)
        assert report.lines[2].startswith(f"system    {title}")
    else:
        with pytest.raises(InputRefused, match=r"--system ntechlab-a .* --system ntechlab-b"):
            convert(source, tmp_path / "m", auto)
        report = convert(source, tmp_path / "m", options_for(kind))
    arch, tensors, meta = read_model(tmp_path / "m")
    assert (arch.variant, arch.outputs) == (kind.variant, kind.outputs)
    assert (arch.attention, arch.gate) == (kind.maps, 10 if kind.gate else 0)
    assert arch.frames == (7 if kind.temporal else 1)
    assert meta.input == kind.size
    assert meta.padding == (static_padding(arch, "static-old") if kind.static else "same")
    assert meta.output == ("sigmoid" if kind.outputs == 1 else "softmax")
    assert meta.fake == kind.outputs - 1
    unused = [f"{kind.unused}.{part}" for part in ("weight", "bias")] if kind.unused else []
    assert [line for line in report.lines if line.startswith("unused")] == [
        f"unused    {', '.join(unused)}" for _ in unused[:1]
    ]
    if kind.maps:
        assert not tensors["classifier.bias"].any()  # the checkpoint has none
    if not kind.normed:
        assert np.array_equal(tensors["classifier.weight"], state[f"{kind.head}.weight"])


# pipeline, name of its crop -> system
CROPS = [
    ("selimsef", "face", "selimsef"),
    ("wm", "face", "wm"),
    ("ntechlab", "large", "ntechlab-a"),
    ("ntechlab", "small", "ntechlab-b"),
    ("ntechlab", "small", "ntechlab-sequence"),
    ("robustforensics", "face", "robustforensics"),
    ("icpr2020dfdc", "face", "icpr2020dfdc"),
    ("sbi", "face", "sbi"),
]


@pytest.mark.parametrize(("pipeline", "crop", "name"), CROPS)
def test_crops_are_those_of_the_pipelines(tmp_path, pipeline, crop, name):
    """The model file alone and the pipeline's crop say the same, key by key."""
    text = (PIPELINES / f"{pipeline}.pipeline").read_text()
    section = re.search(rf"^\[crop {crop}\]\n(.*?)(?=^\[)", text, re.M | re.S)[1]
    expected = dict(re.findall(r"^([a-z_.]+) = (.*)$", section, re.M))
    kind = next(k for k in containers.KINDS if k.system == name or not k.system)
    kind = next((k for k in containers.KINDS if k.system == name), kind)
    converted(tmp_path, kind, kind.state(), system=name)
    keys = _texts(tmp_path / "m.safetensors")
    crops = {k: v for k, v in keys.items() if k in expected or k.startswith(("face.", "resize."))}
    assert set(crops) == set(expected)
    for key, value in expected.items():
        assert _numbers(crops[key]) == _numbers(value), key


def _texts(path: Path) -> dict[str, str]:
    from tiny_models import header

    return {k.removeprefix("dfnet."): v for k, v in header(path)["__metadata__"].items()}


def _numbers(text: str) -> list[object]:
    return [float(p) if re.fullmatch(r"-?[0-9.]+", p) else p for p in text.split(",")]


def test_what_the_user_says_wins(tmp_path):
    kind = next(k for k in containers.KINDS if k.name == "wm")
    said = {
        "padding": "same",
        "input": (64, 48),
        "mean": (0.5, 0.5, 0.5),
        "license": "mine",
        "look": "logits,0.1,0.05",
    }
    report, _, _, meta = converted(tmp_path, kind, kind.state(), **said)
    assert {name: getattr(meta, name) for name in said} == said
    assert "--look logits,0.1,0.05 looks again" in report.lines[-1]


def test_none_is_an_ordinary_network(tmp_path):
    kind = next(k for k in containers.KINDS if k.name == "ntechlab")
    report, _, _, meta = converted(tmp_path, kind, kind.state(), system="none")
    assert (meta.input, meta.padding, meta.license) == ((600, 600), "same", "unknown")
    assert not [line for line in report.lines if line.startswith("system")]


@pytest.mark.parametrize("name", [s.name for s in systems.SYSTEMS if s.name != "sbi"])
def test_another_network_is_not_that_system(tmp_path, name):
    kind = next(k for k in containers.KINDS if k.name == "sbi")
    with pytest.raises(InputRefused, match=f"--system {name}: expects .*, found .* b4 with 2 out"):
        converted(tmp_path, kind, kind.state(), system=name)


# ---- spoiled ----


def without(state, name):
    return {k: v for k, v in state.items() if k != name}


def first(kind, state, ending):
    return next(k for k in state if k.startswith(kind.prefix) and k.endswith(ending))


def missing(kind, state):
    name = first(kind, state, "running_mean")
    return without(state, name), f"tensor {name}: is missing, expected shape"


def misshapen(kind, state):
    name = f"{kind.head}.weight"
    narrow = state[name][:, :-1]
    text = f"tensor {name}: has shape {list(narrow.shape)}, expected {list(state[name].shape)}"
    return state | {name: narrow}, text


def extra(kind, state):
    name = f"{kind.prefix}more.weight"
    text = f"tensor {name}: has shape [3, 4], expected no such tensor"
    return state | {name: np.zeros((3, 4), np.float32)}, text


def not_finite(kind, state):
    name = first(kind, state, "running_var")
    spoiled = state[name].copy()
    spoiled[2] = np.nan
    return state | {name: spoiled}, f"tensor {name}: holds nan at [2] (1 of "


def whole_numbers(kind, state):
    name = first(kind, state, "bn1.bias")
    text = f"tensor {name}: is of type I64, expected floats"
    return state | {name: state[name].astype(np.int64)}, text


@ALL
@pytest.mark.parametrize("spoil", [missing, misshapen, extra, not_finite, whole_numbers])
def test_spoiled(tmp_path, kind, spoil):
    state, sentence = spoil(kind, kind.state())
    with pytest.raises(InputRefused) as caught:
        converted(tmp_path, kind, state)
    assert sentence in str(caught.value)
    assert not (tmp_path / "m.safetensors").exists()


def of(name):
    kind = next(k for k in containers.KINDS if k.name == name)
    return kind, kind.state()


def refused(folder, kind, state, *words):
    with pytest.raises(InputRefused) as caught:
        converted(folder, kind, state)
    for word in words:
        assert word in str(caught.value)


def test_attention_without_its_classifier(tmp_path):
    kind, state = of("wm")
    words = ("has attention maps (attentions.conv), but no classifier", "'fc'")
    refused(tmp_path, kind, without(state, "fc.weight"), *words)


def test_attention_without_its_normalisation(tmp_path):
    kind, state = of("wm")
    sentence = "tensor attentions.bn.running_var: is missing, expected shape [8]"
    refused(tmp_path, kind, without(state, "attentions.bn.running_var"), sentence)


@pytest.mark.parametrize("shape", [(8, 320), (0, 320, 1, 1), (65, 320, 1, 1)])
def test_attention_of_another_shape(tmp_path, shape):
    kind, state = of("wm")
    spoiled = state | {"attentions.conv.weight": np.zeros(shape, np.float32)}
    refused(tmp_path, kind, spoiled, f"has shape {list(shape)}", "1 to 64 attention maps")


def test_attention_with_a_bias_in_its_classifier(tmp_path):
    """As the TensorFlow original has it."""
    kind, state = of("wm")
    _, _, tensors, _ = converted(tmp_path, kind, state | {"fc.bias": np.float32([0.5, -0.5])})
    assert tensors["classifier.bias"].tolist() == [0.5, -0.5]


def test_an_ordinary_classifier_needs_its_bias(tmp_path):
    kind, state = of("sbi")
    sentence = "tensor net._fc.bias: is missing, expected shape [2]"
    refused(tmp_path, kind, without(state, "net._fc.bias"), sentence)


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_half_a_gate(tmp_path, part):
    kind, state = of("icpr-autoatt")
    name = f"efficientnet.attconv.{part}"
    refused(tmp_path, kind, without(state, name), f"tensor {name}: is missing")


def test_one_expansion_that_does_not_reach_over_frames(tmp_path):
    kind, state = of("ntechlab-sequence")
    name = "_blocks.9._expand_conv.conv.weight"
    plain = "_blocks.9._expand_conv.weight"
    spoiled = without(state, name) | {plain: state[name][:, :, 0]}
    refused(tmp_path, kind, spoiled, f"tensor {name}: is missing", f"tensor {plain}: has shape")


def test_siamese_without_its_own_classifier(tmp_path):
    kind, state = of("icpr-b4st")
    state = {k: v for k, v in state.items() if not k.startswith("classifier.")}
    with pytest.raises(InputRefused, match=r"no classifier but feat_ext.classifier, which .* untr"):
        converted(tmp_path, kind, state, system="auto")
    _, _, tensors, _ = converted(tmp_path, kind, state, system="none")
    assert np.array_equal(tensors["classifier.weight"], state["feat_ext.classifier.weight"])


# ---- equal to torch ----

SIZE = (97, 75)


@pytest.fixture(scope="module")
def library():
    place = find_library()
    if place is None:
        pytest.skip("libdfnet is not built")
    return Library(place)


def calibrated(kind):
    """(state as stored, torch's network of it in float64)."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    unfolded = pytest.importorskip("unfolded_torch")
    torch.set_num_threads(1)  # networks so small are slower with more
    torch.manual_seed(3)
    state = kind.state()
    # At the size that is compared: with few places in a map, statistics fit one size only.
    x = torch.randn(14 if kind.temporal else 24, 3, *SIZE)
    learned = unfolded.Network(kind, state, torch.float32).calibrate(x)
    dtype = np.float16 if kind.half else np.float32
    state = state | {name: array.astype(dtype) for name, array in learned.items()}
    return state, unfolded.Network(kind, state, torch.float64)


@pytest.mark.parametrize("how", ["logits", "probabilities"])
def test_second_look_equals_torch(tmp_path, library, how):
    """Boxes, both looks and their mean; the crop of float32's own box where that differs."""
    kind, _ = of("wm")
    state, net = calibrated(kind)
    import torch
    import unfolded_torch as unfolded

    converted(tmp_path, kind, state, look=f"{how},0.1,0.05")
    rng = np.random.default_rng(8)
    x = rng.standard_normal((4, 3, *SIZE)).astype(np.float32)
    path = tmp_path / "m.safetensors"
    with library.load(path) as model, model.session(*SIZE, len(x)) as session:
        logits, parts = session.look(x)
    boxes = unfolded.attention_box(net(torch.from_numpy(x)).maps, *SIZE)
    for part, (top, left, bottom, right) in zip(parts.tolist(), boxes, strict=True):
        assert part == [left, top, right - left, bottom - top]
    assert set(boxes) != {(0, 0, *SIZE)}

    def looks(net: unfolded.Network) -> list[np.ndarray]:
        t = torch.from_numpy(x).to(net.dtype)
        first = net(t).logits
        crops = [unfolded.crop(one, box) for one, box in zip(t, boxes, strict=True)]
        second = net(torch.stack(crops)).logits
        both = unfolded.combine(first, second, how)
        return [y.double().numpy() for y in (first, second, both)]

    single = looks(unfolded.Network(kind, state, torch.float32))
    for k, (want, own) in enumerate(zip(looks(net), single, strict=True)):
        error, allowed = np.abs(logits[:, k] - want).max(), np.abs(own - want).max()
        assert error <= 3 * allowed, f"look {k}: {error:.3g}, torch float32 {allowed:.3g}"


@ALL
def test_equal_to_torch(tmp_path, library, kind):
    state, net = calibrated(kind)
    import torch
    from unfolded_torch import Network

    _, arch, tensors, meta = converted(tmp_path, kind, state)
    n = 2 * arch.frames
    x = np.random.default_rng(5).standard_normal((n, 3, *SIZE)).astype(np.float32)
    expected = net(torch.from_numpy(x)).logits.numpy()
    single = Network(kind, state, torch.float32)(torch.from_numpy(x)).logits.numpy()
    scale = max(1.0, np.abs(expected).max())
    folded = forward(arch, tensors, x, meta.padding)
    # The model file holds float32: some 50 layers with roundings of 2^-24 in their weights.
    assert np.abs(folded - expected).max() < 2e-5 * scale
    with library.load(tmp_path / "m.safetensors") as model, model.session(*SIZE, n) as session:
        logits = session.run(x)
    assert np.abs(logits - expected).max() <= max(3 * np.abs(single - expected).max(), 2e-5 * scale)
    # And no accident: the inputs differ, and so does another padding.
    assert np.abs(expected[0] - expected[-1]).max() > 1e-3 * scale
    other = "sym" if meta.padding == "same" else "same"
    assert np.abs(forward(arch, tensors, x, other) - expected).max() > 1e-4 * scale
