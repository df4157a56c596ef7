"""From written checkpoints to model files: values, metadata, atomicity, determinism, refusals."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import pth_writer as pw
import pytest
import source_states as ss

from weights_tools.convert import CROP_FIELDS, Options, convert
from weights_tools.errors import InputRefused
from weights_tools.model_file import ModelFileError, read_model

SMALL = (1, 32, 33)


def logits(tmp_path, tree, **options):
    source = pw.save(tmp_path / "tf_efficientnet_b0.pth", tree)
    report = convert(source, tmp_path / "out.safetensors", Options(reference=SMALL, **options))
    return np.array(report.metadata.reference_logits)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("scheme", "name"),
    [
        ("efficientnet_pytorch", "b0"),
        ("efficientnet_pytorch", "lite0"),
        ("timm", "b0"),
        ("timm", "v2-b0"),
        ("torchvision", "b0"),
    ],
)
def test_converted_weights(tmp_path, scheme, name, legacy):
    """Stem and one tensor of each kind, folded here by hand; every other is compared by shape."""
    arrays = ss.arrays(scheme, name, 2)
    source = pw.save(tmp_path / "x.pth.tar", {"net": ss.tree(scheme, name, 2, "module.")}, legacy)
    timm_name = {"b0": "tf_efficientnet_b0", "v2-b0": "tf_efficientnetv2_b0"}.get(name)
    out = tmp_path / "out.safetensors"
    report = convert(source, out, Options(name=timm_name if scheme == "timm" else None))
    arch, tensors, meta = read_model(out)
    assert arch == report.architecture and arch.variant == name
    assert {k: v.shape for k, v in tensors.items()} == arch.tensors()
    stem, norm = {
        "efficientnet_pytorch": ("_conv_stem", "_bn0"),
        "timm": ("conv_stem", "bn1"),
        "torchvision": ("features.0.0", "features.0.1"),
    }[scheme]
    eps = 1e-5 if scheme == "torchvision" else 1e-3
    variance = arrays[f"{norm}.running_var"].astype(np.float64) + eps
    scale = arrays[f"{norm}.weight"] / np.sqrt(variance)
    np.testing.assert_allclose(
        tensors["stem.weight"],
        arrays[f"{stem}.weight"] * scale.reshape(-1, 1, 1, 1),
        rtol=1e-6,
    )
    shift = arrays[f"{norm}.bias"] - arrays[f"{norm}.running_mean"] * scale
    np.testing.assert_allclose(tensors["stem.bias"], shift, rtol=1e-5, atol=1e-7)
    head = ss.SCHEMES[scheme].classifier
    np.testing.assert_array_equal(tensors["classifier.weight"], arrays[f"{head}.weight"])
    assert meta.padding == ("sym" if scheme == "torchvision" else "same")
    assert meta.output == "softmax" and meta.fake == 1 and meta.resize == "squash"
    assert meta.reference == (20201, 72, 55)
    assert meta.source == "x.pth.tar" and meta.name == "x"
    assert meta.source_sha256 == hashlib.sha256(source.read_bytes()).hexdigest()


def test_the_same_weights_in_three_namings_are_the_same_model(tmp_path):
    """Values are carried from one naming to the others by layer; the files' tensors agree."""
    arch_layers = {}
    from weights_tools.arch import variant
    from weights_tools.naming import Layer

    arch = variant("b0", 2)
    for name, scheme in ss.SCHEMES.items():
        own = [*scheme.layers(arch), Layer("classifier", scheme.classifier)]
        arch_layers[name] = {layer.target: layer for layer in own}
    base = ss.arrays("timm", "b0", 2)
    results = {}
    for name, layers in arch_layers.items():
        tree = {}
        for target, layer in layers.items():
            origin = arch_layers["timm"][target]
            for part in ("weight", "bias"):
                if f"{origin.source}.{part}" in base:
                    tree[f"{layer.source}.{part}"] = pw.tensor(base[f"{origin.source}.{part}"])
            for part in ("weight", "bias", "running_mean", "running_var"):
                if layer.norm:
                    tree[f"{layer.norm}.{part}"] = pw.tensor(base[f"{origin.norm}.{part}"])
        source = pw.save(tmp_path / f"{name}.pth", tree)
        options = Options(name="tf_efficientnet_b0", bn_eps=1e-3, padding="same", reference=SMALL)
        results[name] = convert(source, tmp_path / f"{name}.out", options).metadata.reference_logits
    assert results["timm"] == results["torchvision"] == results["efficientnet_pytorch"]


def test_wrong_padding_changes_the_result(tmp_path):
    tree = ss.tree("timm", "b0", 1)
    right = logits(tmp_path, tree)
    assert np.abs(logits(tmp_path, tree, padding="sym") - right).max() > 1e-4
    assert np.abs(logits(tmp_path, tree, padding="static-new") - right).max() > 1e-4


def test_wrong_epsilon_changes_the_result(tmp_path):
    tree = ss.tree("timm", "b0", 1)
    right = logits(tmp_path, tree)
    assert np.abs(logits(tmp_path, tree, bn_eps=1e-5) - right).max() > 1e-4
    assert np.abs(logits(tmp_path, tree, bn_eps=1e-3) - right).max() == 0


def test_naming_the_other_timm_family_changes_the_result(tmp_path):
    tree = ss.tree("timm", "b0", 1)
    assert np.abs(logits(tmp_path, tree, name="efficientnet_b0") - logits(tmp_path, tree)) > 1e-4


def test_bytes_are_the_same_twice(tmp_path):
    source = pw.save(tmp_path / "x.pth", ss.tree("torchvision", "b0", 2))
    for dtype in ("f32", "f16"):
        convert(source, tmp_path / "a", Options(dtype=dtype))
        convert(source, tmp_path / "b", Options(dtype=dtype))
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_failure_leaves_the_old_file(tmp_path):
    tree = ss.tree("torchvision", "b0", 2)
    tree["features.3.0.block.0.0.weight"].memory.data[5] = np.nan
    source = pw.save(tmp_path / "x.pth", tree)
    out = tmp_path / "out.safetensors"
    out.write_bytes(b"old")
    with pytest.raises(InputRefused):
        convert(source, out)
    assert out.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["out.safetensors", "x.pth"]


def test_failure_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    source = pw.save(tmp_path / "x.pth", ss.tree("torchvision", "b0", 2))
    out = tmp_path / "out.safetensors"
    out.write_bytes(b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        convert(source, out, Options(reference=SMALL))
    assert out.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["out.safetensors", "x.pth"]


def test_output_on_top_of_the_source_is_refused(tmp_path):
    source = pw.save(tmp_path / "x.pth", ss.tree("torchvision", "b0", 2))
    before = source.read_bytes()
    with pytest.raises(InputRefused, match="checkpoint itself"):
        convert(source, tmp_path / "." / "x.pth")
    assert source.read_bytes() == before


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "name", ["_fc.bias", "_blocks.2._bn1.running_mean", "_blocks.2._se_reduce.weight"]
)
def test_not_finite(tmp_path, name, value):
    tree = ss.tree("efficientnet_pytorch", "b0", 1)
    old = tree[name]
    data = old.memory.data.copy()
    data[-1] = value
    tree[name] = pw.Tensor(pw.Memory(data), old.shape, old.strides)
    source = pw.save(tmp_path / "x.pth", tree)
    with pytest.raises(InputRefused) as caught:
        convert(source, tmp_path / "out")
    assert f"tensor {name}: holds {value}" in str(caught.value)
    assert "x.pth" in str(caught.value) and "expected finite" in str(caught.value)


def test_negative_variance(tmp_path):
    tree = ss.tree("efficientnet_pytorch", "b0", 1)
    tree["_bn0.running_var"] = pw.tensor(np.full(32, -0.5, np.float32))
    source = pw.save(tmp_path / "x.pth", tree)
    with pytest.raises(InputRefused, match=r"_bn0.running_var: holds -0.5"):
        convert(source, tmp_path / "out")
    tree["_bn0.running_var"] = pw.tensor(np.zeros(32, np.float32))
    pw.save(source, tree)
    with pytest.raises(InputRefused, match="--bn-eps above 0"):
        convert(source, tmp_path / "out", Options(bn_eps=0.0))


def test_half_precision_checkpoint_with_overflown_counters(tmp_path):
    """NTechLab saved everything as F16; after 65504 steps the counters are infinite."""
    arrays = ss.arrays("efficientnet_pytorch", "b0", 1)
    tree = {k: pw.tensor(v.astype(np.float16)) for k, v in arrays.items()}
    for key in [k for k in tree if k.endswith("num_batches_tracked")]:
        tree[key] = pw.tensor(np.array(np.inf, np.float16))
    report = convert(pw.save(tmp_path / "x.pth", tree), tmp_path / "out", Options(reference=SMALL))
    assert np.isfinite(report.metadata.reference_logits).all()


def test_unused_classifiers_may_hold_anything(tmp_path):
    tree = ss.tree("timm", "b0", 1000, "module.encoder.")
    tree["module.encoder.classifier.weight"] = pw.tensor(np.full((1000, 1280), np.nan, np.float32))
    tree["module.fc.weight"] = pw.tensor(np.full((1, 1280), 0.5, np.float32))
    tree["module.fc.bias"] = pw.tensor(np.full(1, 0.25, np.float32))
    source = pw.save(tmp_path / "x.pth", {"epoch": 1, "state_dict": tree})
    convert(source, tmp_path / "out", Options(name="tf_efficientnet_b0", reference=SMALL))
    arch, tensors, meta = read_model(tmp_path / "out")
    assert arch.outputs == 1 and (tensors["classifier.weight"] == 0.5).all()
    assert meta.output == "sigmoid" and meta.fake == 0


def test_normalised_head_is_folded(tmp_path):
    """BatchNorm1d before the linear layer, with PyTorch's default epsilon of 1e-5."""
    tree = ss.tree("efficientnet_pytorch", "b0", 1, "feat_ext.efficientnet.")
    rng = np.random.default_rng(3)
    parts = {
        "weight": rng.uniform(0.5, 1.5, 1280),
        "bias": rng.standard_normal(1280),
        "running_mean": rng.standard_normal(1280),
        "running_var": rng.uniform(1e-5, 1e-4, 1280),
    }
    parts = {k: v.astype(np.float32) for k, v in parts.items()}
    weight = rng.standard_normal((1, 1280)).astype(np.float32)
    tree |= {f"classifier.0.{k}": pw.tensor(v) for k, v in parts.items()}
    tree["classifier.1.weight"] = pw.tensor(weight)
    tree["classifier.1.bias"] = pw.tensor(np.full(1, 0.5, np.float32))
    source = pw.save(tmp_path / "x.pth", tree)
    convert(source, tmp_path / "out", Options(reference=SMALL))
    _, tensors, _ = read_model(tmp_path / "out")
    wide = {k: v.astype(np.float64) for k, v in parts.items()}
    scale = wide["weight"] / np.sqrt(wide["running_var"] + 1e-5)
    np.testing.assert_allclose(tensors["classifier.weight"], weight * scale, rtol=1e-6)
    shift = 0.5 + weight.astype(np.float64) @ (wide["bias"] - wide["running_mean"] * scale)
    np.testing.assert_allclose(tensors["classifier.bias"], shift, rtol=1e-6)


def test_f16_overflow_names_the_tensor(tmp_path):
    tree = ss.tree("torchvision", "b0", 1)
    tree["classifier.1.weight"] = pw.tensor(np.full((1, 1280), 1e5, np.float32))
    source = pw.save(tmp_path / "x.pth", tree)
    with pytest.raises(InputRefused, match=r"classifier.weight.*too large for F16"):
        convert(source, tmp_path / "out", Options(dtype="f16", reference=SMALL))


def test_all_options_reach_the_file(tmp_path):
    source = pw.save(tmp_path / "x.pth", ss.tree("torchvision", "b0", 3))
    (tmp_path / "labels").write_text("real\nfäke\nother\n", encoding="utf-8")
    options = Options(
        padding="fixed:0,1,1,1,2,1,0,1,1,2",
        dtype="f16",
        model_name="My model",
        license="MIT",
        source="somewhere",
        labels=tmp_path / "labels",
        output="sigmoid",
        fake=2,
        input=(100, 90),
        resize="longer",
        filter="opencv-area,opencv-cubic",
        mean=(0.1, 0.2, 0.3),
        std=(0.4, 0.5, 0.6),
        flip=True,
        face_margin=(0.1, 0.2, 0.3, 0.4),
        face_shape="square",
        face_outside="pad",
        face_pad=(1, 2, 3),
        face_rounding="even",
        face_least=7,
        face_align="40x50,real,1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,9.0,0.0",
        resize_border="pad",
        resize_rounding="albumentations",
        resize_canvas="zero",
        temperature=1.5,
        thresholds=(0.25, 0.75),
        reference=(9, 40, 41),
    )
    convert(source, tmp_path / "out", options)
    _, _, meta = read_model(tmp_path / "out")
    for name in ("padding", "output", "fake", "resize", "filter", "flip", "temperature"):
        assert getattr(meta, name) == getattr(options, name)
    for name in ("license", "source", "face_shape", "face_outside"):
        assert getattr(meta, name) == getattr(options, name)
    for name in CROP_FIELDS:
        assert getattr(meta, name) == (getattr(options, name) or "side")
    for name in ("input", "mean", "std", "face_margin", "face_pad", "thresholds", "reference"):
        assert tuple(getattr(meta, name)) == getattr(options, name)
    assert meta.name == "My model" and meta.labels == ["real", "fäke", "other"]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"a\nb\n", "2 labels, expected 3"),
        (b"a\n\nb\n", "line 2 is empty"),
        (b"a\nb\n\xff", "UTF-8"),
    ],
)
def test_label_files(tmp_path, content, word):
    source = pw.save(tmp_path / "x.pth", ss.tree("torchvision", "b0", 3))
    (tmp_path / "labels").write_bytes(content)
    with pytest.raises(InputRefused, match=word):
        convert(source, tmp_path / "out", Options(labels=tmp_path / "labels"))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"fake": 3}, "--fake 3"),
        ({"padding": "fixed:0,1"}, "expected 10"),
        ({"labels": "absent"}, "cannot be read"),
        ({"state_dict": "net"}, "no dict under the key 'net'"),
        ({"resize": "shorter:100"}, "dfnet.resize"),
        ({"model_name": "x" * 200}, "dfnet.name"),
    ],
)
def test_options_that_do_not_fit(tmp_path, options, word):
    source = pw.save(tmp_path / "x.pth", ss.tree("torchvision", "b0", 3))
    with pytest.raises(InputRefused, match=word):
        convert(source, tmp_path / "out", Options(**options))
    assert not (tmp_path / "out").exists()


def test_softmax_over_one_output_is_refused(tmp_path):
    source = pw.save(tmp_path / "x.pth", ss.tree("torchvision", "b0", 1))
    with pytest.raises(InputRefused, match="always 1"):
        convert(source, tmp_path / "out", Options(output="softmax"))


def test_a_model_file_is_not_converted_again(tmp_path):
    source = pw.save(tmp_path / "x.pth", ss.tree("torchvision", "b0", 1))
    convert(source, tmp_path / "a.safetensors", Options(reference=SMALL))
    with pytest.raises(InputRefused, match="already"):
        convert(tmp_path / "a.safetensors", tmp_path / "b")
    with pytest.raises(ModelFileError):
        read_model(source)


def test_safetensors_checkpoint(tmp_path):
    import json
    import struct

    arrays = ss.arrays("timm", "b0", 1)
    header, at = {}, 0
    for name, array in arrays.items():
        kind = "F32" if array.dtype == np.float32 else "I64"
        header[name] = {
            "dtype": kind,
            "shape": list(array.shape),
            "data_offsets": [at, at + array.nbytes],
        }
        at += array.nbytes
    raw = json.dumps(header).encode()
    path = tmp_path / "tf_efficientnet_b0.safetensors"
    data = b"".join(a.tobytes() for a in arrays.values())
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    report = convert(path, tmp_path / "out", Options(reference=SMALL))
    same = logits(tmp_path, ss.tree("timm", "b0", 1))
    assert report.metadata.reference_logits == list(same)
