"""The trained network, attention cropping and dropping, batches and a resumed run.

Skipped without torch: `python3 -m pip install -r weights_tools/train/requirements.txt`.
"""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("cv2", reason="OpenCV is not installed")

import train_cache  # noqa: E402

from weights_tools.checkpoint import open_checkpoint  # noqa: E402
from weights_tools.convert import Options, convert  # noqa: E402
from weights_tools.forward import forward  # noqa: E402
from weights_tools.model_file import read_model  # noqa: E402
from weights_tools.train import (  # noqa: E402
    ablate,
    attention,
    autoencoders,
    data,
    export,
    heldout,
    loop,
    network,
    sets,
)
from weights_tools.train.recipe import parse  # noqa: E402

RECIPE = """
name = "tiny"
seed = 3
pairs = 2
warmup = 2
mixup = 0.5
attention = 1.0
validate_every = 4
kinds = { composite = 1.0, portrait = 1.0, blend = 1.0, swap = 1.0 }
reals = { ciplab-real = 0.5, ffhq-real = 0.3, utk-real = 0.2 }
[[phases]]
size = 64
steps = 2
rate = 1e-3
rate_end = 5e-4
[[phases]]
size = 96
steps = 2
rate = 5e-4
rate_end = 1e-5
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    place = tmp_path_factory.mktemp("cache")
    train_cache.make(place)
    return place


@pytest.fixture(scope="module")
def drawing(tmp_path_factory):
    """A cache with autoencoders, which have learnt nothing."""
    place = tmp_path_factory.mktemp("drawing")
    train_cache.make(place)
    torch.manual_seed(12)
    for name, plan in autoencoders.PLANS.items():
        for kind in autoencoders.KINDS:
            state = autoencoders.Autoencoder(kind, plan).state_dict()
            torch.save(state, place / f"autoencoder-{name}-{kind}.pth")
    return place


@pytest.fixture(scope="module")
def initial(tmp_path_factory):
    torch.manual_seed(11)
    place = tmp_path_factory.mktemp("initial") / "lite0.pth"
    weights = network.Network("lite0").state_dict()
    torch.save({k: v for k, v in weights.items() if not k.startswith("_fc")}, place)
    return place


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def lived_in(name):
    """A network whose statistics and scales are not 0 and 1."""
    torch.manual_seed(1)
    made = network.Network(name)
    made.train()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 1:
                parameter += 0.1 * torch.randn_like(parameter)
        for _ in range(8):
            made(torch.randn(4, 3, 64, 64))
    return made.eval()


@pytest.mark.parametrize("name", ["b0", "lite0"])
def test_converted_weights_compute_the_same(tmp_path, name):
    made = lived_in(name)
    source, out = tmp_path / "w.pth", tmp_path / "w.safetensors"
    torch.save(made.state_dict(), source)
    convert(source, out, Options(output="sigmoid", fake=0, input=(64, 64)))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = made(x).numpy()
    arch, tensors, metadata = read_model(out)
    got = forward(arch, tensors, x.numpy(), metadata.padding)
    assert np.allclose(got[:, 0], expected, atol=1e-4)
    assert arch.variant == name


@pytest.mark.parametrize("name", ["b0", "lite0"])
def test_rounded_weights_lose_nothing_in_f16(tmp_path, name):
    made = lived_in(name)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = made(x)
        export.rounded(made)
        after = made(x)
    assert 0 < float((before - after).abs().max()) < 0.05
    source, whole, half = (tmp_path / n for n in ("w.pth", "f32.safetensors", "f16.safetensors"))
    torch.save(made.state_dict(), source)
    for out, dtype in ((whole, "f32"), (half, "f16")):
        convert(source, out, Options(output="sigmoid", fake=0, input=(64, 64), dtype=dtype))
    logits = []
    for out in (whole, half):
        arch, tensors, metadata = read_model(out)
        logits.append(forward(arch, tensors, x.numpy(), metadata.padding)[:, 0])
    assert np.allclose(logits[1], after.numpy(), atol=2e-5)
    assert np.allclose(logits[0], logits[1], atol=2e-5)


def test_the_mean_of_weights():
    states = [lived_in("lite0").state_dict() for _ in range(2)]
    states[1] = {k: v + 2 if v.is_floating_point() else v + 1 for k, v in states[1].items()}
    made = export.mean_of(states)
    for name, value in made.items():
        expected = states[0][name] + 1  # halfway between, a counter is the last one's
        assert torch.allclose(value.double(), expected.double(), atol=1e-5), name
    states[0]["_fc.weight"] = states[0]["_fc.weight"][:, :5]
    with pytest.raises(ValueError, match="several networks"):
        export.mean_of(states)


def test_the_card_is_added_and_nothing_else(tmp_path):
    source, out, described = (tmp_path / n for n in ("w.pth", "a.safetensors", "b.safetensors"))
    torch.save(lived_in("lite0").state_dict(), source)
    convert(source, out, Options(output="sigmoid", fake=0, input=(64, 64), dtype="f16"))
    export.card(out, described, {"limits": "None known."})
    before, after = read_model(out), read_model(described)
    assert after[2].extra == before[2].extra | {"x.limits": "None known."}
    assert after[2].thresholds == before[2].thresholds
    for name, tensor in before[1].items():
        assert np.array_equal(tensor, after[1][name]), name


def test_start_opens_the_gates_and_refuses_other_networks(initial):
    weights = network.initial_weights(initial)
    made = network.Network("b0")
    left = network.start_from(made, weights)
    assert all("_se_" in k or k.startswith("_fc") for k in left)
    gate = made._blocks[3]._se_expand.bias
    assert torch.all(gate == 4)
    weights.pop("_conv_stem.weight")
    with pytest.raises(ValueError, match=r"_conv_stem\.weight"):
        network.start_from(network.Network("b0"), weights)


def blob(at, n=1, m=2, size=7):
    maps = torch.zeros(n, m, size, size)
    maps[:, 0, at[0], at[1]] = 1.0
    return maps


def test_choose_never_takes_an_empty_map():
    maps = blob((2, 5), n=64)
    chosen = attention.choose(maps, generator())
    assert torch.all(chosen.amax((1, 2)) > 0)


def test_choose_weighs_by_the_roots_of_the_means():
    maps = torch.ones(4000, 2, 2, 2)
    maps[:, 0] *= 9
    share = (attention.choose(maps, generator())[:, 0, 0] == 9).float().mean()
    assert abs(float(share) - 0.75) < 0.03


def test_drop_hides_the_part_and_only_it():
    pictures = torch.ones(3, 3, 70, 70)
    dropped = attention.drop(pictures, blob((1, 5), n=3), generator())
    assert torch.all(dropped[:, :, 11, 57] == 0)
    assert torch.all(dropped[:, :, 40:, :] == 1)
    assert 0 < float((dropped == 0).float().mean()) < 0.15


def test_crop_shows_the_part_enlarged():
    pictures = torch.zeros(1, 3, 70, 70)
    pictures[:, :, :35, 35:] = 1
    cropped = attention.crop(pictures, blob((1, 5)), generator())
    assert cropped.shape == pictures.shape
    assert float(cropped.mean()) > 0.9


def test_box_of_is_extended_clamped_and_never_thin():
    where = torch.zeros(40, 60, dtype=torch.bool)
    assert attention.box_of(where, 0.1) == (0, 40, 0, 60)
    where[10, 20] = True
    assert attention.box_of(where, 0.1) == (6, 15, 14, 27)
    assert attention.box_of(where, 0.0) == (10, 12, 20, 22)
    where[0, 59] = True
    assert attention.box_of(where, 0.5) == (0, 31, 0, 60)


def test_maps_are_the_channels_that_count():
    features = torch.rand(2, 6, 4, 4, requires_grad=True)
    weights = torch.tensor([0.0, 0.0, -5.0, 0.0, 4.0, 0.1])
    maps = attention.maps_of(features, weights, 2)
    assert not maps.requires_grad
    for i in range(2):
        own = {round(float(m.sum()), 4) for m in maps[i]}
        assert own == {round(float(features[i, c].sum()), 4) for c in (2, 4)}


def pairs_of(cache, **changes):
    settings = {
        "seed": (5,),
        "pairs": 3,
        "size": 64,
        "steps": range(6),
        "mixup": 0.0,
        "strength": 1.0,
    } | changes
    reals = {"ciplab-real": 1.0, "utk-real": 1.0}
    kinds = dict.fromkeys(("blend", "swap", "composite", "portrait"), 1.0)
    return data.Pairs(cache, kinds, reals, **settings)


def test_batches_depend_on_seed_and_step_only(cache):
    first, later = pairs_of(cache), pairs_of(cache, steps=range(4, 6))
    images, targets, _ = first[4]
    assert images.shape == (6, 64, 64, 3)
    assert targets.tolist() == [0, 1] * 3
    assert torch.equal(images, later[0][0])
    assert not torch.equal(images, first[5][0])
    assert not torch.equal(images, pairs_of(cache, seed=(6,))[4][0])


def test_training_never_sees_held_out_pictures(cache):
    made = pairs_of(cache)
    for name, places in made.places.items():
        assert set(made.sets[name].part[places]) == {sets.TRAIN}, name


def test_mixing_gives_soft_targets_to_pairs_of_one_source(cache):
    made = pairs_of(cache, mixup=1.0, pairs=24)
    _, targets, kinds = made[0]
    for i, kind in enumerate(kinds):
        same = data.KINDS[int(kind)] in ("blend", "swap")
        assert (0 <= float(targets[2 * i + 1]) < 1) == same
        assert float(targets[2 * i]) == 0


def test_grafts_are_pairs_of_one_picture(drawing):
    reals = {"ciplab-real": 1.0, "ffhq-real": 1.0, "utk-real": 1.0}
    settings = {"seed": (2,), "pairs": 12, "size": 96, "steps": range(2), "mixup": 0.0}
    made = data.Pairs(drawing, {"graft": 1.0}, reals, strength=0.0, **settings)
    images, targets, _ = made[1]
    assert torch.equal(images, made[1][0])
    assert targets.tolist() == [0, 1] * 12
    gap = (images[::2].int() - images[1::2].int()).abs().amax(3)
    assert torch.all(gap.amax((1, 2)) > 8)
    # The picture's rim is outside every mask.
    assert float((gap[:, 0] > 2).float().mean()) < 0.1


def test_held_out_grafts_stand_beside_their_reals(drawing):
    real, fake = heldout.load(drawing, sets.TEST, 64)["graft"]
    assert len(real) == len(fake) > 3
    assert all(not np.array_equal(a, b) for a, b in zip(real, fake, strict=True))
    again = heldout.load(drawing, sets.TEST, 64)["graft"]
    assert np.array_equal(fake, again[1])


def test_an_unknown_kind_is_refused(cache):
    settings = {"seed": (1,), "pairs": 1, "size": 64, "steps": range(1)}
    with pytest.raises(ValueError, match="'blended' is no kind"):
        data.Pairs(cache, {"blended": 1.0}, {"utk-real": 1.0}, mixup=0, strength=1, **settings)


def test_rate_warms_up_and_falls():
    recipe = parse(RECIPE)
    values = [loop.rate(recipe, s) for s in range(4)]
    assert values[0] == pytest.approx(0.5e-3)
    assert values[1] == pytest.approx(0.75e-3)
    assert values[2] == pytest.approx(0.5e-3)
    assert values[3] < values[2]


def test_a_resumed_run_ends_with_the_same_weights(cache, initial, tmp_path):
    torch.set_num_threads(1)
    recipe = parse(RECIPE)
    whole = loop.Run(recipe, cache, tmp_path / "whole", initial, workers=0)
    start = copy.deepcopy(whole.network.state_dict())
    whole.fit()

    class Killed(Exception):
        pass

    first = loop.Run(recipe, cache, tmp_path / "parts", initial, workers=0)
    step = first._train

    def dies(*batch):
        if first.step == 3:
            raise Killed
        return step(*batch)

    first._train = dies
    with pytest.raises(Killed):
        first.fit(save_every=0.0)
    second = loop.Run(recipe, cache, tmp_path / "parts", initial, workers=0)
    assert second.step == 3
    second.fit()
    for name, value in whole.average.state_dict().items():
        assert torch.equal(value, second.average.state_dict()[name]), name
    assert any(not torch.equal(v, whole.network.state_dict()[k]) for k, v in start.items())
    lines = (tmp_path / "whole" / "history.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    assert last["step"] == 4 and last["size"] == 96
    assert 0 <= last["composite"] <= 1
    saved = open_checkpoint(tmp_path / "whole" / "last.pth")
    assert saved is not None


def test_processes_share_a_run_and_average_their_gradients(cache, initial, tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE.replace("validate_every = 4", "validate_every = 0"))
    loop.fit_shared(recipe, cache, tmp_path / "run", initial, processes=2)
    state = torch.load(tmp_path / "run" / "checkpoint.pth", weights_only=True)
    assert state["step"] == 4
    last = torch.load(tmp_path / "run" / "last.pth", weights_only=True)
    assert all(torch.isfinite(v).all() for v in last.values() if v.is_floating_point())


def test_a_study_is_kept_and_marks_what_differs(tmp_path, capsys):
    rng = np.random.default_rng(1)
    real, fake = rng.normal(0, 1, (2, 80))
    good = {"composite/real": real, "composite/fake": fake + 3}
    bad = {"composite/real": real, "composite/fake": fake}
    for seed in (1, 2):
        np.savez(tmp_path / f"all-{seed}.npz", **good)
        np.savez(tmp_path / f"without_mixing-{seed}.npz", **bad)
    names = ["all", "without mixing", "without portraits (unseen)"]
    ablate.table(tmp_path, names)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| row | seeds | composite |"
    assert len(lines) == 4
    assert lines[2].startswith("| all | 2 | 0.9") and "*" not in lines[2]
    assert lines[3].startswith("| without mixing | 2 | 0.") and "* [" in lines[3]


def test_an_ablation_runs_what_is_missing(drawing, initial, tmp_path, capsys):
    recipe = parse(RECIPE)
    rows = ["all", "without mixing"]
    settings = {"steps": 1, "size": 64, "seeds": [1]}
    ablate.run(recipe, drawing, tmp_path, initial, only=rows[:1], **settings)
    before = (tmp_path / "all-1.npz").stat().st_mtime_ns
    ablate.run(recipe, drawing, tmp_path, initial, only=rows, **settings)
    assert (tmp_path / "all-1.npz").stat().st_mtime_ns == before
    assert "| without mixing | 1 | " in capsys.readouterr().out


def test_a_phase_has_its_own_memory(cache, initial, tmp_path):
    text = RECIPE.replace("validate_every = 4", "validate_every = 0") + "average = 1e-7\n"
    run = loop.Run(parse(text), cache, tmp_path / "run", initial, workers=0)
    run.fit()
    own = run.network.state_dict()
    for name, value in run.average.state_dict().items():
        assert torch.allclose(value, own[name], atol=1e-5), name
