"""Subcommand `verify`: does a model file compute what it should, here and now?

Called by the command line. Runs the file's reference input, and inputs given by the user, through
the numpy forward pass (float64, the yardstick), through libdfnet where it is found and through
torch where it is installed. Prints the largest differences of the logits; where one is above its
tolerance, names the first layer that differs. Exit codes: 0 within, 3 above, 2 refused.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from . import naming
from .arch import Architecture
from .checkpoint import open_checkpoint
from .convert import fold_layers
from .engine import GEMM, EngineError, Library, find_library
from .engine import Model as EngineModel
from .forward import forward
from .model_file import Metadata, read_model
from .reference import reference_input

EXIT_OK, EXIT_REFUSED, EXIT_DIFFERS = 0, 2, 3

#: FORMAT.md, section 6; relative to max(1, largest magnitude of a logit).
TOLERANCE = 1e-4
#: Between two float64 implementations only the order of sums differs.
TOLERANCE_F64 = 1e-9
#: The file's logits are rounded to steps of 1e-7 (reference.as_stored), relative to a power of
#: ten: at most half a step off, and the order of sums.
TOLERANCE_STORED = 1e-7
#: Folding twice may differ in the last bit of a weight; relative to the tensor's largest value.
_SOURCE_TOLERANCE = 1e-6
#: Epsilons of batch normalisation in use: TensorFlow's and PyTorch's default.
_EPSILONS = (1e-3, 1e-5)

Tap = Callable[[str, np.ndarray], None]
#: (input [n,3,h,w], tap or None) -> logits [n, outputs]; the tap gets NCHW or [n, c] arrays.
Implementation = Callable[[np.ndarray, Tap | None], np.ndarray]


@dataclass
class Row:
    """One comparison with the yardstick; differences are absolute."""

    input: str
    shape: list[int]
    implementation: str
    largest_logit: float
    difference: float
    tolerance: float
    ok: bool
    first_layer: str = ""  # the first that differs, if not ok


@dataclass
class Report:
    """What `--json` prints."""

    model: str
    hash: str
    library: str | None
    ok: bool = True
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.add_argument("model", help="model file")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="FILE",
        help="more inputs, normalised: .npy with [n,3,h,w] or [3,h,w], or .bin with float32 in "
        "that order and the model's own height and width; may be repeated",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        metavar="T",
        help="allowed difference of a logit, times max(1, largest logit) (default %(default)g)",
    )
    parser.add_argument(
        "--source",
        metavar="CHECKPOINT",
        help="the checkpoint that the model was converted from: compare its SHA-256 and, folded "
        "once more, its weights",
    )
    parser.add_argument(
        "--library",
        metavar="PATH",
        help="libdfnet.so; else $DFNET_LIBRARY, build/lib, the system's. If given, it must load",
    )
    parser.add_argument(
        "--gemm", choices=list(GEMM), default="auto", help="matrix multiplier of libdfnet"
    )
    parser.add_argument("--layers", action="store_true", help="print the differences of all layers")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    """The subcommand; returns the exit code."""
    try:
        report = _verify(args)
    except (ValueError, OSError, EngineError) as error:
        print(f"verify: {error}", file=sys.stderr)
        return EXIT_REFUSED
    if args.json:
        print(json.dumps(dataclasses.asdict(report), indent=2))
    else:
        _print_report(report)
    return EXIT_OK if report.ok else EXIT_DIFFERS


def _verify(args: argparse.Namespace) -> Report:
    if not args.tolerance > 0:
        raise ValueError(f"--tolerance {args.tolerance}: must be greater than 0")
    arch, tensors, meta = read_model(args.model)
    report = Report(args.model, meta.xxh3, None)
    inputs = _inputs(args.input, meta, arch.frames)
    if args.source:
        _compare_source(args.source, arch, tensors, meta, report)
    implementations: dict[str, tuple[Implementation, float]] = {}
    engine = _load_engine(args, report)
    if engine is not None:
        implementations["libdfnet"] = (_Engine(engine, args.gemm), args.tolerance)
    _add_torch(implementations, arch, tensors, meta, args.tolerance, report)

    def yardstick(x: np.ndarray, tap: Tap | None) -> np.ndarray:
        return forward(arch, tensors, x, meta.padding, tap)

    for number, (name, x) in enumerate(inputs.items()):
        expected = yardstick(x, None)
        if number == 0:
            stored = np.array(meta.reference_logits).reshape(expected.shape)
            _add_row(report, name, x, "as stored in the file", stored, expected, TOLERANCE_STORED)
        for label, (implementation, tolerance) in implementations.items():
            row = _add_row(report, name, x, label, implementation(x, None), expected, tolerance)
            if not row.ok or args.layers:
                pair = _LayerPair(arch, row)
                pair.compare(x, yardstick, implementation)
                if args.layers:
                    report.notes.append("\n".join([f"layers of {label}, {name}:", *pair.lines]))
    return report


def _inputs(paths: list[str], meta: Metadata, frames: int) -> dict[str, np.ndarray]:
    """Name -> [n, 3, h, w]; the reference input comes first."""
    seed, height, width = meta.reference
    inputs = {"reference": reference_input(seed, height, width, frames)}
    for path in paths:
        inputs[path] = _read_input(path, meta)
    return inputs


def _read_input(path: str, meta: Metadata) -> np.ndarray:
    if path.endswith(".npy"):
        x = np.load(path, allow_pickle=False)
        if x.dtype.kind != "f":
            raise ValueError(f"{path}: holds {x.dtype}, expected floats")
        x = x[None] if x.ndim == 3 else x
    else:
        values = np.fromfile(path, dtype="<f4")
        one = 3 * meta.input[0] * meta.input[1]
        if not len(values) or len(values) % one:
            raise ValueError(
                f"{path}: holds {len(values)} float32, expected a multiple of"
                f" 3 x {meta.input[0]} x {meta.input[1]}"
            )
        x = values.reshape(-1, 3, *meta.input)
    if x.ndim != 4 or x.shape[0] < 1 or x.shape[1] != 3 or min(x.shape[2:]) < 32:
        raise ValueError(f"{path}: has shape {list(x.shape)}, expected [n,3,h,w] from 32 pixels on")
    if not np.isfinite(x).all():
        raise ValueError(f"{path}: holds NaN or infinity")
    # Every implementation gets the same numbers: those that float32 can hold.
    return x.astype(np.float32).astype(np.float64)


def _load_engine(args: argparse.Namespace, report: Report) -> EngineModel | None:
    path = find_library(args.library)
    if path is None:
        report.notes.append("libdfnet was not found (see --library): not compared")
        return None
    try:
        library = Library(path)
    except OSError as error:
        if args.library:
            raise
        report.notes.append(f"libdfnet did not load, not compared: {error}")
        return None
    report.library = f"{path} ({library.version})"
    return library.load(args.model)


class _Engine:
    """libdfnet as an Implementation: one session for each input shape."""

    def __init__(self, model: EngineModel, gemm: str) -> None:
        self.model = model
        self.gemm = gemm

    def __call__(self, x: np.ndarray, tap: Tap | None) -> np.ndarray:
        def nchw(name: str, y: np.ndarray) -> None:
            tap(name, np.moveaxis(y, 3, 1))

        n, _, height, width = x.shape
        with self.model.session(height, width, n, gemm=self.gemm) as session:
            return session.run(x, None if tap is None else nchw)


def _add_torch(
    implementations: dict[str, tuple[Implementation, float]],
    arch: Architecture,
    tensors: Mapping[str, np.ndarray],
    meta: Metadata,
    tolerance: float,
    report: Report,
) -> None:
    if importlib.util.find_spec("torch") is None:
        report.notes.append("torch is not installed: not compared")
        return
    import torch

    from .torch_forward import TorchNetwork

    for label, dtype, allowed in (
        ("torch float32", torch.float32, tolerance),
        ("torch float64", torch.float64, TOLERANCE_F64),
    ):
        implementations[label] = (TorchNetwork(arch, tensors, meta.padding, dtype), allowed)


def _add_row(
    report: Report,
    name: str,
    x: np.ndarray,
    label: str,
    logits: np.ndarray,
    expected: np.ndarray,
    tolerance: float,
) -> Row:
    largest = float(np.abs(expected).max())
    difference = float(np.abs(logits - expected).max())
    allowed = tolerance * max(1.0, largest)
    # Not "difference > allowed": a NaN must fail.
    row = Row(name, list(x.shape), label, largest, difference, allowed, difference <= allowed)
    report.rows.append(row)
    report.ok = report.ok and row.ok
    return row


class _LayerPair:
    """Compares an implementation with the yardstick layer by layer and fills row.first_layer."""

    def __init__(self, arch: Architecture, row: Row) -> None:
        self.row = row
        self.relative = row.tolerance / max(1.0, row.largest_logit)
        self.expected: dict[str, np.ndarray] = {}
        self.lines: list[str] = []
        self.first = ""
        # libdfnet adds the residual in the block's last step; forward.py names that sum
        # by the block.
        self.names: dict[str, str] = {}
        for b in arch.blocks():
            single = b.type == "fused" and b.expand == 1
            last = f"blocks.{b.index}." + ("conv" if single else "project")
            self.names[last] = f"blocks.{b.index}"

    def compare(self, x: np.ndarray, yardstick: Implementation, other: Implementation) -> None:
        """Runs both; the first holds its intermediates until the second has been compared."""
        yardstick(x, self._keep)
        other(x, self._compare_one)
        if self.row.ok:
            return
        self.row.first_layer = (
            self.first or "none by itself: each layer is within the tolerance, the logits are not"
        )

    def _keep(self, name: str, y: np.ndarray) -> None:
        # float32 halves what is held; its rounding is far below any tolerance above 1e-6.
        self.expected[name] = y.astype(np.float32) if self.relative > 1e-6 else y.copy()

    def _compare_one(self, name: str, y: np.ndarray) -> None:
        complete = self.names.get(name)
        if complete in self.expected and (
            self.row.implementation == "libdfnet" or name not in self.expected
        ):
            name = complete
        want = self.expected.get(name)
        if want is None:
            return  # a step that the yardstick has no name for
        if y.size != want.size:
            self.first = self.first or f"{name} (size {y.size}, expected {want.size})"
            return
        difference = float(np.abs(y.reshape(want.shape) - want).max())
        largest = float(np.abs(want).max())
        self.lines.append(f"{name:22} largest {largest:10.4g}  difference {difference:10.3g}")
        if not self.first and not difference <= self.relative * max(1.0, largest):
            self.first = f"{name} (difference {difference:.3g}, largest value {largest:.3g})"


def _compare_source(
    path: str,
    arch: Architecture,
    tensors: Mapping[str, np.ndarray],
    meta: Metadata,
    report: Report,
) -> None:
    """Fold the checkpoint again and compare every tensor with the file's.

    The epsilon of the batch normalisation is not in the model file, so the published ones are
    tried; the one that fits best is named. Raises InputRefused for an unreadable checkpoint.
    """
    checkpoint = open_checkpoint(path)
    found = naming.identify(checkpoint.tree)
    if checkpoint.sha256 != meta.source_sha256:
        report.ok = False
        report.notes.append(
            f"source DIFFERS: {path} has SHA-256 {checkpoint.sha256}, the model was made from"
            f" {meta.source_sha256}"
        )
    if dataclasses.replace(found.arch, variant=arch.variant) != arch:
        raise ValueError(f"{path}: is {found.arch.variant}, the model file is {arch.variant}")
    fits = []
    for eps in _EPSILONS:
        folded = fold_layers(found.arch, found.layers, found.state, eps)
        fits.append((*_largest_difference(tensors, folded), eps))
        del folded
    difference, name, eps = min(fits)
    ok = difference <= _SOURCE_TOLERANCE
    report.ok = report.ok and ok
    report.notes.append(
        f"source {'ok' if ok else 'DIFFERS'}: {path} folded with epsilon {eps:g}: largest"
        f" difference {difference:.3g} of a tensor's largest value, in {name}"
    )


def _largest_difference(
    tensors: Mapping[str, np.ndarray], folded: Mapping[str, np.ndarray]
) -> tuple[float, str]:
    """(difference relative to the tensor's largest value, tensor) where it is worst.

    A tensor may be stored as F32 or as F16; the rounding that fits is taken.
    """
    worst = (0.0, "")
    for name, expected in folded.items():
        scale = float(np.abs(expected).max()) or 1.0
        with np.errstate(over="ignore"):
            roundings = [expected.astype(np.float32), expected.astype(np.float16)]
        # NaN where a value is too large for F16 on both sides cannot be: the file is finite.
        apart = min(float(np.abs(tensors[name] - r).max()) for r in roundings) / scale
        worst = max(worst, (apart, name))
    return worst


def _print_report(report: Report) -> None:
    print(f"model    {report.model}  {report.hash}")
    print(f"library  {report.library or 'none'}")
    header = ("input", "implementation", "largest logit", "difference", "tolerance", "")
    print("{:24} {:22} {:>14} {:>12} {:>12}  {}".format(*header))
    for row in report.rows:
        shape = "x".join(map(str, row.shape))
        name = row.input if len(row.input) <= 24 else "..." + row.input[-21:]
        print(
            f"{name:24} {row.implementation:22} {row.largest_logit:14.6g} {row.difference:12.3g}"
            f" {row.tolerance:12.3g}  {'ok' if row.ok else 'DIFFERS'} {shape}"
        )
        if row.first_layer:
            print(f"{'':24} first layer that differs: {row.first_layer}")
    for note in report.notes:
        print(f"note: {note}")
