"""Architectures: published parameter counts, MACs, stage tables, refusals."""

import math

import pytest

from weights_tools.arch import (
    NATIVE_SIZE,
    VARIANTS,
    Architecture,
    ArchitectureError,
    Padding,
    Stage,
    round_filters,
    variant,
)

B0_STAGES = (
    "mb,3,1,1,16,1,4;mb,3,2,6,24,2,4;mb,5,2,6,40,2,4;mb,3,2,6,80,3,4;mb,5,1,6,112,3,4;"
    "mb,5,2,6,192,4,4;mb,3,1,6,320,1,4"
)

# Parameters with 1000 classes before folding, as published: torchvision's `num_params` for
# b0..b7 and v2-s, m, l; timm's results table (two decimals of a million) agrees with the others.
# Blocks and MACs at native size with SAME padding: computed from the papers' tables by a
# generator that shares no code with arch.py.
PUBLISHED = {
    "b0": (5288548, 16, 385814752),
    "b1": (7794184, 23, 686802832),
    "b2": (9109994, 23, 993561872),
    "b3": (12233232, 26, 1827141392),
    "b4": (19341616, 32, 4393771024),
    "b5": (30389784, 39, 10266384752),
    "b6": (43040704, 45, 19067593536),
    "b7": (66347960, 55, 37745884192),
    "b8": (87413142, 61, 62597461568),
    "l2": (480309308, 88, 475703653280),
    "lite0": (4652008, 16, 385187552),
    "lite1": (5416680, 21, 600185232),
    "lite2": (6092072, 21, 859736272),
    "lite3": (8197096, 24, 1383321872),
    "lite4": (13006568, 30, 2553034336),
    "v2-s": (21458488, 40, None),
    "v2-m": (54139356, 57, None),
    "v2-l": (118515272, 79, None),
    "v2-b0": (7139704, 21, None),
    "v2-b1": (8141052, 27, None),
    "v2-b2": (10096086, 28, None),
    "v2-b3": (14358406, 32, None),
}


def unfolded_parameters(arch: Architecture) -> int:
    """Batch normalisation has two parameters a channel where the folded layer has one bias."""
    total = 0
    for name, shape in arch.tensors().items():
        normalised = name.endswith(".bias") and ".se." not in name and "classifier" not in name
        total += math.prod(shape) * (2 if normalised else 1)
    return total


def test_every_variant_is_published():
    assert set(PUBLISHED) == set(VARIANTS) == set(NATIVE_SIZE)


@pytest.mark.parametrize("name", VARIANTS)
def test_parameters_blocks_and_macs(name):
    arch = variant(name)
    parameters, blocks, macs = PUBLISHED[name]
    assert unfolded_parameters(arch) == parameters
    assert len(arch.blocks()) == blocks
    if macs is not None:
        size = NATIVE_SIZE[name]
        assert arch.macs(size, size, "same") == macs


@pytest.mark.parametrize(
    ("name", "height", "width", "expected"),
    [("b4", 224, 224, 1.504), ("b7", 380, 380, 15.115), ("l2", 475, 475, 170.9)],
)
def test_macs_at_other_sizes(name, height, width, expected):
    macs = variant(name).macs(height, width, "same") / 1e9
    assert macs == pytest.approx(expected, abs=0.0006 if expected < 100 else 0.06)


@pytest.mark.parametrize("name", ["v2-s", "v2-m", "v2-l"])
def test_v2_macs_match_torchvision_ops(name):
    """torchvision publishes `_ops`: 8.366, 24.582, 56.08 G at 384, 480, 480."""
    size = NATIVE_SIZE[name]
    macs = variant(name).macs(size, size, "sym") / 1e9
    assert macs == pytest.approx({"v2-s": 8.366, "v2-m": 24.582, "v2-l": 56.08}[name], abs=0.0011)


@pytest.mark.parametrize("name", VARIANTS)
def test_stage_string_round_trip(name):
    arch = variant(name, outputs=7)
    parsed = Architecture.parse(
        arch.stage_string(),
        variant=name,
        activation=arch.activation,
        stem=arch.stem,
        head=arch.head,
        outputs=7,
    )
    assert parsed == arch


def test_b0_in_the_words_of_the_format():
    assert variant("b0").stage_string() == B0_STAGES


def test_canonical_order_and_shapes():
    arch = Architecture.parse(
        "fused,3,1,1,8,1,0;fused,3,2,4,12,1,0;mb,5,2,1,16,1,3;mb,3,1,6,16,1,0",
        activation="swish",
        stem=8,
        head=24,
        outputs=2,
    )
    weights = {k: v for k, v in arch.tensors().items() if k.endswith("weight")}
    assert list(weights.items()) == [
        ("stem.weight", (8, 3, 3, 3)),
        ("blocks.0.conv.weight", (8, 8, 3, 3)),
        ("blocks.1.conv.weight", (32, 8, 3, 3)),
        ("blocks.1.project.weight", (12, 32, 1, 1)),
        ("blocks.2.depthwise.weight", (12, 1, 5, 5)),
        ("blocks.2.se.reduce.weight", (4, 12)),
        ("blocks.2.se.expand.weight", (12, 4)),
        ("blocks.2.project.weight", (16, 12, 1, 1)),
        ("blocks.3.expand.weight", (96, 16, 1, 1)),
        ("blocks.3.depthwise.weight", (96, 1, 3, 3)),
        ("blocks.3.project.weight", (16, 96, 1, 1)),
        ("head.weight", (24, 16, 1, 1)),
        ("classifier.weight", (2, 24)),
    ]
    names = list(arch.tensors())
    assert names[::2] == list(weights)
    assert names[1::2] == [n.replace("weight", "bias") for n in weights]
    assert [b.residual for b in arch.blocks()] == [True, False, False, True]
    assert arch.stride2_kernels() == [3, 3, 5]


def test_squeezed_channels_are_at_least_one():
    arch = Architecture("custom", "swish", 3, (Stage("mb", 3, 1, 1, 3, 1, 64),), 8, 1)
    assert arch.blocks()[0].squeezed == 1


def test_rounding_rules():
    # 2.2 * 40 = 88 exactly; 1.4 * 16 = 22.4 -> 24; 1.1 * 24 = 26.4 -> 24 is 0.909 of it, kept.
    assert [round_filters(40, 2.2), round_filters(16, 1.4), round_filters(24, 1.1)] == [88, 24, 24]
    # 1.2 * 9 = 10.8 -> 8 is below 90 %, so 16; V2 keeps 8.
    assert round_filters(9, 1.2) == 16
    assert round_filters(9, 1.2, keep_90_percent=False) == 8


@pytest.mark.parametrize(
    ("kernel", "n", "pair"),
    [
        (3, 8, (0, 1)),
        (3, 7, (1, 1)),
        (5, 8, (1, 2)),
        (5, 7, (2, 2)),
        (3, 1, (1, 1)),
        (5, 2, (1, 2)),
    ],
)
def test_same_padding(kernel, n, pair):
    padding = Padding("same", (kernel,))
    assert padding.pair(0, n) == pair
    assert padding.output(0, n) == -(-n // 2)


def test_sym_and_fixed_padding():
    assert Padding("sym", (5,)).pair(0, 8) == (2, 2)
    arch = variant("b0")
    fixed = Padding.parse("fixed:0,1,0,1,1,2,0,1,1,2", arch)
    assert [fixed.pair(i, 9) for i in range(5)] == [(0, 1), (0, 1), (1, 2), (0, 1), (1, 2)]
    # 299 rows: the old fixed padding gives one row less than SAME does.
    assert arch.sizes(299, 299, "fixed:0,1,0,1,1,2,0,1,1,2")[-1] == (9, 9)
    assert arch.sizes(299, 299, "same")[-1] == (10, 10)


def test_fixed_padding_that_leaves_nothing():
    arch = variant("b0")
    with pytest.raises(ArchitectureError, match="too small"):
        arch.sizes(32, 32, "fixed:0,0,0,0,0,0,0,0,0,0")


@pytest.mark.parametrize(
    "text",
    ["", "SAME", "fixed:", "fixed:0,1", "fixed:0,1,0,1,1,2,0,1,1,5", "fixed:3,1,0,1,1,2,0,1,1,2"]
    + ["fixed:0,1,0,1,1,2,0,1,1,02", "fixed:0,1,0,1,1,2,0,1,1,-1", "fixed:0,1,0,1,1,2,0,1,1,2,"],
)
def test_padding_refused(text):
    with pytest.raises(ArchitectureError):
        Padding.parse(text, variant("b0"))


@pytest.mark.parametrize(
    "stages",
    [
        "",
        "mb,3,1,1,16,1",
        "mb,3,1,1,16,1,4,1",
        "mb,3,1,1,16,1,4;",
        "xx,3,1,1,16,1,4",
        "mb,4,1,1,16,1,4",
        "mb,3,3,1,16,1,4",
        "mb,3,0,1,16,1,4",
        "mb,3,1,0,16,1,4",
        "mb,3,1,17,16,1,4",
        "mb,3,1,1,0,1,4",
        "mb,3,1,1,8193,1,4",
        "mb,3,1,1,16,0,4",
        "mb,3,1,1,16,65,4",
        "mb,3,1,1,16,1,65",
        "fused,3,1,1,16,1,4",
        "mb, 3,1,1,16,1,4",
        "mb,03,1,1,16,1,4",
        "mb,+3,1,1,16,1,4",
        "mb,3,1,1,16,1,\u0664",
        "mb,3,1,1,99999999999999999999,1,4",
        ";".join(["mb,3,1,1,16,1,4"] * 17),
        ";".join(["mb,3,1,1,16,64,4"] * 5),
    ],
)
def test_stage_table_refused(stages):
    with pytest.raises(ArchitectureError):
        Architecture.parse(stages, activation="swish", stem=8, head=8, outputs=1)


@pytest.mark.parametrize(
    "change",
    [{"activation": "relu"}, {"stem": 0}, {"head": 0}, {"outputs": 0}, {"outputs": 65537}]
    + [{"variant": "b9"}],
)
def test_architecture_refused(change):
    values = {"activation": "swish", "stem": 8, "head": 8, "outputs": 1} | change
    with pytest.raises(ArchitectureError):
        Architecture.parse("mb,3,1,1,16,1,4", **values)


def test_unknown_variant():
    with pytest.raises(ArchitectureError, match="b9"):
        variant("b9")
