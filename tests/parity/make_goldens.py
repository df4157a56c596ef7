"""Writes the golden files of tests/golden: tiny networks, and logits that torch says they have.

    python3 tests/parity/make_goldens.py [OUTPUT_FOLDER]

Run by hand when a case is added; needs torch, timm and torchvision (requirements.txt). Replayed
without torch by weights_tools/tests/test_goldens.py and in C by tests/golden. The grammar of the
files is tests/golden/README.md. Weights come from the PRNG of FORMAT.md, so that a second run
writes the same model files; the expected logits are those of torch in float64, cross-checked
with weights_tools.forward, and torch's own float32 error is written beside them.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cpu_torchvision import timm, torchvision

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from weights_tools.arch import Architecture, Padding  # noqa: E402
from weights_tools.forward import _Pass, forward  # noqa: E402
from weights_tools.model_file import Metadata, read_model, write_model  # noqa: E402
from weights_tools.reference import reference_input, uniform  # noqa: E402
from weights_tools.torch_forward import TorchNetwork  # noqa: E402

sys.path.insert(0, str(ROOT / "weights_tools" / "tests"))
import unfolded  # noqa: E402

#: torch's float32 error is the largest of this many inputs, so that it is no lucky one.
ERROR_INPUTS = 16
#: Nothing computed in float32 is asked to be nearer than this, relative to the largest logit:
#: 16 roundings of 2^-24.
FLOOR = 2.0**-20

ALL_KINDS = (
    "fused,3,1,1,8,2,0;fused,3,2,4,12,2,0;mb,5,2,6,16,2,4;mb,3,2,4,20,2,4;mb,5,2,6,24,1,4;"
    "mb,3,1,1,24,2,4"
)
DOWN = "mb,3,2,2,12,1,4;mb,5,2,3,16,1,4;mb,3,2,2,20,1,4;mb,5,2,2,24,1,4"


@dataclass
class Net:
    """A tiny network; `cases` maps a golden's name to (batch, height, width)."""

    name: str
    stages: str
    cases: dict[str, tuple[int, int, int]]
    padding: str = "same"
    activation: str = "swish"
    stem: int = 8
    head: int = 32
    outputs: int = 3
    dtype: str = "f32"
    gain: float = 1.0
    seed: int = 1
    attention: int = 0
    gate: int = 0
    frames: int = 1


NETS = [
    Net("all_kinds", ALL_KINDS, {"all_kinds": (1, 64, 64), "batch_3": (3, 61, 47)}),
    Net(
        "padding_same",
        DOWN,
        {
            "padding_same_even": (1, 64, 96),
            "padding_same_odd": (1, 95, 63),
            "padding_same_rows_even_columns_odd": (1, 64, 65),
            "padding_same_rows_odd_columns_even": (1, 65, 64),
            "padding_same_size_changes_down_the_chain": (1, 70, 90),
        },
    ),
    Net(
        "padding_sym",
        DOWN,
        {"padding_sym_even": (1, 64, 96), "padding_sym_odd": (1, 63, 95)},
        padding="sym",
    ),
    Net(
        "padding_fixed",
        DOWN,
        {"padding_fixed_even": (1, 64, 96), "padding_fixed_odd": (1, 75, 61)},
        padding="fixed:0,1,0,1,1,2,0,1,1,2",
    ),
    Net(
        "padding_fixed_lopsided",
        DOWN,
        {"padding_fixed_lopsided": (1, 66, 77)},
        padding="fixed:2,0,1,0,4,0,0,2,3,1",
    ),
    Net(
        "smallest",
        DOWN,
        {"map_of_one_pixel": (1, 32, 32), "map_of_one_row": (1, 32, 160)},
        seed=2,
    ),
    Net("mb_k3_s1_e1", "mb,3,1,1,8,2,4", {"mb_k3_s1_e1": (2, 33, 35)}),
    Net("mb_k5_s1_e6", "mb,5,1,6,8,2,4", {"mb_k5_s1_e6": (1, 34, 41)}),
    Net("mb_k5_s2_e1_no_se", "mb,5,2,1,12,2,0", {"mb_k5_s2_e1_no_se": (1, 47, 38)}),
    Net("mb_k3_s2_e6_no_se", "mb,3,2,6,12,2,0", {"mb_k3_s2_e6_no_se": (1, 38, 47)}),
    Net("fused_e1", "fused,3,1,1,8,2,0;fused,3,2,1,12,1,0", {"fused_e1": (1, 36, 43)}),
    Net("fused_e4", "fused,3,2,4,12,3,0", {"fused_e4": (1, 43, 36)}),
    Net("fused_k5", "fused,5,1,2,8,2,0;fused,5,2,3,8,1,0", {"fused_k5": (1, 40, 45)}),
    Net(
        "relu6_clips",
        "mb,3,1,1,8,1,0;mb,5,2,6,16,2,0;mb,3,2,6,24,2,0",
        {"relu6_clips": (1, 64, 50)},
        activation="relu6",
        gain=3.0,
    ),
    Net(
        "relu6_squeeze_excite", ALL_KINDS, {"relu6_squeeze_excite": (1, 47, 61)}, activation="relu6"
    ),
    Net(
        "swish_saturates",
        "mb,3,1,1,8,1,4;mb,5,2,6,16,2,4",
        {"swish_saturates": (1, 40, 40)},
        gain=6.0,
    ),
    Net(
        "se_divisor_truncates",
        "mb,3,1,2,10,2,4;mb,3,2,3,7,2,3",
        {"se_divisor_truncates": (1, 33, 44)},
    ),
    Net(
        "odd_channels",
        "mb,3,1,1,9,2,2;mb,5,2,5,13,2,4;fused,3,2,3,17,2,0;mb,3,1,3,19,1,5",
        {"odd_channels": (1, 51, 45), "odd_channels_batch_2": (2, 45, 51)},
        stem=7,
        head=37,
        outputs=5,
    ),
    Net("one_output", "mb,3,2,4,12,2,4", {"one_output": (1, 40, 33)}, outputs=1),
    Net("many_outputs", "mb,3,2,4,12,1,4", {"many_outputs": (1, 35, 40)}, outputs=101),
    Net(
        "one_channel", "mb,3,1,1,1,2,1;mb,3,2,3,2,1,1", {"one_channel": (1, 37, 37)}, stem=1, head=1
    ),
    Net("f16_weights", ALL_KINDS, {"f16_weights": (1, 56, 48)}, dtype="f16", seed=3),
    Net(
        "seven_halvings",
        "mb,3,2,2,8,1,4;mb,5,2,2,8,1,4;fused,3,2,2,8,1,0;mb,3,2,2,8,1,4;mb,5,2,2,8,1,4;mb,3,2,2,8,1,4",
        {"seven_halvings": (1, 160, 97)},
    ),
    Net(
        "attention_maps",
        "mb,3,1,1,8,1,4;mb,3,2,4,12,2,4;mb,5,2,4,16,1,4",
        {"attention_maps": (2, 49, 62), "attention_of_one_pixel": (1, 32, 32)},
        attention=5,
    ),
    Net(
        "gated",
        "mb,3,1,1,8,1,4;mb,3,2,4,12,2,4;mb,5,2,4,16,2,4",
        {"gated": (2, 41, 54)},
        gate=4,
    ),
    Net(
        "sequence",
        "mb,3,1,1,8,1,4;mb,3,2,3,12,2,4;fused,3,1,2,12,1,0;mb,5,2,3,16,2,4",
        {"sequence": (4, 43, 35), "two_sequences": (8, 32, 48)},
        frames=4,
    ),
    Net(
        "sequence_gated_attention",
        "mb,3,2,3,12,2,4",
        {"sequence_gated_attention": (3, 33, 40)},
        attention=2,
        gate=1,
        frames=3,
    ),
]


class Calibration(_Pass):
    """A forward pass that scales the weights of each layer it comes to.

    Only by powers of two: they are exact, and do not depend on the order of sums, so that every
    machine makes the same weights.
    """

    gain = 1.0

    def conv(
        self, name: str, x: np.ndarray, kernel: int, stride: int, depthwise: bool = False
    ) -> np.ndarray:
        layer = self.stride2_layer
        self.scale(name, super().conv(name, x, kernel, stride, depthwise))
        self.stride2_layer = layer
        return super().conv(name, x, kernel, stride, depthwise)

    def dense(self, name: str, x: np.ndarray) -> np.ndarray:
        self.scale(name, super().dense(name, x))
        return super().dense(name, x)

    def scale(self, name: str, y: np.ndarray) -> None:
        """Bring what the layer adds to its bias, y [n, channels, ...], near `gain`."""
        bias = self.wide(f"{name}.bias").reshape(-1, *[1] * (y.ndim - 2))
        size = np.sqrt(np.mean((y - bias) ** 2))
        self.tensors[f"{name}.weight"] *= np.float32(2.0 ** round(np.log2(self.gain / size)))


def weights(net: Net, arch: Architecture) -> dict[str, np.ndarray]:
    """float32 tensors from the PRNG, one seed for each; activations are near `gain`."""
    tensors = {}
    for number, (name, shape) in enumerate(arch.tensors().items()):
        values = uniform(1000 * net.seed + number, *shape)
        scale = 0.25 * net.gain if name.endswith(".bias") else 1.0
        tensors[name] = (values * scale).astype(np.float32)
    calibration = Calibration(arch, tensors, Padding.parse(net.padding, arch), None)
    calibration.gain = net.gain
    calibration.run(uniform(5, 2 * arch.frames, 3, 96, 96))
    return tensors


def make_net(net: Net, folder: Path) -> list[str]:
    """Write the model and its cases; returns one line for each case."""
    arch = Architecture.parse(
        net.stages,
        activation=net.activation,
        stem=net.stem,
        head=net.head,
        outputs=net.outputs,
        attention=net.attention,
        gate=net.gate,
        frames=net.frames,
    )
    meta = Metadata(
        name=net.name,
        padding=net.padding,
        input=(64, 64),
        source="tests/parity/make_goldens.py",
        license="MIT",
        output="sigmoid",
    )
    path = folder / f"{net.name}.safetensors"
    write_model(path, arch, weights(net, arch), meta, net.dtype)
    arch, stored, meta = read_model(path)
    double = TorchNetwork(arch, stored, net.padding, torch.float64)
    single = TorchNetwork(arch, stored, net.padding, torch.float32)
    lines = []
    for case, (n, h, w) in net.cases.items():
        seed = 100000 + 100 * len(case) + h
        logits = double(uniform(seed, n, 3, h, w))
        check = np.abs(forward(arch, stored, uniform(seed, n, 3, h, w), net.padding) - logits).max()
        largest = float(np.abs(logits).max())
        if not check <= 1e-12 * max(1.0, largest):
            raise SystemExit(f"{case}: torch and numpy float64 differ by {check:g}")
        errors = []
        for i in range(ERROR_INPUTS):
            x = uniform(seed + i, n, 3, h, w)
            errors.append(np.abs(single(x).astype(np.float64) - double(x)).max())
        error = float(max(errors))
        tolerance = max(3 * error, FLOOR * max(1.0, largest))
        write_case(folder / f"{case}.golden", path.name, seed, (n, h, w), logits, error, tolerance)
        lines.append(f"{case:44} max {largest:9.4f}  f32 {error:8.2e}  tolerance {tolerance:8.2e}")
    return lines


def write_case(
    path: Path,
    model: str,
    seed: int,
    shape: tuple[int, int, int],
    logits: np.ndarray,
    error: float,
    tolerance: float,
) -> None:
    """One case as text; tests/golden/README.md has the grammar."""
    n, h, w = shape
    rows = "\n".join(" ".join(repr(float(v)) for v in row) for row in logits)
    path.write_text(
        f"dfnet-golden 1\nmodel {model}\nseed {seed}\ninput {n} 3 {h} {w}\n"
        f"outputs {logits.shape[1]}\nmax_logit {float(np.abs(logits).max())!r}\n"
        f"torch_f32_error {error!r}\ntolerance {tolerance!r}\nlogits\n{rows}\n"
    )


# ---- unfolded checkpoints: a wrong epsilon of batch normalisation ----

TINY_TIMM = "mb,3,1,1,8,1,4;mb,5,2,6,16,2,4;mb,3,2,4,24,1,4"


def make_tiny_checkpoint(folder: Path) -> str:
    """An unfolded network with timm's names and variances so small that epsilon shows."""
    arch = Architecture.parse(TINY_TIMM, activation="swish", stem=8, head=32, outputs=2)
    state = unfolded.tiny_state(arch)
    path = unfolded.write_safetensors(folder / "bn_eps_checkpoint.safetensors", state)
    x = uniform(4242, 1, 3, 48, 40)
    logits = {eps: tiny_unfolded_logits(arch, state, x, eps) for eps in (1e-3, 1e-5)}
    write_expected(
        folder / "bn_eps.json",
        {
            "checkpoint": path.name,
            "stages": TINY_TIMM,
            "stem": 8,
            "head": 32,
            "outputs": 2,
            "seed": 4242,
            "input": [1, 3, 48, 40],
            "logits": {repr(eps): values.tolist() for eps, values in logits.items()},
        },
    )
    apart = np.abs(logits[1e-3] - logits[1e-5]).max()
    return f"bn_eps: logits {logits[1e-3]}, the two epsilons are {apart:.3g} apart"


def tiny_unfolded_logits(
    arch: Architecture, state: dict[str, np.ndarray], x: np.ndarray, eps: float
) -> np.ndarray:
    """Logits [n, outputs] by torch's own batch_norm; SYM padding, as timm without `tf_`."""
    f = torch.nn.functional
    t = {name: torch.from_numpy(a.astype(np.float64)) for name, a in state.items()}

    def bn(name: str, y: torch.Tensor) -> torch.Tensor:
        mean, var = t[f"{name}.running_mean"], t[f"{name}.running_var"]
        return f.batch_norm(y, mean, var, t[f"{name}.weight"], t[f"{name}.bias"], False, 0.0, eps)

    y = torch.from_numpy(x)
    y = f.silu(bn("bn1", f.conv2d(y, t["conv_stem.weight"], stride=2, padding=1)))
    for b in arch.blocks():
        at = f"blocks.{b.stage}.{b.position}"
        z, norm = y, 1
        if b.expand != 1:
            z = f.silu(bn(f"{at}.bn1", f.conv2d(z, t[f"{at}.conv_pw.weight"])))
            norm = 2
        z = f.conv2d(
            z, t[f"{at}.conv_dw.weight"], stride=b.stride, padding=b.kernel // 2, groups=b.mid
        )
        z = f.silu(bn(f"{at}.bn{norm}", z))
        gate = z.mean((2, 3), keepdim=True)
        reduce, expand = f"{at}.se.conv_reduce", f"{at}.se.conv_expand"
        gate = f.silu(f.conv2d(gate, t[f"{reduce}.weight"], t[f"{reduce}.bias"]))
        z = z * torch.sigmoid(f.conv2d(gate, t[f"{expand}.weight"], t[f"{expand}.bias"]))
        last = "conv_pw" if b.expand == 1 else "conv_pwl"
        z = bn(f"{at}.bn{norm + 1}", f.conv2d(z, t[f"{at}.{last}.weight"]))
        y = z + y if b.residual else z
    y = f.silu(bn("bn2", f.conv2d(y, t["conv_head.weight"]))).mean((2, 3))
    return f.linear(y, t["classifier.weight"], t["classifier.bias"]).numpy()


def make_full_checkpoints(folder: Path) -> str:
    """What timm and torchvision say about a B0 whose state dict anybody can generate."""
    models = {
        "tf_efficientnet_b0": timm.create_model("tf_efficientnet_b0"),
        "efficientnet_b0": torchvision.models.efficientnet_b0(),
    }
    result = {}
    for name, model in models.items():
        model = model.double().eval()
        shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
        state = unfolded.generated_state(shapes)
        model.load_state_dict({k: torch.from_numpy(np.asarray(v)) for k, v in state.items()})
        with torch.no_grad():
            logits = model(torch.from_numpy(reference_input(20201, 72, 55)))[0]
        largest = float(logits.abs().max())
        # 24 of the 1000 are enough to notice anything, and do not fill the repository.
        result[name] = {"max_logit": largest, "first_logits": logits[:24].tolist()}
    write_expected(folder / "bn_eps_b0.json", result)
    return "bn_eps_b0: " + ", ".join(f"{k} max {v['max_logit']:.3f}" for k, v in result.items())


def write_expected(path: Path, values: dict[str, object]) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", nargs="?", type=Path, default=ROOT / "tests" / "golden")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # one order of sums
    for net in NETS:
        print("\n".join(make_net(net, folder)))
    print(make_tiny_checkpoint(folder))
    print(make_full_checkpoints(folder))
    files = [p for p in folder.iterdir() if p.suffix in (".safetensors", ".golden", ".json")]
    print(f"{len(files)} files, {sum(p.stat().st_size for p in files)} bytes")


if __name__ == "__main__":
    main()
