"""WS-DAN as it is trained: pooling, centres, both passes, a resumed run, the way to libdfnet.

Skipped without torch: `python3 -m pip install -r weights_tools/train/requirements.txt`.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("cv2", reason="OpenCV is not installed")

import train_cache  # noqa: E402

from weights_tools.convert import Options, convert  # noqa: E402
from weights_tools.engine import Library, find_library  # noqa: E402
from weights_tools.forward import forward  # noqa: E402
from weights_tools.model_file import read_model  # noqa: E402
from weights_tools.train import (  # noqa: E402
    attention,
    export,
    loop,
    measure,
    network,
    wsdan,
)
from weights_tools.train.recipe import RecipeError, parse  # noqa: E402

RECIPE = """
name = "tiny"
maps = 3
seed = 3
pairs = 2
warmup = 2
mixup = 0.5
attention = 1.0
head_rate = 0.1
validate_every = 0
kinds = { composite = 1.0, blend = 1.0 }
reals = { ciplab-real = 0.5, utk-real = 0.2 }
[[phases]]
size = 64
steps = 4
rate = 1e-3
rate_end = 5e-4
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    place = tmp_path_factory.mktemp("cache")
    train_cache.make(place)
    return place


@pytest.fixture(scope="module")
def initial(tmp_path_factory):
    torch.manual_seed(11)
    place = tmp_path_factory.mktemp("initial") / "face.pth"
    torch.save(network.Network("lite0").state_dict(), place)
    return place


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def lived_in(size=96, maps=4):
    """A WS-DAN whose statistics, scales and maps are not those of a new one."""
    torch.manual_seed(1)
    made = wsdan.WsDan("lite0", maps, momentum=0.5)
    made.train()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 1:
                parameter += 0.1 * torch.randn_like(parameter)
        made.fc.weight.normal_(std=0.02)
        for _ in range(6):
            made(torch.randn(4, 3, size, size))
        made.eval()
        bn = made.attentions.bn
        raw = made.attentions.conv(made.EFN.features(torch.randn(4, 3, size, size)))
        bn.running_mean.copy_(raw.mean((0, 2, 3)))
        bn.running_var.copy_(raw.var((0, 2, 3)))
        bn.bias.fill_(-0.8)  # maps with holes: parts of the picture get no attention
    return made


def test_parts_are_means_of_map_times_feature():
    made = lived_in()
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        parts, maps = made.attend(x)
        features = made.EFN.features(x)
        f = made.describe(parts)
    assert parts.shape == (2, 4, 1280)
    assert float(maps.min()) == 0 < float(maps.max())
    m = int(maps[1].mean((1, 2)).argmax())
    own = sum(maps[1, m, i, j] * features[1, :, i, j] for i in range(3) for j in range(3)) / 9
    assert torch.allclose(parts[1, m], own, atol=1e-5)
    assert torch.allclose(f.norm(dim=1), torch.ones(2))
    a, b = parts[1, m].topk(2).indices
    one, other = (f[1].reshape(4, 1280)[m, c] for c in (a, b))
    assert float((one / other) ** 2) == pytest.approx(float(parts[1, m, a] / parts[1, m, b]))


@pytest.mark.parametrize("look", [None, "logits,0.1,0.05"])
def test_libdfnet_computes_what_was_trained(tmp_path, look):
    place = find_library()
    if place is None:
        pytest.skip("libdfnet is not built")
    made = lived_in()
    export.rounded(made)
    source, out = tmp_path / "w.pth", tmp_path / "w.safetensors"
    torch.save(made.state_dict(), source)
    settings = {"output": "sigmoid", "fake": 0, "input": (96, 96), "dtype": "f16", "look": look}
    convert(source, out, Options(**settings))
    x = torch.randn(6, 3, 96, 96)
    with torch.no_grad():
        once, twice, maps = made(x), made.look_twice(x), made.attend(x)[1]
        boxes = [wsdan.look_box(m, (96, 96)) for m in maps.mean(1, keepdim=True)]
    arch, tensors, metadata = read_model(out)
    assert arch.variant == "lite0"
    assert arch.attention == 4
    assert np.allclose(
        forward(arch, tensors, x.numpy(), metadata.padding)[:, 0], once.numpy(), atol=2e-4
    )
    with Library(place).load(out) as model, model.session(96, 96, 6) as session:
        assert np.allclose(session.run(x.numpy())[:, 0], once.numpy(), atol=2e-4)
        if not look:
            return
        logits, parts = session.look(x.numpy())
    assert any(box != (0, 96, 0, 96) for box in boxes)
    assert float((once - twice).abs().max()) > 1e-3
    assert np.allclose(logits[:, 0, 0], once.numpy(), atol=2e-4)
    assert np.allclose(logits[:, 2, 0], twice.numpy(), atol=2e-4)
    for (top, bottom, left, right), part in zip(boxes, parts, strict=True):
        assert list(part) == [left, top, right - left, bottom - top]


def test_look_box_grows_by_whole_numbers_of_the_sum():
    mean = torch.zeros(1, 7, 7)
    assert wsdan.look_box(mean, (70, 70)) == (0, 70, 0, 70)
    mean[0, 3, 3] = 1.0
    # At least .1 of the peak: rows 25 to 44 of 70; 3.5 more on each side, cut.
    rows = attention.mask(mean, (70, 70), torch.tensor([0.1]))[0].any(1).nonzero()[:, 0]
    top, bottom, left, right = wsdan.look_box(mean, (70, 70))
    assert (top, bottom) == (int(int(rows[0]) - 3.5), int(int(rows[-1]) + 3.5))
    assert (top, bottom) == (left, right)


def test_centres_move_to_their_class_and_mixtures_belong_to_none():
    centres = torch.zeros(2, 6)
    f = torch.eye(6)[:4]
    targets = torch.tensor([0.0, 1.0, 0.0, 0.4])
    loss = wsdan.pull(centres, f, targets)
    assert float(loss) == pytest.approx(1)  # a centre of nothing is at 0
    assert torch.allclose(centres[0], 0.05 * (f[0] + f[2]) / 2)
    assert torch.allclose(centres[1], 0.05 * f[1])
    # Now the centres have directions: the fake one's is f[1] itself.
    assert float(wsdan.pull(centres, f[1:2], targets[1:2])) == pytest.approx(0, abs=1e-6)


def test_a_step_crops_half_of_the_pictures_and_drops_in_the_others(monkeypatch):
    made = lived_in(64, 3).train()
    seen = {}
    for name in ("crop", "drop"):
        real = getattr(attention, name)

        def spy(pictures, maps, g, name=name, real=real):
            seen[name] = pictures.clone()
            assert not maps.requires_grad
            return real(pictures, maps, g)

        monkeypatch.setattr(attention, name, spy)
    x = torch.randn(8, 3, 64, 64)
    targets = torch.tensor([0.0, 1.0] * 4)
    settings = (made, wsdan.centres_of(made), x, targets, targets, generator())
    wsdan.backward(*settings, second=True, centre=1.0)
    assert torch.equal(seen["crop"], x[[0, 1, 4, 5]])
    assert torch.equal(seen["drop"], x[[2, 3, 6, 7]])
    assert all(p.grad is not None for p in made.parameters())


def test_the_backbone_starts_from_a_trained_one(initial):
    weights = network.initial_weights(initial)
    made = wsdan.WsDan("lite0", 2)
    wsdan.start(made, weights)
    assert torch.equal(made.EFN._conv_head.weight, weights["_conv_head.weight"])
    assert not any("_fc" in name for name in made.state_dict())
    with pytest.raises(ValueError, match=r"lack _conv_stem\.weight"):
        wsdan.start(made, {k: v for k, v in weights.items() if k != "_conv_stem.weight"})


def test_training_goes_on_from_a_classifier_of_one_output(initial):
    weights = network.initial_weights(initial)
    made = network.Network("lite0")
    assert network.start_from(made, weights) == []
    assert torch.equal(made._fc.weight, weights["_fc.weight"])


def test_a_resumed_run_ends_with_the_same_weights(cache, initial, tmp_path):
    torch.set_num_threads(1)
    recipe = parse(RECIPE)
    whole = loop.Run(recipe, cache, tmp_path / "whole", initial, workers=0)
    assert [group["share"] for group in whole.optimiser.param_groups] == [1.0, 1.0, 0.1]
    whole.fit()

    class Killed(Exception):
        pass

    first = loop.Run(recipe, cache, tmp_path / "parts", initial, workers=0)
    step = first._train

    def dies(*batch):
        if first.step == 2:
            raise Killed
        return step(*batch)

    first._train = dies
    with pytest.raises(Killed):
        first.fit(save_every=0.0)
    second = loop.Run(recipe, cache, tmp_path / "parts", initial, workers=0)
    assert second.step == 2
    assert float(second.centres.abs().sum()) > 0
    second.fit()
    assert torch.equal(second.centres, whole.centres)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
    made = measure.network_of(tmp_path / "parts" / "last.pth", "lite0")
    assert isinstance(made, wsdan.WsDan)
    assert made.attentions.conv.weight.shape[0] == 3


def test_a_recipe_with_too_many_maps_is_refused():
    with pytest.raises(RecipeError, match="maps: is 65, allowed are 0 to 64"):
        parse(RECIPE.replace("maps = 3", "maps = 65"))
