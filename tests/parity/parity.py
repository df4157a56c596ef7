"""Parity with PyTorch: libdfnet against torchvision's and timm's own models, all variants.

    python3 tests/parity/parity.py [--quick] [--models PATTERNS] [--sizes SIZES] [--json FILE]

For each model: random weights, batch normalisation calibrated on data so that activations keep
their scale, torch.save, weights_tools.convert, and the same random inputs through torch in
float64 (the truth), torch in float32 and libdfnet. What must hold: libdfnet's largest error of a
logit is at most 3 times torch float32's own. Prints one row for each model, size and matrix
multiplier; exit code 1 if a row fails, 2 if something is missing. requirements.txt says what to
install. Needs about 12 GB of memory and of temporary files for L2, 2 GB without it.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import torch

from cpu_torchvision import timm, torchvision

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from weights_tools.arch import NATIVE_SIZE, variant  # noqa: E402
from weights_tools.convert import Options, convert  # noqa: E402
from weights_tools.engine import EngineError, Library, find_library  # noqa: E402
from weights_tools.forward import forward  # noqa: E402
from weights_tools.model_file import read_model  # noqa: E402

#: Largest allowed error, in units of torch float32's own largest error.
LIMIT = 3.0
#: Models above this many multiply-adds at native size are run at BIG_SIZE instead.
NATIVE_LIMIT = 5e9
BIG_SIZE = 96
ODD_SIZE = (97, 75)
#: Gamma at the end of a residual branch, relative to the others.
RESIDUAL_SHARE = 0.25
#: Of a channel, relative to the mean of its layer, and added, relative to its squared mean.
LEAST_VARIANCE = 0.1
#: Pictures at once, and how often; the batch is what the variances are taken over.
CALIBRATION_BATCH, CALIBRATION_BATCHES = 32, 1
QUICK = ("torchvision/b0", "timm/b0", "timm/lite0", "timm/v2-b0")


@dataclass(frozen=True)
class Subject:
    """One model of one library."""

    library: str
    variant: str
    name: str  # the library's own name

    @property
    def key(self) -> str:
        return f"{self.library}/{self.variant}"

    def build(self) -> torch.nn.Module:
        """With the library's random initialisation and 1000 outputs."""
        if self.library == "timm":
            return timm.create_model(self.name, pretrained=False)
        return getattr(torchvision.models, self.name)(weights=None)


SUBJECTS = (
    *(Subject("torchvision", f"b{i}", f"efficientnet_b{i}") for i in range(8)),
    *(Subject("torchvision", f"v2-{s}", f"efficientnet_v2_{s}") for s in "sml"),
    *(Subject("timm", f"b{i}", f"tf_efficientnet_b{i}") for i in range(9)),
    *(Subject("timm", f"lite{i}", f"tf_efficientnet_lite{i}") for i in range(5)),
    *(Subject("timm", f"v2-{s}", f"tf_efficientnetv2_{s}") for s in "sml"),
    *(Subject("timm", f"v2-b{i}", f"tf_efficientnetv2_b{i}") for i in range(4)),
    Subject("timm", "l2", "tf_efficientnet_l2"),
)


@dataclass
class Row:
    """One line of the table. `ratio` and `verdict` are about the largest errors."""

    library: str
    variant: str
    height: int
    width: int
    inputs: int
    engine: str
    max_logit: float
    torch_f32_error: float
    error: float
    ratio: float
    verdict: str

    def __str__(self) -> str:
        return (
            f"{self.variant:7} {self.library:12} {self.height:>4}x{self.width:<4}"
            f" {self.engine:16} {self.max_logit:10.4f} {self.torch_f32_error:11.3e}"
            f" {self.error:11.3e} {self.ratio:7.3f}  {self.verdict}"
        )


HEADER = (
    f"{'variant':7} {'library':12} {'size':^9} {'engine':16} {'max|logit|':>10}"
    f" {'torch f32':>11} {'error':>11} {'ratio':>7}"
)


def pictures(count: int, size: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    """Random inputs, float32 [count, 3, h, w], with detail at every scale and variance near 1.

    White noise would not do: deep layers average it away, and all inputs give the same logits.
    """
    total = torch.zeros(count, 3, *size)
    cells, layers = 4, 0
    while cells <= 2 * max(size):
        grid = [min(cells, side) for side in size]
        noise = torch.randn(count, 3, *grid, generator=generator)
        total += torch.nn.functional.interpolate(noise, size, mode="nearest")
        cells, layers = cells * 2, layers + 1
    return total / layers**0.5


def residual_norms(model: torch.nn.Module) -> list[torch.nn.BatchNorm2d]:
    """The normalisations that no activation follows: those at the end of a residual branch."""
    found = []
    for module in model.modules():
        activation = getattr(module, "act", None)
        if isinstance(module, torch.nn.BatchNorm2d) and isinstance(activation, torch.nn.Identity):
            found.append(module)  # timm
        elif isinstance(module, torch.nn.Sequential) and len(module) == 2:
            last = module[1]
            if isinstance(module[0], torch.nn.Conv2d) and isinstance(last, torch.nn.BatchNorm2d):
                found.append(last)  # torchvision
    return found


def calibrate(model: torch.nn.Module, size: tuple[int, int], seed: int) -> None:
    """Random affine parameters, and running statistics taken from data.

    A freshly made model has gamma 1, beta 0, mean 0, variance 1: batch normalisation does
    nothing, and after 40 layers the activations have vanished or exploded. The statistics fit
    one size only: the border takes a larger share of a small map, and a mismatch grows from
    layer to layer. Residual branches are made quieter than the trunk, as training makes them:
    with equal shares, a deep random network is chaotic, and one input's activations say nothing
    of the next one's.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(like: torch.Tensor, scale: float) -> torch.Tensor:
        return torch.randn(like.shape, generator=generator) * scale

    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    model.eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.copy_(normal(module.bias, 0.3))
            elif isinstance(module, torch.nn.Conv2d) and module.bias is not None:
                module.bias.copy_(normal(module.bias, 0.5))  # squeeze-excite
            elif isinstance(module, torch.nn.Linear):
                module.weight.copy_(normal(module.weight, 2.0 / module.in_features**0.5))
                module.bias.copy_(normal(module.bias, 0.5))
        for norm in residual_norms(model):
            norm.weight.mul_(RESIDUAL_SHARE)
            norm.bias.mul_(RESIDUAL_SHARE)
        # Only these learn; the rest stays in evaluation mode, or stochastic depth drops blocks.
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean of all passes
            norm.train()
        for _ in range(CALIBRATION_BATCHES):
            model(pictures(CALIBRATION_BATCH, size, generator))
        # A channel that hardly varied in this batch would be blown up in the next one: random
        # depthwise kernels leave a large constant, from which only the borders depart.
        for norm in norms:
            norm.running_var.clamp_(min=LEAST_VARIANCE * float(norm.running_var.mean()))
            norm.running_var.add_(LEAST_VARIANCE * norm.running_mean**2)
        model.eval()


def torch_logits(model: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    """Logits [n, outputs], one picture at a time to bound the memory."""
    dtype = next(model.parameters()).dtype
    with torch.no_grad():
        rows = [model(torch.from_numpy(x[i : i + 1]).to(dtype))[0] for i in range(len(x))]
    return torch.stack(rows).double().numpy()


Runner = Callable[[np.ndarray], np.ndarray]


def runners(args: argparse.Namespace, path: Path) -> Iterator[tuple[str, Runner]]:
    """(name, function from [n,3,h,w] to logits) of each engine that was asked for."""
    if args.engine == "numpy":
        arch, tensors, meta = read_model(path)
        yield "numpy", lambda x: forward(arch, tensors, x, meta.padding)
        return
    with Library(args.library).load(path) as model:
        for gemm in ("native", "openblas") if args.gemm == "both" else (args.gemm,):

            def run(x: np.ndarray, gemm: str = gemm) -> np.ndarray:
                n, _, height, width = x.shape
                batch = min(n, 4 if height * width < 150 * 150 else 1)
                with model.session(
                    height, width, batch, gemm=gemm, threads=args.threads
                ) as session:
                    parts = [session.run(x[i : i + batch]) for i in range(0, n, batch)]
                return np.concatenate(parts).astype(np.float64)

            yield f"dfnet {gemm}", run


def sizes_of(subject: Subject, args: argparse.Namespace) -> list[tuple[int, int]]:
    """Sizes to run, without repeats."""
    native = NATIVE_SIZE[subject.variant]
    big = variant(subject.variant).macs(native, native, "same") > args.native_limit * 1e9
    sizes = []
    for text in args.sizes.split(","):
        if text == "native":
            sizes.append((BIG_SIZE, BIG_SIZE) if big else (native, native))
        else:
            height, width = text.split("x")
            sizes.append((int(height), int(width)))
    return list(dict.fromkeys(sizes))


def compare(
    subject: Subject, size: tuple[int, int], args: argparse.Namespace, folder: Path
) -> list[Row]:
    """All rows of one model at one size."""
    # Numbers that differ from model to model, and stay the same from run to run.
    seed = args.seed + 1000 * SUBJECTS.index(subject)
    torch.manual_seed(seed)
    model = subject.build()
    calibrate(model, size, seed)
    checkpoint = folder / f"{subject.name}.pth"
    torch.save(model.state_dict(), checkpoint)
    x = pictures(args.inputs, size, torch.Generator().manual_seed(seed + 1)).numpy()
    single = torch_logits(model, x)
    double = torch_logits(model.double(), x)
    del model
    gc.collect()

    path = folder / f"{subject.name}.safetensors"
    report = convert(checkpoint, path, Options(name=subject.name))
    checkpoint.unlink()
    if report.architecture.variant != subject.variant:
        raise SystemExit(f"{subject.key}: converted as {report.architecture.variant}")
    rows = []
    for engine, run in runners(args, path):
        try:
            logits = run(x)
        except EngineError as error:
            if error.unsupported and args.gemm == "both":
                print(f"{subject.variant:7} {engine}: {error}", flush=True)
                continue
            raise
        rows.append(judge(subject, size, engine, logits, single, double))
        print(rows[-1], flush=True)
    return rows


def judge(
    subject: Subject,
    size: tuple[int, int],
    engine: str,
    logits: np.ndarray,
    single: np.ndarray,
    double: np.ndarray,
) -> Row:
    own = float(np.abs(single - double).max())
    error = float(np.abs(logits - double).max())
    ratio = error / own if own > 0 else float("inf")
    return Row(
        subject.library,
        subject.variant,
        *size,
        len(double),
        engine,
        float(np.abs(double).max()),
        own,
        error,
        ratio,
        "PASS" if ratio <= LIMIT else "FAIL",  # a NaN is not <= anything
    )


def chosen(args: argparse.Namespace) -> list[Subject]:
    patterns = args.models.split(",") if args.models else list(QUICK) if args.quick else ["*"]
    found = [
        s
        for s in SUBJECTS
        if any(fnmatchcase(s.key, p) or fnmatchcase(s.variant, p) for p in patterns)
    ]
    if not found:
        raise SystemExit(f"no model matches {args.models}")
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--models", help="comma-separated patterns of library/variant or variant: b0,timm/v2-*")
    add("--sizes", help="comma-separated, native or HxW (default native,97x75)")
    add("--inputs", type=int, help="random inputs for each size (default 16)")
    add("--quick", action="store_true", help="four small models, 4 inputs, the odd size only")
    add(
        "--gemm",
        choices=["native", "openblas", "auto", "both"],
        default="both",
        help="libdfnet's matrix multiplier (default: both that are in the build)",
    )
    add("--engine", choices=["dfnet", "numpy"], default="dfnet", help="numpy: the converter alone")
    add("--threads", type=int, default=0, help="of libdfnet (default 0: one for each CPU)")
    add("--library", help="libdfnet.so, else as weights_tools verify finds it")
    add(
        "--native-limit",
        type=float,
        default=NATIVE_LIMIT / 1e9,
        metavar="GMACS",
        help=f"models above this run at {BIG_SIZE} px instead of native (default %(default)g)",
    )
    add("--seed", type=int, default=1)
    add("--json", type=Path, metavar="FILE", help="also write the rows here")
    args = parser.parse_args()
    odd = "{}x{}".format(*ODD_SIZE)
    args.sizes = args.sizes or (odd if args.quick else f"native,{odd}")
    args.inputs = args.inputs or (4 if args.quick else 16)
    if args.engine == "dfnet":
        args.library = find_library(args.library)
        if args.library is None:
            parser.error("libdfnet was not found; see --library")
    return args


def main() -> int:
    args = parse()
    started = time.monotonic()
    print(f"torch {torch.__version__}, timm {timm.__version__}, torchvision", end=" ")
    print(torchvision.__version__, end="")
    print("" if args.engine == "numpy" else f", {args.library} {Library(args.library).version}")
    print(HEADER, flush=True)
    rows: list[Row] = []
    for subject in chosen(args):
        for size in sizes_of(subject, args):
            with tempfile.TemporaryDirectory(prefix="dfnet-parity-") as folder:
                rows += compare(subject, size, args, Path(folder))
            gc.collect()
    failed = sum(row.verdict != "PASS" for row in rows)
    worst = max(rows, key=lambda row: row.ratio)
    print(
        f"{len(rows)} rows, {failed} failed, largest ratio {worst.ratio:.3f}"
        f" ({worst.library}/{worst.variant}), limit {LIMIT:g}, {time.monotonic() - started:.0f} s"
    )
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
