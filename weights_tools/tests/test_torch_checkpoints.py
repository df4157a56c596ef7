"""Checkpoints written by torch itself, and the libraries' own networks as the oracle.

Skipped where torch (or timm, torchvision) is not installed: the converter never needs them.
"""

from __future__ import annotations

import collections
import importlib
import warnings

import numpy as np
import pytest

from weights_tools import naming
from weights_tools.checkpoint import open_checkpoint
from weights_tools.convert import Options, convert, fold_layers
from weights_tools.errors import InputRefused
from weights_tools.forward import forward
from weights_tools.recipes import recipe
from weights_tools.reference import reference_input

torch = pytest.importorskip("torch", reason="torch is not installed")

# Variants whose comparison is quick enough to be made with a wrong padding and epsilon, too.
SMALL = ("b0", "lite0", "v2-b0")

BOTH = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def saved(path, value, zipped):
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return open_checkpoint(path)


@BOTH
def test_tensors_of_torch(tmp_path, zipped):
    base = torch.arange(24.0)
    values = {
        "plain": torch.randn(2, 3),
        "transposed": base.reshape(4, 6).t(),
        "window": base[3:11:2],
        "expanded": torch.ones(1, 3).expand(4, 3),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "half": torch.randn(4).half(),
        "double": torch.randn(4).double(),
        "int": torch.tensor([-(2**40), 5]),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "channels_last": torch.randn(1, 3, 4, 5).to(memory_format=torch.channels_last),
    }
    tree = saved(tmp_path / "x.pth", values, zipped).tree
    for name, value in values.items():
        np.testing.assert_array_equal(tree[name].read(), value.detach().numpy(), err_msg=name)
    bfloat = torch.randn(5).bfloat16()
    tree = saved(tmp_path / "x.pth", {"t": bfloat}, zipped).tree
    np.testing.assert_array_equal(tree["t"].read(), bfloat.float().numpy())


@BOTH
def test_training_checkpoint_of_torch(tmp_path, zipped):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.randn(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3])
    value = {
        "state_dict": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "rng": torch.get_rng_state(),
        "best": np.float64(0.5),
        "device": torch.device("cpu"),
        "size": torch.Size([1, 2]),
        "kind": torch.float16,
    }
    tree = saved(tmp_path / "x.pth", value, zipped).tree
    assert list(tree["state_dict"]) == list(net.state_dict())
    assert tree["size"] == (1, 2)


@BOTH
def test_whole_module_is_refused(tmp_path, zipped):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(InputRefused, match="state_dict"):
            saved(tmp_path / "x.pth", torch.nn.Linear(2, 2), zipped)


def test_torchscript_is_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "x.pt")
    with pytest.raises(InputRefused, match="TorchScript"):
        open_checkpoint(tmp_path / "x.pt")


def library(name):
    """A library, or a skip: torchvision may also be there and not fit the torch beside it."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        pytest.skip(f"{name} cannot be imported: {error}")


def randomised(net):
    """Statistics of a random batch, as after training, and random affine parameters.

    Statistics that do not belong to the weights would let activations grow until the comparison
    measured nothing but rounding.
    """
    generator = torch.Generator().manual_seed(5)
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = None  # running statistics become those of the one batch
            norm.weight.uniform_(0.7, 1.3, generator=generator)
            norm.bias.normal_(0, 0.2, generator=generator)
        net.train()(torch.randn(4, 3, 96, 96, generator=generator))
    return net.eval()


def compare(tmp_path, net, name, scheme, variant):
    """Folded weights through numpy against the network itself, both in float64."""
    net = randomised(net)
    path = tmp_path / f"{name}.pth"
    torch.save(collections.OrderedDict(model=net.state_dict(), epoch=3), path)
    found = naming.identify(open_checkpoint(path).tree)
    assert (found.scheme.name, found.arch.variant) == (scheme, variant)
    chosen = recipe(scheme, found.arch, None, name)
    tensors = fold_layers(found.arch, found.layers, found.state, chosen.eps)
    # Odd on both axes, and at an odd size in some stride-2 layers, where paddings differ.
    x = reference_input(7, *((75, 54) if variant in SMALL else (45, 38)))
    with torch.no_grad():
        expected = net.double()(torch.from_numpy(x.astype(np.float64))).numpy()
    got = forward(found.arch, tensors, x, chosen.padding)
    scale = np.abs(expected).max()
    assert np.abs(got - expected).max() < 1e-9 * scale
    if variant not in SMALL:
        return  # the rest once more on the large networks would only take time
    wrong = fold_layers(found.arch, found.layers, found.state, chosen.eps * 3)
    assert np.abs(forward(found.arch, wrong, x, chosen.padding) - expected).max() > 1e-6 * scale
    other = "sym" if chosen.padding == "same" else "same"
    assert np.abs(forward(found.arch, tensors, x, other) - expected).max() > 1e-6 * scale
    report = convert(path, tmp_path / "out", Options(dtype="f16", reference=(1, 32, 32)))
    assert report.architecture == found.arch


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("tf_efficientnet_b0", "b0"),
        ("efficientnet_b0", "b0"),
        ("efficientnet_b4", "b4"),
        ("tf_efficientnet_lite0", "lite0"),
        ("tf_efficientnetv2_s", "v2-s"),
        ("tf_efficientnetv2_b0", "v2-b0"),
    ],
)
def test_timm(tmp_path, name, variant):
    timm = library("timm")
    torch.manual_seed(0)
    compare(tmp_path, timm.create_model(name), name, "timm", variant)


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("efficientnet_b0", "b0"),
        ("efficientnet_b4", "b4"),
        ("efficientnet_b5", "b5"),
        ("efficientnet_v2_s", "v2-s"),
    ],
)
def test_torchvision(tmp_path, name, variant):
    models = library("torchvision.models")
    torch.manual_seed(0)
    compare(tmp_path, getattr(models, name)(weights=None), name, "torchvision", variant)
