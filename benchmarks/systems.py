"""Times what published systems ask of a processor: libdfnet beside PyTorch, in one run.

    python3 -m benchmarks.systems [--threads N] [--only wsdan|winner] [--rounds N] [--frames N]

wsdan: WS-DAN on an EfficientNet-B3 with eight maps at 300 x 300, both looks of one face.
winner: seven EfficientNet-B7 at 380 x 380 over 32 frames, the first place of the DeepFake
Detection Challenge; networks only, no face detector. Random weights, batch normalisation folded
for both; logits are compared before anything is timed. The two take turns, so that whatever else
the machine does meets both; the minimum of a call is the figure, the sum what this run took.
Called by hand and by benchmarks/tests/test_systems.py; needs torch.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from weights_tools.arch import NATIVE_SIZE, Architecture, variant
from weights_tools.engine import Library, find_library
from weights_tools.model_file import Metadata, read_model, write_model
from weights_tools.random_model import random_tensors

#: Largest difference of a logit from torch's, relative to max(1, largest logit).
AGREEMENT = 1e-4
MAPS, LOOK_FROM, LOOK_MARGIN = 8, 0.1, 0.05


@dataclass
class Times:
    """Seconds of every call of one side."""

    name: str
    calls: list[float] = field(default_factory=list)

    def take(self, call: Callable[[], object]) -> None:
        start = time.perf_counter()
        call()
        self.calls.append(time.perf_counter() - start)


def write_random(path: Path, arch: Architecture, look: str = "") -> None:
    """A model file with random weights; the reference input is small, to be quick."""
    size = NATIVE_SIZE[arch.variant]
    meta = Metadata(
        name=f"{arch.variant}-random",
        input=(size, size),
        source="benchmarks.systems",
        license="CC0-1.0",
        look=look,
        fake=arch.outputs - 1,
        reference=(1, 32, 32),
    )
    write_model(path, arch, random_tensors(arch, 1), meta)


def agree(what: str, got: np.ndarray, expected: np.ndarray) -> None:
    """Exits if the two do not compute the same."""
    apart = float(np.abs(got - expected).max() / max(1.0, np.abs(expected).max()))
    print(f"{what}: largest difference of a logit {apart:.1e} of the largest", flush=True)
    if not apart <= AGREEMENT:
        raise SystemExit(f"{what}: the logits differ too much for a comparison of times")


def table(title: str, sides: tuple[Times, Times], per: str) -> None:
    """Minimum, median and sum of both, and their ratios."""
    print(f"\n{title}\n{'':10} {'minimum':>10} {'median':>10} {'all calls':>10}   one {per}")
    for side in sides:
        calls = side.calls
        print(
            f"{side.name:10} {min(calls) * 1e3:7.1f} ms {np.median(calls) * 1e3:7.1f} ms"
            f" {sum(calls):8.1f} s   {len(calls)} calls"
        )
    ours, theirs = (s.calls for s in sides)
    print(
        f"{'ratio':10} {min(theirs) / min(ours):9.2f}x {np.median(theirs) / np.median(ours):9.2f}x"
        f" {sum(theirs) / sum(ours):9.2f}x",
        flush=True,
    )


def torch_looks(net: object, x: np.ndarray) -> np.ndarray:
    """Logits [3, outputs] of both looks and their mean, by torch's own operators."""
    import torch
    import torch.nn.functional as functional

    kept: dict[str, np.ndarray] = {}
    first = net(x, lambda name, y: kept.update({name: y} if name == "attention" else {}))
    height, width = x.shape[2:]
    mean = torch.from_numpy(kept["attention"]).mean(1, keepdim=True)
    size = {"size": (height, width), "mode": "bilinear", "align_corners": True}
    places = torch.nonzero(functional.interpolate(mean, **size)[0, 0] >= LOOK_FROM * mean.max())
    (top, left), (bottom, right) = places.min(0)[0].tolist(), places.max(0)[0].tolist()
    top, bottom = top - LOOK_MARGIN * height, bottom + LOOK_MARGIN * height
    left, right = left - LOOK_MARGIN * width, right + LOOK_MARGIN * width
    rows = slice(max(int(top), 0), min(int(bottom), height))
    columns = slice(max(int(left), 0), min(int(right), width))
    part = torch.from_numpy(np.ascontiguousarray(x[:, :, rows, columns]))
    second = net(functional.interpolate(part, **size).numpy())
    return np.concatenate([first, second, (first + second) / 2])


def wsdan(library: Library, args: argparse.Namespace, folder: Path) -> None:
    """One face, both looks."""
    import torch

    from weights_tools.torch_forward import TorchNetwork

    size = args.size or NATIVE_SIZE[args.small or "b3"]
    arch = replace(variant(args.small or "b3", 2), attention=MAPS)
    path = folder / "wsdan.safetensors"
    write_random(path, arch, f"logits,{LOOK_FROM},{LOOK_MARGIN}")
    arch, tensors, meta = read_model(path)
    net = TorchNetwork(arch, tensors, meta.padding, torch.float32)
    x = np.random.default_rng(1).standard_normal((1, 3, size, size)).astype(np.float32)
    sides = Times("libdfnet"), Times("torch")
    with library.load(path) as model, model.session(size, size, threads=args.threads) as session:
        agree("wsdan", session.look(x)[0][0], torch_looks(net, x))
        for _ in range(args.rounds):
            sides[0].take(lambda: session.look(x))
            sides[1].take(lambda: torch_looks(net, x))
    title = (
        f"WS-DAN {arch.variant}, {MAPS} maps, {size} x {size}, two looks, {args.threads} threads"
    )
    table(title, sides, "face")


def winner(library: Library, args: argparse.Namespace, folder: Path) -> None:
    """All frames through all networks."""
    import torch

    from weights_tools.torch_forward import TorchNetwork

    size = args.size or 380
    path = folder / "b7.safetensors"
    write_random(path, variant(args.small or "b7", 1))
    arch, tensors, meta = read_model(path)
    # Copies of their own: seven networks' weights pass through the caches.
    nets = [TorchNetwork(arch, tensors, meta.padding, torch.float32) for _ in range(args.models)]
    models = [library.load(path) for _ in range(args.models)]
    del tensors
    sessions = [model.session(size, size, threads=args.threads) for model in models]
    frames = np.random.default_rng(2).standard_normal((args.frames, 1, 3, size, size))
    frames = frames.astype(np.float32)
    agree("winner", sessions[0].run(frames[0]), nets[0](frames[0]))
    sides = Times("libdfnet"), Times("torch")
    for session, net in zip(sessions, nets, strict=True):
        for frame in frames:
            sides[0].take(lambda session=session, frame=frame: session.run(frame))
            sides[1].take(lambda net=net, frame=frame: net(frame))
    for one in (*sessions, *models):
        one.close()
    title = (
        f"{args.models} x {arch.variant.upper()} at {size} x {size}, {args.frames} frames, "
        f"{args.threads} threads"
    )
    table(title, sides, "frame in one network")
    for side in sides:
        all_frames = min(side.calls) * 32 * args.models
        print(f"{side.name:10} 32 frames at its minimum: {all_frames:6.1f} s")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--threads", type=int, default=2, help="of both (default 2)")
    add("--only", choices=("wsdan", "winner"))
    add("--rounds", type=int, default=20, help="of wsdan (default 20)")
    add("--frames", type=int, default=32, help="of winner (default 32)")
    add("--models", type=int, default=7, help="of winner (default 7)")
    add("--small", metavar="VARIANT", help="another variant, to see that it runs")
    add("--size", type=int, help="another size")
    add("--library", help="libdfnet.so, else as weights_tools verify finds it")
    args = parser.parse_args(arguments)
    place = find_library(args.library)
    if place is None:
        parser.error("libdfnet was not found; see --library")
    import torch

    torch.set_num_threads(args.threads)
    library = Library(place)
    print(f"libdfnet {library.version}, torch {torch.__version__}, {args.threads} threads each")
    with tempfile.TemporaryDirectory(prefix="dfnet-systems-") as folder:
        for name, run in (("wsdan", wsdan), ("winner", winner)):
            if args.only in (None, name):
                run(library, args, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
