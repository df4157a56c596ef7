"""Forward pass and reference input against values and properties known beforehand."""

import numpy as np
import pytest
import tiny_models as tiny

from weights_tools.arch import Architecture, ArchitectureError
from weights_tools.forward import forward, sigmoid, tap_names
from weights_tools.reference import reference_input, splitmix64, uniform


def test_splitmix64_known_values():
    """Outputs of the authors' C code (Vigna, splitmix64.c) for seeds 0 and 1234567."""
    assert [hex(v) for v in splitmix64(0, 3)] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]
    assert splitmix64(1234567, 2).tolist() == [6457827717110365317, 3203168211198807973]


def test_splitmix64_wraps_like_unsigned_numbers():
    state, expected = 2**64 - 5, []
    for _ in range(4):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        expected.append(z ^ z >> 31)
    assert splitmix64(2**64 - 5, 4).tolist() == expected
    with pytest.raises(ValueError, match="unsigned"):
        splitmix64(-1, 1)


def test_reference_input_is_exact_in_float32():
    x = reference_input(20201, 72, 55)
    assert x.shape == (1, 3, 72, 55)
    assert np.array_equal(x, x.astype(np.float32))
    assert -2 <= x.min() < -1.99 and 1.99 < x.max() < 2
    assert x[0, 0, 0, 1] == (splitmix64(20201, 2)[1] >> np.uint64(40)) / 2**22 - 2


def test_sigmoid_is_stable():
    x = np.array([-1000.0, -745.0, -30.0, 0.0, 30.0, 1000.0])
    with np.errstate(over="raise", invalid="raise"):
        y = sigmoid(x)
    assert y[0] == 0.0 and y[3] == 0.5 and y[5] == 1.0
    assert y[2] == pytest.approx(np.exp(-30), rel=1e-12)


def _one_block(stage: str, **kw) -> tuple[Architecture, dict]:
    arch = Architecture.parse(stage, activation="relu6", stem=1, head=1, outputs=1, **kw)
    return arch, {name: np.zeros(shape) for name, shape in arch.tensors().items()}


def test_padding_is_where_it_should_be():
    """A stem that is a single tap shows which pixel each padding puts under it."""
    arch, tensors = _one_block("mb,3,1,1,1,1,0")
    tensors["stem.weight"][0, 0, 0, 0] = 1.0  # the top left tap of the red channel
    x = np.zeros((1, 3, 32, 33))
    x[0, 0] = np.arange(32)[:, None] * 0.1 + np.arange(33) * 0.001
    seen = {}
    for padding in ("same", "sym", "fixed:0,0"):
        forward(arch, tensors, x, padding, lambda name, y: seen.setdefault(name, y))
        seen[padding] = seen.pop("stem")[0, 0]
    # 32 rows: SAME has nothing above, 33 columns: one on the left. SYM has one on both.
    assert seen["same"].shape == (16, 17)
    assert seen["same"][1, 1] == pytest.approx(0.2 + 0.001)
    assert seen["same"][0, 0] == 0.0 and seen["same"][1, 0] == 0.0
    assert seen["sym"][1, 1] == pytest.approx(0.1 + 0.001)
    assert seen["fixed:0,0"].shape == (15, 16)
    assert seen["fixed:0,0"][1, 1] == pytest.approx(0.2 + 0.002)


def test_squeeze_excite_residual_and_pool_by_hand():
    """One pixel's worth of arithmetic, written out."""
    arch, t = _one_block("mb,3,1,1,1,1,1")
    t["stem.bias"][0] = 2.0
    t["blocks.0.depthwise.weight"][0, 0, 1, 1] = 0.5
    t["blocks.0.depthwise.bias"][0] = 1.0
    t["blocks.0.se.reduce.weight"][0, 0] = 3.0
    t["blocks.0.se.reduce.bias"][0] = 4.0
    t["blocks.0.se.expand.weight"][0, 0] = -0.25
    t["blocks.0.se.expand.bias"][0] = 0.5
    t["blocks.0.project.weight"][0, 0] = -7.0
    t["blocks.0.project.bias"][0] = 0.25
    t["head.weight"][0, 0] = -0.125
    t["classifier.weight"][0, 0] = 3.0
    t["classifier.bias"][0] = -1.0
    taps = {}
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 40))
    logits = forward(arch, t, x, "sym", taps.__setitem__)
    gate = 1 / (1 + np.exp(0.25 * 6.0 - 0.5))  # 3 * 2 + 4 is clipped to 6
    assert taps["blocks.0.se"] == pytest.approx(gate)
    block = -7.0 * 2.0 * gate + 0.25 + 2.0
    assert taps["blocks.0"] == pytest.approx(block)
    assert taps["pool"].shape == (2, 1)
    assert logits == pytest.approx(3.0 * max(0.0, -0.125 * block) - 1.0)


def test_batch_is_picture_by_picture():
    arch = tiny.architecture()
    t = tiny.weights(arch)
    x = uniform(9, 3, 3, 41, 36)
    together = forward(arch, t, x, "same")
    alone = np.concatenate([forward(arch, t, x[i : i + 1], "same") for i in range(3)])
    assert np.abs(together - alone).max() < 1e-12
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_tap_names_are_what_is_tapped():
    arch = tiny.architecture()
    names = []
    x = uniform(9, 1, 3, 32, 32)
    forward(arch, tiny.weights(arch), x, "same", lambda n, _: names.append(n))
    assert names == tap_names(arch)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (0, 3, 32, 32)])
def test_input_shape_refused(shape):
    arch = tiny.architecture()
    with pytest.raises(ValueError, match="expected"):
        forward(arch, tiny.weights(arch), np.zeros(shape), "same")


def test_too_small_for_fixed_padding():
    arch = tiny.architecture("mb,5,2,1,8,1,0;mb,5,2,1,8,1,0;mb,5,2,1,8,1,0;mb,5,2,1,8,1,0")
    x = np.zeros((1, 3, 32, 200))
    with pytest.raises(ArchitectureError, match="too small"):
        forward(arch, tiny.weights(arch), x, "fixed:0,0,0,0,0,0,0,0,0,0")
