"""Defaults by library and variant, and the two static paddings of efficientnet_pytorch."""

from __future__ import annotations

import pytest

from weights_tools.arch import VARIANTS, Padding, variant
from weights_tools.errors import InputRefused
from weights_tools.recipes import base_name, for_input, recipe, static_padding

# scheme, variant, name, eps, padding, size, resize, filter, first of mean
ROWS = [
    ("efficientnet_pytorch", "b0", None, 1e-3, "same", 224, "shorter:224", "bicubic", 0.485),
    ("efficientnet_pytorch", "b4", "adv-efficientnet-b4", 1e-3, "same", 380, None, "bicubic", 0.5),
    ("efficientnet_pytorch", "b8", None, 1e-3, "same", 672, "shorter:672", "bicubic", 0.485),
    ("efficientnet_pytorch", "lite0", None, 1e-3, "same", 224, "shorter:256", "bicubic", 0.5),
    ("timm", "b0", "tf_efficientnet_b0", 1e-3, "same", 224, "shorter:256", "bicubic", 0.485),
    ("timm", "b0", "tf_efficientnet_b0.ap_in1k", 1e-3, "same", 224, None, "bicubic", 0.5),
    ("timm", "b7", "tf_efficientnet_b7_ns", 1e-3, "same", 600, "shorter:632", "bicubic", 0.485),
    ("timm", "b4", "tf_efficientnet_b4_aa-818f208c", 1e-3, "same", 380, "shorter:412", None, 0.485),
    ("timm", "b1", "tf_efficientnet_b1", 1e-3, "same", 240, "shorter:272", "bicubic", 0.485),
    ("timm", "b8", "tf_efficientnet_b8.ap_in1k", 1e-3, "same", 672, "shorter:704", None, 0.5),
    ("timm", "l2", "tf_efficientnet_l2.ns_jft_in1k", 1e-3, "same", 800, "shorter:833", None, 0.485),
    ("timm", "l2", "tf_efficientnet_l2_ns_475", 1e-3, "same", 475, "shorter:507", None, 0.485),
    ("timm", "lite0", "tf_efficientnet_lite0", 1e-3, "same", 224, "shorter:256", "bicubic", 0.5),
    ("timm", "lite3", "tf_efficientnet_lite3", 1e-3, "same", 300, "shorter:331", "bilinear", 0.5),
    ("timm", "lite4", "tf_efficientnet_lite4", 1e-3, "same", 380, "shorter:413", "bilinear", 0.5),
    ("timm", "v2-s", "tf_efficientnetv2_s.in1k", 1e-3, "same", 384, "shorter:384", None, 0.5),
    ("timm", "v2-m", "tf_efficientnetv2_m", 1e-3, "same", 480, "squash", "bicubic", 0.5),
    ("timm", "v2-b0", "tf_efficientnetv2_b0", 1e-3, "same", 224, "shorter:256", None, 0.485),
    ("timm", "v2-b3", "tf_efficientnetv2_b3.in1k", 1e-3, "same", 300, "shorter:331", None, 0.485),
    ("timm", "b0", "efficientnet_b0", 1e-5, "sym", 224, "shorter:256", "bicubic", 0.485),
    ("timm", "b0", "efficientnet_b0.ra4_e3600", 1e-5, "sym", 224, "shorter:248", None, 0.5),
    ("timm", "b4", "efficientnet_b4.ra2_in1k", 1e-5, "sym", 384, "shorter:384", None, 0.485),
    ("timm", "lite0", "efficientnet_lite0", 1e-5, "sym", 224, "shorter:256", None, 0.485),
    ("torchvision", "b0", None, 1e-5, "sym", 224, "shorter:256", "bicubic", 0.485),
    ("torchvision", "b1", "efficientnet_b1_rwightman-bac287d4", 1e-5, "sym", 240, "shorter:256",
     "bicubic", 0.485),
    ("torchvision", "b1", "efficientnet_b1-c27df63c", 1e-5, "sym", 240, "shorter:255", "bilinear",
     0.485),
    ("torchvision", "b3", None, 1e-5, "sym", 300, "shorter:320", "bicubic", 0.485),
    ("torchvision", "b4", None, 1e-5, "sym", 380, "shorter:384", "bicubic", 0.485),
    ("torchvision", "b5", None, 1e-3, "sym", 456, "shorter:456", "bicubic", 0.485),
    ("torchvision", "v2-s", None, 1e-3, "sym", 384, "shorter:384", "bilinear", 0.485),
    ("torchvision", "v2-l", None, 1e-3, "sym", 480, "shorter:480", "bicubic", 0.5),
]  # fmt: skip


@pytest.mark.parametrize(
    ("scheme", "name", "label", "eps", "padding", "size", "resize", "filter_", "mean"), ROWS
)
def test_defaults(scheme, name, label, eps, padding, size, resize, filter_, mean):
    found = recipe(scheme, variant(name), label, "checkpoint")
    assert (found.eps, found.padding, found.size, found.mean[0]) == (eps, padding, size, mean)
    assert found.std[0] == (0.5 if mean == 0.5 else 0.229)
    assert resize in (None, found.resize)
    assert filter_ is None or found.filter == f"pillow-{filter_}"


def test_timm_must_be_named():
    for file_name in ("best", "my_tf_efficientnet_b0", "efficientnet-b0", "tf_efficientnet_b0x"):
        with pytest.raises(InputRefused, match="--name"):
            recipe("timm", variant("b0"), None, file_name)
    assert recipe("timm", variant("b0"), None, "tf_efficientnet_b0_ns-c0e6a31c").eps == 1e-3
    with pytest.raises(InputRefused, match="--name 'resnet50'"):
        recipe("timm", variant("b0"), "resnet50", "tf_efficientnet_b0")
    with pytest.raises(InputRefused, match="tensors are those of b0"):
        recipe("timm", variant("b0"), "tf_efficientnet_b1", "x")
    with pytest.raises(InputRefused, match="torchvision has no b8"):
        recipe("torchvision", variant("b8"), None, "x")


# By the parity of each layer's input along the native sizes: stem, s2, s3, s4, s6.
NEW_PARITY = {
    "b0": "eeeee",
    "b8": "eeeee",
    "l2": "eeeee",
    "b1": "eeeeo",
    "b2": "eeooo",
    "b3": "eeoeo",
    "b4": "eeoee",
    "b5": "eeeoo",
    "b6": "eeeeo",
    "b7": "eeeoe",
}


@pytest.mark.parametrize("name", NEW_PARITY)
def test_static_new_follows_the_native_sizes(name):
    numbers = []
    for parity, kernel in zip(NEW_PARITY[name], (3, 3, 5, 3, 5), strict=True):
        low = kernel // 2 if parity == "o" else kernel // 2 - 1
        numbers += [low, kernel // 2]
    assert static_padding(variant(name), "static-new") == "fixed:" + ",".join(map(str, numbers))


@pytest.mark.parametrize("name", VARIANTS)
def test_static_old_never_sees_an_odd_size(name):
    arch = variant(name)
    text = static_padding(arch, "static-old")
    pads = Padding.parse(text, arch).fixed
    assert pads == tuple((k // 2 - 1, k // 2) for k in arch.stride2_kernels())


def test_static_old_loses_a_row_at_native_size():
    """The final maps that efficientnet_pytorch 0.6.3 makes: smaller than ceil(native / 32)."""
    for name, size, edge in (("b3", 300, 9), ("b4", 380, 11), ("b5", 456, 14), ("b7", 600, 18)):
        arch = variant(name)
        assert arch.sizes(size, size, static_padding(arch, "static-old"))[-1] == (edge, edge)
        assert arch.sizes(size, size, "same")[-1] == (edge + 1, edge + 1)


def test_another_input_size():
    chosen = recipe("timm", variant("b0"), "tf_efficientnet_b0", "x")
    assert for_input(chosen, 224, 224, False) == "shorter:256"
    assert for_input(chosen, 256, 320, False) == "shorter:365"
    assert for_input(chosen, 224, 224, True) == "squash"
    chosen = recipe("timm", variant("v2-m"), "tf_efficientnetv2_m", "x")
    assert for_input(chosen, 384, 384, False) == "squash"


def test_base_name():
    assert base_name("/a/b/x.pth.tar") == "x" and base_name("x.safetensors") == "x"
    assert base_name("x.y") == "x.y" and base_name(".pth") == ".pth"
