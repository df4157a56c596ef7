"""From a checkpoint to a model file: identify, check, fold, describe, write.

Called by `__main__` and usable on its own: `convert(source, output, Options(...))`. Every
default that it takes and every choice that it makes is in the report it returns.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from . import fold, naming, recipes, systems
from .arch import Architecture
from .checkpoint import LazyTensor, open_checkpoint
from .errors import InputRefused, shown
from .model_file import CROP_CHOICES, Metadata, ModelFileError, write_model
from .naming import Layer

# PyTorch's default for BatchNorm1d, which the head before a linear layer uses.
HEAD_BN_EPS = 1e-5
# Of WS-DAN's attention, whatever the backbone's.
ATTENTION_BN_EPS = 1e-3
MAX_LABEL_FILE = 16 << 20


@dataclass
class Options:
    """What the user says about a model. None: the default of the library it comes from."""

    system: str = "auto"  # one of systems.NAMES
    name: str | None = None  # timm's name of the model, or another library's
    state_dict: str | None = None
    ignore: tuple[str, ...] = ()
    padding: str | None = None  # FORMAT.md's modes, or static-old, static-new
    bn_eps: float | None = None
    head_bn_eps: float = HEAD_BN_EPS
    dtype: str = "f32"
    model_name: str | None = None
    license: str | None = None
    source: str | None = None
    labels: Path | None = None
    output: str | None = None
    fake: int | str | None = None  # an index, or "none"
    input: tuple[int, int] | None = None  # height, width
    resize: str | None = None
    filter: str | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    flip: bool = False
    face_margin: tuple[float, float, float, float] | None = None
    face_shape: str | None = None
    face_outside: str | None = None
    face_pad: tuple[int, int, int] | None = None
    face_unit: str | None = None
    face_rounding: str | None = None
    face_least: int | None = None
    face_align: str | None = None
    resize_border: str | None = None
    resize_rounding: str | None = None
    resize_canvas: str | None = None
    look: str | None = None
    temperature: float = 1.0
    thresholds: tuple[float, float] = (0.5, 0.5)
    reference: tuple[int, int, int] = (20201, 72, 55)


# The optional keys about crops: fields of Options and Metadata alike.
CROP_FIELDS = ("face_least", "face_align", *CROP_CHOICES)


@dataclass
class Report:
    """What was read, what was assumed and what was written."""

    architecture: Architecture
    metadata: Metadata
    lines: list[str] = field(default_factory=list)


def convert(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: Options | None = None,
) -> Report:
    """Converts `source` and writes `output` atomically; the same input gives the same bytes.

    Raises InputRefused if the checkpoint or the options are not acceptable, OSError if the
    output cannot be written; an existing output stays as it was in both cases.
    """
    options = options or Options()
    source = Path(source)
    if os.path.realpath(source) == os.path.realpath(output):
        raise InputRefused(f"{output}: is the checkpoint itself; choose another output")
    checkpoint = open_checkpoint(source)
    try:
        found = naming.identify(checkpoint.tree, options.state_dict, options.ignore)
        system = systems.find(found, options.system)
        options = filled(options, system)
        chosen = recipes.recipe(
            found.scheme.name, found.arch, options.name, recipes.base_name(source)
        )
        eps = chosen.eps if options.bn_eps is None else options.bn_eps
        tensors = fold_layers(found.arch, found.layers, found.state, eps, options.head_bn_eps)
        meta = describe(found.arch, chosen, options, source.name, checkpoint.sha256)
        write_model(output, found.arch, tensors, meta, options.dtype)
    except (InputRefused, ModelFileError) as error:
        raise InputRefused(f"{source}: {error}") from error
    report = Report(found.arch, meta)
    report.lines = _lines(checkpoint.container, found, chosen, eps, options, meta)
    if system is not None:
        line = f"system    {system.title}; --system none takes the library's defaults"
        report.lines.insert(2, line)
        report.lines += [f"note      {system.note}"] if system.note else []
    return report


def filled(options: Options, system: systems.System | None) -> Options:
    """Options with the system's own settings in the place of those that the user left open."""
    settings = system.settings if system else {}
    return replace(options, **{k: v for k, v in settings.items() if getattr(options, k) is None})


def fold_layers(
    arch: Architecture,
    layers: list[Layer],
    state: Mapping[str, LazyTensor],
    eps: float,
    head_eps: float = HEAD_BN_EPS,
) -> dict[str, np.ndarray]:
    """Canonical name -> float64 array of its final shape, in canonical order.

    `state` has what `naming.expected_shapes` lists for each layer, already compared. Raises
    InputRefused with every tensor that holds NaN, infinity or an impossible variance.
    """
    problems: list[str] = []

    def read(name: str) -> np.ndarray:
        array = state[name].read()
        bad = np.flatnonzero(~np.isfinite(array))
        if bad.size:
            value = array.reshape(-1)[bad[0]]
            at = [int(index) for index in np.unravel_index(bad[0], array.shape)]
            problems.append(
                f"tensor {name}: holds {value} at {at} ({bad.size} of {array.size} values are not "
                f"finite), expected finite numbers"
            )
        return array

    def read_norm(name: str, epsilon: float) -> fold.BatchNorm:
        variance = read(f"{name}.running_var")
        if np.any(variance < 0):
            worst = float(np.nanmin(variance))
            problems.append(f"tensor {name}.running_var: holds {worst}, expected no negative value")
        elif epsilon == 0 and np.any(variance == 0):
            problems.append(f"tensor {name}.running_var: holds 0, which needs --bn-eps above 0")
        gamma, beta = read(f"{name}.weight"), read(f"{name}.bias")
        mean = read(f"{name}.running_mean")
        return fold.BatchNorm(gamma, beta, mean, variance, epsilon)

    made: dict[str, np.ndarray] = {}
    shapes = arch.tensors()
    for layer in layers:
        weight = read(f"{layer.source}.weight")
        # What is not finite is reported below; the arithmetic on it need not warn as well.
        with np.errstate(all="ignore"):
            if layer.norm is None:
                bias = read(f"{layer.source}.bias") if layer.biased else np.zeros(len(weight))
            elif layer.norm_first:
                norm = read_norm(layer.norm, head_eps)
                weight, bias = fold.into_linear(weight, read(f"{layer.source}.bias"), norm)
            else:
                own = ATTENTION_BN_EPS if layer.target == "attention" else eps
                weight, bias = fold.into_convolution(weight, read_norm(layer.norm, own))
        if layer.temporal:
            weight = weight.swapaxes(1, 2)  # [mid,cin,3,1,1]: the file has tap after tap
        made[f"{layer.target}.weight"] = weight.reshape(shapes[f"{layer.target}.weight"])
        made[f"{layer.target}.bias"] = bias
    if problems:
        raise InputRefused(naming.listed("values", problems))
    return {name: made[name] for name in shapes}


def describe(
    arch: Architecture, chosen: recipes.Recipe, options: Options, file_name: str, sha256: str
) -> Metadata:
    """The metadata: what the user said, else what the library does, else FORMAT.md's defaults."""
    output = options.output or ("sigmoid" if arch.outputs == 1 else "softmax")
    if output == "softmax" and arch.outputs == 1:
        raise InputRefused("--output softmax: a softmax over one output is always 1; use sigmoid")
    fake = _fake(options.fake, arch.outputs)
    height, width = options.input or (chosen.size, chosen.size)
    padding = options.padding or chosen.padding
    if padding in ("static-old", "static-new"):
        padding = recipes.static_padding(arch, padding)
    meta = Metadata(
        name=options.model_name or _cut(recipes.base_name(file_name), 127),
        variant=arch.variant,
        padding=padding,
        input=(height, width),
        resize=options.resize or recipes.for_input(chosen, height, width, fake is not None),
        filter=options.filter or chosen.filter,
        mean=options.mean or chosen.mean,
        std=options.std or chosen.std,
        flip=options.flip,
        labels=read_labels(options.labels, arch.outputs) if options.labels else [],
        output=output,
        fake=fake,
        temperature=options.temperature,
        thresholds=options.thresholds,
        source=options.source or _cut(file_name, 1023),
        source_sha256=sha256,
        license="unknown" if options.license is None else options.license,
        reference=options.reference,
    )
    for key in ("face_margin", "face_shape", "face_outside", "face_pad", "look", *CROP_FIELDS):
        if getattr(options, key) is not None:
            setattr(meta, key, getattr(options, key))
    return meta


def _fake(said: int | str | None, outputs: int) -> int | None:
    """Index of the output that means fake: one logit is taken for it, of two the second."""
    if said is None:
        return {1: 0, 2: 1}.get(outputs)
    if said == "none":
        return None
    if not isinstance(said, int) or not 0 <= said < outputs:
        raise InputRefused(f"--fake {shown(said)}: expected none or 0 to {outputs - 1}")
    return said


def _cut(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8 of a file's name, which need not be valid Unicode."""
    clean = text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore").replace("\0", "")
    return clean or "model"


def read_labels(path: Path, outputs: int) -> list[str]:
    """One label a line, as many as outputs. A final line break is not a label."""
    try:
        if os.path.getsize(path) > MAX_LABEL_FILE:
            raise InputRefused(f"{path}: is longer than {MAX_LABEL_FILE} bytes")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputRefused(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise InputRefused(f"{path}: is not UTF-8 text") from None
    labels = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if len(labels) != outputs:
        raise InputRefused(f"{path}: has {len(labels)} labels, expected {outputs}, one a line")
    for number, label in enumerate(labels, 1):
        if not label.strip():
            raise InputRefused(f"{path}: line {number} is empty")
    return labels


def _parts(arch: Architecture) -> str:
    maps = f" with {arch.attention} attention maps" if arch.attention else ""
    gate = f" with a gate behind {arch.gate} blocks" if arch.gate else ""
    return maps + gate + (f" for sequences of {arch.frames} frames" if arch.frames > 1 else "")


def _lines(
    container: str,
    found: naming.Identified,
    chosen: recipes.Recipe,
    eps: float,
    options: Options,
    meta: Metadata,
) -> list[str]:
    place = f", state dict at {found.wrapper}" if found.wrapper else ""
    prefix = f", prefix {found.prefix}" if found.prefix else ""
    lines = [
        f"read      {meta.source}: {container}{place}, {found.scheme.name} names{prefix}",
        f"variant   {found.arch.variant}{_parts(found.arch)}, outputs {found.arch.outputs}, "
        f"classifier {found.layers[-1].source}",
        f"defaults  {chosen.origin}",
        f"folded    batch normalisation, eps {eps!r}; padding {meta.padding}",
        f"input     {meta.input[0]}x{meta.input[1]}, {meta.resize}, {meta.filter}, mean "
        f"{list(meta.mean)}, std {list(meta.std)}",
        f"output    {meta.output}, fake {'none' if meta.fake is None else meta.fake}",
    ]
    if found.scheme.name == "efficientnet_pytorch" and options.padding is None:
        lines.append(
            "note      efficientnet_pytorch with a fixed image size pads differently on some "
            "inputs: --padding static-old (up to 0.6.3) or static-new"
        )
    if found.unused:
        lines.append(f"unused    {', '.join(found.unused[:6])}")
    if found.passed_over:
        lines.append(
            f"note      also holds {', '.join(found.passed_over)}; choose with --state-dict"
        )
    return lines
