"""Parity with PyTorch of published face forgery detectors, from checkpoint to logits.

    python3 tests/parity/systems_parity.py [--kinds NAMES] [--reduced] [--inputs N] [--size HxW]

For each container of weights_tools/tests/containers.py: random weights, batch normalisation
calibrated, the checkpoint written as the project writes it, weights_tools.convert, and the same
inputs through unfolded_torch.py in float64 (the truth), in float32, and libdfnet. What must hold:
libdfnet's largest error of a logit is at most 3 times torch float32's own. WS-DAN is compared in
its first look, its second and both ways to average; its attention boxes must be those of float64,
or within a pixel of them where torch's own float32 differs, too. A network whose float32 is off by
more than a hundredth of its logits would show nothing, and fails as well. Prints one row for each;
exit code 1 if one fails. parity.py compares the ordinary networks, requirements.txt says what to
install (torch alone is enough here). The default is each system's own size.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "weights_tools" / "tests")]

import containers  # noqa: E402
import pth_writer as pw  # noqa: E402
import unfolded_torch as unfolded  # noqa: E402

from weights_tools.convert import Options, convert  # noqa: E402
from weights_tools.engine import Library, Model, find_library  # noqa: E402

LIMIT = 3.0
#: Largest error of torch float32, as a share of the largest logit.
CHAOS = 0.01
#: Places of the last map, over all pictures, that running statistics come from at least.
PLACES = 600
#: Where attention may begin, as shares of the least of the pictures' strongest places.
SHARES = (0.6, 0.45, 0.3, 0.15, 0.0)
#: Pictures or sequences for each. Either side's error is a draw; the ratio of the largest of few
#: draws says little: of 8 pictures 3.06 for a network that has 0.05 to 0.94 over 24.
INPUTS, INPUTS_B7 = 24, 12
HEADER = f"{'network':20} {'what':22} {'size':>8} {'max|z|':>8} {'torch f32':>10} {'dfnet':>10}"


class Rows:
    """Prints rows and counts those that fail."""

    def __init__(self) -> None:
        self.failed = 0
        self.worst = 0.0

    def add(self, name: str, what: str, size: tuple[int, int], values: list[np.ndarray]) -> None:
        """values: dfnet's, torch float32's, torch float64's."""
        got, single, double = values
        error, own = (float(np.abs(v - double).max()) for v in (got, single))
        ratio = error / own if own else float("inf")
        # A NaN is not <= anything.
        ok = ratio <= LIMIT and own <= CHAOS * float(np.abs(double).max())
        self.failed += not ok
        self.worst = max(self.worst, ratio)
        print(
            f"{name:20} {what:22} {size[0]:>4}x{size[1]:<3} {np.abs(double).max():8.3f} {own:10.2e}"
            f" {error:10.2e} {ratio:6.2f}  {'PASS' if ok else 'FAIL'}",
            flush=True,
        )

    def boxes(self, name: str, size: tuple[int, int], got: np.ndarray, pair: list) -> None:
        """pair: torch's boxes in float32 and in float64, (top, left, bottom, right)."""
        bad = other = 0
        for box, single, double in zip(got.tolist(), *pair, strict=True):
            x, y, w, h = box
            apart = np.abs(np.subtract((y, x, y + h, x + w), double)).max()
            other += single != double
            bad += apart > (1 if single != double else 0)
        self.failed += bad > 0
        whole = sum(box == (0, 0, *size) for box in pair[1])
        print(
            f"{name:20} {'attention boxes':22} {size[0]:>4}x{size[1]:<3} {len(got)} boxes, {whole} "
            f"of everything, {other} that torch float32 has elsewhere, {bad} wrong  "
            f"{'FAIL' if bad else 'PASS'}",
            flush=True,
        )


def pictures(count: int, size: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    """float32 [count, 3, h, w] with detail at every scale and variance near 1."""
    total = torch.zeros(count, 3, *size)
    cells, layers = 4, 0
    while cells <= 2 * max(size):
        noise = torch.randn(count, 3, *(min(cells, side) for side in size), generator=generator)
        total += torch.nn.functional.interpolate(noise, size, mode="nearest")
        cells, layers = cells * 2, layers + 1
    return total / layers**0.5


def per_picture(net: unfolded.Network, x: torch.Tensor, group: int) -> list[unfolded.Looked]:
    """One picture (or sequence) at a time, to bound the memory."""
    return [net(x[i : i + group]) for i in range(0, len(x), group)]


def logits(looked: list[unfolded.Looked]) -> np.ndarray:
    return torch.cat([one.logits for one in looked]).double().numpy()


def parts_of(x: torch.Tensor, boxes: list, dtype: torch.dtype) -> torch.Tensor:
    """What the second look sees of x [n, 3, h, w]."""
    pairs = zip(x, boxes, strict=True)
    return torch.stack([unfolded.crop(one.to(dtype), box) for one, box in pairs])


def few_places(kind: containers.Kind, state: dict, x: torch.Tensor) -> np.ndarray:
    """float32 [maps]: a bias that leaves attention few places, as it is after training.

    But some in both looks of every picture: without any all logits are 0, and nothing is compared.
    """

    def run(value: float) -> tuple[unfolded.Network, list[unfolded.Looked], np.ndarray]:
        bias = np.full(kind.maps, value, np.float32)
        net = unfolded.Network(kind, state | {"attentions.bn.bias": bias}, torch.float32)
        return net, per_picture(net, x, 1), bias

    def least(looked: list[unfolded.Looked]) -> float:
        return min(float(one.maps.max()) for one in looked)

    top = least(run(0.0)[1])
    for share in SHARES:
        net, first, bias = run(-share * top)
        boxes = [unfolded.attention_box(one.maps, *x.shape[2:])[0] for one in first]
        if least(per_picture(net, parts_of(x, boxes, net.dtype), 1)) > 0:
            return bias
    raise SystemExit(f"{kind.name}: some picture draws no attention: try another --seed")


def compare(kind: containers.Kind, args: argparse.Namespace, folder: Path, rows: Rows) -> None:
    size = args.size or kind.size
    generator = torch.Generator().manual_seed(args.seed)
    group = unfolded.FRAMES if kind.temporal else 1
    state = kind.state()
    places = (size[0] // 32) * (size[1] // 32)
    batch = group * max(2, args.calibrate // group, -(-PLACES // (places * group)))
    learned = unfolded.Network(kind, state, torch.float32).calibrate(
        pictures(batch, size, generator)
    )
    dtype = np.float16 if kind.half else np.float32
    state |= {name: array.astype(dtype) for name, array in learned.items()}
    inputs = args.inputs or (INPUTS_B7 if kind.variant == "b7" else INPUTS)
    x = pictures(inputs * group, size, generator)
    if kind.maps:
        state["attentions.bn.bias"] = few_places(kind, state, x)
    source = pw.save(folder / "checkpoint.pth", kind.tree(state))
    nets = [unfolded.Network(kind, state, d) for d in (torch.float32, torch.float64)]
    del state, learned
    path = folder / "m.safetensors"
    for how in ("logits", "probabilities") if kind.maps else ("",):
        look = f"{how},0.1,0.05" if how else None
        convert(source, path, Options(system=kind.system or "ntechlab-a", look=look))
        with Library(args.library).load(path) as model:
            if how:
                compare_looks(kind, model, x, nets, how, rows)
            else:
                single, double = (logits(per_picture(net, x, group)) for net in nets)
                with model.session(*size, group, threads=0) as session:
                    parts = [session.run(x[i : i + group].numpy()) for i in range(0, len(x), group)]
                what = "7 frames each" if kind.temporal else "logits"
                rows.add(kind.name, what, size, [np.concatenate(parts), single, double])
    source.unlink()


def compare_looks(
    kind: containers.Kind, model: Model, x: torch.Tensor, nets: list, how: str, rows: Rows
) -> None:
    size = (x.shape[2], x.shape[3])
    with model.session(*size, 1, threads=0) as session:
        looked = [session.look(one[None].numpy()) for one in x]
    got = np.concatenate([z for z, _ in looked])
    single, double = (per_picture(net, x, 1) for net in nets)
    boxes = [
        [unfolded.attention_box(one.maps, *size)[0] for one in run] for run in (single, double)
    ]
    if how == "logits":
        rows.boxes(kind.name, size, np.concatenate([p for _, p in looked]), boxes)
        rows.add(kind.name, "first look", size, [got[:, 0], logits(single), logits(double)])
    # Both see the part that float64 found: boxes have their own row.
    second = []
    for net in nets:
        second.append(per_picture(net, parts_of(x, boxes[1], net.dtype), 1))
    if how == "logits":
        rows.add(kind.name, "second look", size, [got[:, 1], *map(logits, second)])
    both = [
        unfolded.combine(
            torch.cat([a.logits for a in first]), torch.cat([b.logits for b in again]), how
        )
        for first, again in zip((single, double), second, strict=True)
    ]
    values = [got[:, 2], *(t.double().numpy() for t in both)]
    rows.add(kind.name, f"mean of {how}", size, values)


def _size(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--kinds", help="comma-separated containers (default: all)")
    add("--reduced", action="store_true", help="narrow networks, in a minute")
    add("--inputs", type=int, help="pictures or sequences for each (default 24, of B7 12)")
    add(
        "--calibrate",
        type=int,
        default=4,
        help="pictures that statistics come from at least (default 4)",
    )
    add("--size", type=_size, metavar="HxW", help="instead of each system's own")
    add("--seed", type=int, default=1)
    add("--library", help="libdfnet.so, else as weights_tools verify finds it")
    args = parser.parse_args()
    args.library = find_library(args.library)
    if args.library is None:
        parser.error("libdfnet was not found; see --library")
    wanted = args.kinds.split(",") if args.kinds else [kind.name for kind in containers.KINDS]
    started, rows = time.monotonic(), Rows()
    print(f"torch {torch.__version__}, {args.library}\n{HEADER}  ratio", flush=True)
    narrow = containers.reduced() if args.reduced else contextlib.nullcontext()
    with narrow, tempfile.TemporaryDirectory(prefix="dfnet-systems-") as folder:
        for kind in containers.KINDS:
            if kind.name in wanted:
                compare(kind, args, Path(folder), rows)
    print(
        f"{rows.failed} rows failed, largest ratio {rows.worst:.2f}, limit {LIMIT:g}, "
        f"{time.monotonic() - started:.0f} s"
    )
    return 1 if rows.failed else 0


if __name__ == "__main__":
    sys.exit(main())
