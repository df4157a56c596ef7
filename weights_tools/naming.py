"""Whose names a checkpoint uses, which variant it is, and which source tensor goes where.

Called by `convert`. Knows three libraries (efficientnet_pytorch, timm, torchvision) as rules that
list, for an `Architecture`, every tensor such a file must have; the variant is the one whose list
fits the shapes in the file best, and everything that does not fit it exactly is a problem. To
teach it another library, add a Scheme (README.md, "Adding a naming scheme"). What networks of the
DeepFake Detection Challenge have beyond an EfficientNet (WS-DAN's attention, AutoAttB4's gate,
the sequence network's convolutions over time) is found by name, too: `_find_parts`.

Key names were read in lukemelas/EfficientNet-PyTorch, huggingface/pytorch-image-models and
pytorch/vision; wrappers and prefixes in the repositories of the DFDC winners and successors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from .arch import MAX_MAPS, MAX_OUTPUTS, VARIANTS, Architecture, Block, variant
from .checkpoint import FLOATS, LazyTensor
from .errors import InputRefused, plain, shown

# Where a training script puts the state dict, most specific first: of several the first wins.
WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "ema",
    "state_dict_ema",
    "model_ema",
    "params",
    "weights",
)
# What wrapping modules put before every name, in any order and number.
PREFIXES = (
    "module",
    "_orig_mod",
    "model",
    "net",
    "network",
    "encoder",
    "backbone",
    "efficientnet",
    "EFN",
    "feat_ext",
    "ema",
)
# A classifier that somebody put on top, best first; beside these each scheme has its own.
HEADS = ("fc", "classifier.1", "classifier")

# Counters without influence on inference. num_batches_tracked overflows to infinity in F16
# checkpoints, so that not even its value may be looked at.
_COUNTER = "num_batches_tracked"
_IGNORED = ("n_averaged",)  # torch.optim.swa_utils.AveragedModel

# Not in the files: frames of a sequence, and where the gate of EfficientNetAutoAttB4 stands.
SEQUENCE_FRAMES = 7
_GATE_VARIANT, _GATE_BLOCKS = "b4", 10
_ATTENTION, _GATE, _TEMPORAL = "attentions.conv", "attconv", "._expand_conv.conv.weight"


@dataclass(frozen=True)
class Layer:
    """One layer of the model file and its source.

    `target` is the canonical name without .weight, `source` and `norm` are names of modules in
    the state dict. `norm` stands behind a convolution, or before the linear layer of a head if
    `norm_first`. Without `norm` the source has a bias of its own, unless not `biased`. `temporal`:
    a 3x1x1 convolution over frames, whose taps the model file has one behind the other.
    """

    target: str
    source: str
    norm: str | None = None
    norm_first: bool = False
    biased: bool = True
    temporal: bool = False

    def prefixed(self, prefix: str) -> Layer:
        norm = None if self.norm is None else prefix + self.norm
        return replace(self, source=prefix + self.source, norm=norm)


@dataclass(frozen=True)
class Scheme:
    """The names of one library. `layers` lists all layers but the classifier, without prefix."""

    name: str
    stem: str  # the tensor that every such file has
    witness: str | None  # another that must be there too, to tell the stem from other networks'
    classifier: str
    layers: Callable[[Architecture], list[Layer] | None]  # None: the library has no such variant


def _lukemelas(arch: Architecture) -> list[Layer] | None:
    layers = [Layer("stem", "_conv_stem", "_bn0")]
    for block in arch.blocks():
        if block.type != "mb":
            return None
        at, to = f"_blocks.{block.index}.", f"blocks.{block.index}."
        if block.expand != 1:
            layers.append(Layer(to + "expand", at + "_expand_conv", at + "_bn0"))
        layers.append(Layer(to + "depthwise", at + "_depthwise_conv", at + "_bn1"))
        if block.squeezed:
            layers.append(Layer(to + "se.reduce", at + "_se_reduce"))
            layers.append(Layer(to + "se.expand", at + "_se_expand"))
        layers.append(Layer(to + "project", at + "_project_conv", at + "_bn2"))
    return [*layers, Layer("head", "_conv_head", "_bn1")]


def _timm(arch: Architecture) -> list[Layer] | None:
    layers = [Layer("stem", "conv_stem", "bn1")]
    for block in arch.blocks():
        at, to = f"blocks.{block.stage}.{block.position}.", f"blocks.{block.index}."
        layers.extend(Layer(to + t, at + s, at + n) for t, s, n in _timm_convolutions(block))
        if block.squeezed:
            layers.append(Layer(to + "se.reduce", at + "se.conv_reduce"))
            layers.append(Layer(to + "se.expand", at + "se.conv_expand"))
    return [*layers, Layer("head", "conv_head", "bn2")]


def _timm_convolutions(block: Block) -> list[tuple[str, str, str]]:
    """timm's conv_pw is the projection where a block does not expand, else the expansion."""
    if block.type == "fused":
        if block.expand == 1:
            return [("conv", "conv", "bn1")]
        return [("conv", "conv_exp", "bn1"), ("project", "conv_pwl", "bn2")]
    if block.expand == 1:
        return [("depthwise", "conv_dw", "bn1"), ("project", "conv_pw", "bn2")]
    return [
        ("expand", "conv_pw", "bn1"),
        ("depthwise", "conv_dw", "bn2"),
        ("project", "conv_pwl", "bn3"),
    ]


def _torchvision(arch: Architecture) -> list[Layer] | None:
    layers = [Layer("stem", "features.0.0", "features.0.1")]
    for block in arch.blocks():
        at = f"features.{block.stage + 1}.{block.position}.block."
        to = f"blocks.{block.index}."
        # The modules of a block are numbered in the order they run; squeeze-excite is one of them.
        if block.type == "fused":
            parts = ["conv"] if block.expand == 1 else ["conv", "project"]
        else:
            parts = ["depthwise", "se", "project"] if block.squeezed else ["depthwise", "project"]
            parts = parts if block.expand == 1 else ["expand", *parts]
        for number, part in enumerate(parts):
            if part == "se":
                layers.append(Layer(to + "se.reduce", f"{at}{number}.fc1"))
                layers.append(Layer(to + "se.expand", f"{at}{number}.fc2"))
            else:
                layers.append(Layer(to + part, f"{at}{number}.0", f"{at}{number}.1"))
    last = f"features.{len(arch.stages) + 1}"
    return [*layers, Layer("head", f"{last}.0", f"{last}.1")]


# `_conv_stem` before `conv_stem`: the first suffix contains the second.
SCHEMES = (
    Scheme("efficientnet_pytorch", "_conv_stem.weight", None, "_fc", _lukemelas),
    Scheme("timm", "conv_stem.weight", "bn1.running_var", "classifier", _timm),
    Scheme(
        "torchvision",
        "features.0.0.weight",
        "features.0.1.running_var",
        "classifier.1",
        _torchvision,
    ),
)


@dataclass(frozen=True)
class Parts:
    """What a network has beside an EfficientNet."""

    attention: Layer | None = None  # WS-DAN's maps
    maps: int = 0
    gate: Layer | None = None  # AutoAttB4's
    temporal: bool = False  # expansions over three frames

    def of(self, arch: Architecture) -> Architecture:
        """The architecture with these parts."""
        gate = _GATE_BLOCKS if self.gate and arch.variant == _GATE_VARIANT else 0
        frames = SEQUENCE_FRAMES if self.temporal else 1
        return replace(arch, attention=self.maps, gate=gate, frames=frames)

    def into(self, arch: Architecture, own: list[Layer]) -> list[Layer]:
        """A scheme's layers with those of these parts, in canonical order."""
        layers = [self._expansion(layer) for layer in own]
        head = layers.pop()
        layers += [self.gate] if self.gate and arch.gate else []
        layers.append(head)
        return layers + ([self.attention] if self.attention else [])

    def _expansion(self, layer: Layer) -> Layer:
        if self.temporal and re.fullmatch(r"blocks\.\d+\.expand", layer.target):
            return replace(layer, source=layer.source + ".conv", temporal=True)
        return layer


@dataclass(frozen=True)
class Identified:
    """What a checkpoint turned out to be. `state` maps source names to tensors."""

    scheme: Scheme
    wrapper: str  # path of keys to the state dict, empty if it is the file's top level
    prefix: str
    arch: Architecture
    layers: list[Layer]
    state: dict[str, LazyTensor]
    unused: list[str] = field(default_factory=list)  # known to be unused, for the report
    passed_over: list[str] = field(default_factory=list)  # other state dicts in the file
    keys: frozenset[str] = frozenset()  # of the file's top level


def identify(
    tree: object, state_key: str | None = None, ignore: tuple[str, ...] = ()
) -> Identified:
    """Finds state dict, naming scheme, prefix, variant and classifier of a checkpoint's tree.

    `state_key` chooses the wrapper's key, `ignore` lists names or shell patterns of tensors that
    may be there without a place in the model. Raises InputRefused with everything that does not
    fit, the first ten problems spelled out.
    """
    wrapper, entries, passed_over = _find_state(tree, state_key)
    entries = {k: v for k, v in entries.items() if not any(fnmatchcase(k, p) for p in ignore)}
    scheme, prefix = _find_scheme(entries)
    parts = _find_parts(entries, prefix)
    head, unused = _find_head(entries, scheme, prefix, parts)
    problems = [
        f"{shown(name)}: is {shown(value)}, expected a tensor"
        for name, value in entries.items()
        if not isinstance(value, LazyTensor)
    ]
    state = {k: v for k, v in entries.items() if isinstance(v, LazyTensor)}
    outputs = _outputs(state, head)
    arch, layers = _find_variant(state, scheme, prefix, parts, head, outputs)
    if parts.gate and not arch.gate:
        raise InputRefused(
            f"tensor {plain(parts.gate.source)}.weight: is the attention layer of "
            f"EfficientNetAutoAtt, whose place is known for {_GATE_VARIANT} only, and this is "
            f"{arch.variant}"
        )
    problems += _compare(arch, layers, state, unused)
    if problems:
        summary = f"{scheme.name} names, closest variant {arch.variant}"
        raise InputRefused(listed(summary, problems))
    keys = frozenset(key for key in tree if isinstance(key, str)) if wrapper else frozenset()
    return Identified(scheme, wrapper, prefix, arch, layers, state, unused, passed_over, keys)


def listed(summary: str, problems: list[str], limit: int = 10) -> str:
    """One sentence of several problems, at most `limit` spelled out."""
    text = "; ".join(problems[:limit])
    more = f"; and {len(problems) - limit} more" if len(problems) > limit else ""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return f"{summary}: {count}: {text}{more}"


def _has_stem(entries: Mapping[object, object]) -> bool:
    return any(
        isinstance(key, str) and any(_ends(key, scheme.stem) for scheme in SCHEMES)
        for key in entries
    )


def _ends(name: str, suffix: str) -> bool:
    return name == suffix or name.endswith("." + suffix)


def _find_state(tree: object, state_key: str | None) -> tuple[str, dict[str, object], list[str]]:
    """(path, entries, other candidates) of the state dict."""
    path = ""
    others: list[str] = []
    if not isinstance(tree, dict):
        raise InputRefused(f"the file holds {shown(tree)}, expected a dict of tensors")
    if state_key is not None:
        if not isinstance(tree.get(state_key), dict):
            raise InputRefused(f"the file has no dict under the key {shown(state_key)}")
        path, tree = state_key, tree[state_key]
    for _ in range(4):
        if _has_stem(tree):
            return path, {_name(key): value for key, value in tree.items()}, others
        inner = [key for key in WRAPPERS if isinstance(tree.get(key), dict)]
        if not inner:
            break
        # A dict without a stem (a "model" that is a configuration, say) gives way to one with it.
        inner.sort(key=lambda key: not _has_stem(tree[key]))
        others += [f"{path}/{key}".lstrip("/") for key in inner[1:] if _has_stem(tree[key])]
        path, tree = f"{path}/{inner[0]}".lstrip("/"), tree[inner[0]]
    tensors = [key for key, value in tree.items() if isinstance(value, LazyTensor)]
    if tensors:
        _refuse_other_networks({_name(key): tree[key] for key in tensors})
        raise InputRefused(
            f"no tensor is called {', '.join(scheme.stem for scheme in SCHEMES)} (with or without "
            f"a prefix), so this is no EfficientNet known here; the first of {len(tensors)} "
            f"tensors is {shown(tensors[0])}"
        )
    found = ", ".join(shown(key) for key in list(tree)[:8]) or "nothing"
    raise InputRefused(
        f"no state dict found: the keys are {found}; if one of them holds it, name it with "
        f"--state-dict"
    )


def _name(key: object) -> str:
    return key if isinstance(key, str) else shown(key)


def _refuse_other_networks(entries: Mapping[str, object]) -> None:
    """Networks with another backbone, said by what they have in common with those known here."""
    for name, value in entries.items():
        shape = value.shape if isinstance(value, LazyTensor) else ()
        if _ends(name, f"{_ATTENTION}.weight"):
            raise InputRefused(
                f"tensor {plain(name)}: is the attention of a WS-DAN whose backbone is no "
                f"EfficientNet known here; the first tensor is {shown(next(iter(entries)))}"
            )
        if len(shape) == 5:
            raise InputRefused(
                f"tensor {plain(name)}: is a 3-D convolution of shape {list(shape)} of a network "
                f"that is no EfficientNet known here"
            )


def _find_parts(entries: Mapping[str, object], prefix: str) -> Parts:
    temporal = any(name.startswith(prefix) and name.endswith(_TEMPORAL) for name in entries)
    gate = None
    if any(f"{prefix}{_GATE}.{part}" in entries for part in ("weight", "bias")):
        gate = Layer("gate", prefix + _GATE)
    found = [level for level in _levels(prefix) if f"{level}{_ATTENTION}.weight" in entries]
    if not found:
        return Parts(gate=gate, temporal=temporal)
    source = found[0] + _ATTENTION
    weight = entries[f"{source}.weight"]
    shape = weight.shape if isinstance(weight, LazyTensor) else ()
    if len(shape) != 4 or not 1 <= shape[0] <= MAX_MAPS:
        raise InputRefused(
            f"tensor {plain(source)}.weight: has shape {list(shape)}, expected a 1x1 convolution "
            f"to 1 to {MAX_MAPS} attention maps"
        )
    norm = source.removesuffix("conv") + "bn"
    return Parts(Layer("attention", source, norm), shape[0], gate, temporal)


def _levels(prefix: str) -> list[str]:
    """Where a module may have been wrapped, outermost first: "", "a.", "a.b." for "a.b."."""
    parts = prefix.split(".")[:-1]
    return ["".join(part + "." for part in parts[:depth]) for depth in range(len(parts) + 1)]


def _find_scheme(entries: Mapping[str, object]) -> tuple[Scheme, str]:
    found: list[tuple[Scheme, str]] = []
    for scheme in SCHEMES:
        for name in entries:
            if not _ends(name, scheme.stem):
                continue
            prefix = name[: -len(scheme.stem)]
            if scheme.witness is None or prefix + scheme.witness in entries:
                found.append((scheme, prefix))
    if not found:
        raise InputRefused("the stem's batch normalisation is missing beside its convolution")
    if len(found) > 1:
        places = ", ".join(f"{shown(p + s.stem)} ({s.name})" for s, p in found[:4])
        raise InputRefused(
            f"holds more than one network: {places}; save the one to convert on its own"
        )
    scheme, prefix = found[0]
    parts = prefix.split(".")[:-1]
    for part in parts:
        if part not in PREFIXES:
            raise InputRefused(
                f"tensor {shown(prefix + scheme.stem)}: the prefix {shown(part)} is not one of "
                f"{', '.join(PREFIXES)}"
            )
    return scheme, prefix


def _find_head(
    entries: Mapping[str, object], scheme: Scheme, prefix: str, more: Parts
) -> tuple[Layer, list[str]]:
    """The outermost classifier, and the tensors of those inside it, which nobody uses.

    A wrapping module that adds a classifier leaves the one of the wrapped network in the file.
    """
    levels = _levels(prefix)
    beside = more.attention.source.removesuffix(_ATTENTION) if more.attention else None
    chosen: Layer | None = None
    chosen_level = ""
    unused: list[str] = []
    for level in levels:
        names = HEADS if level != prefix else (*HEADS, scheme.classifier)
        for name in dict.fromkeys(names):
            source = level + name
            if f"{source}.weight" not in entries:
                continue
            if chosen is None and beside in (None, level) and (beside is None or name in HEADS):
                normed = name == "classifier.1" and f"{level}classifier.0.running_var" in entries
                norm = f"{level}classifier.0" if normed else None
                chosen, chosen_level = Layer("classifier", source, norm, normed), level
                # The published WS-DAN networks have a classifier without bias.
                if beside is not None and f"{source}.bias" not in entries:
                    chosen = replace(chosen, biased=False)
            elif level != chosen_level or name == scheme.classifier:
                unused += [k for k in (f"{source}.weight", f"{source}.bias") if k in entries]
    if chosen is None and beside is not None:
        wanted = ", ".join(shown(beside + n) for n in HEADS)
        raise InputRefused(
            f"has attention maps ({plain(beside + _ATTENTION)}), but no classifier beside them: "
            f"found none of {wanted} with a .weight"
        )
    if chosen is None:
        wanted = ", ".join(f"{shown(levels[0] + n)}" for n in HEADS)
        own = shown(prefix + scheme.classifier)
        raise InputRefused(f"has no classifier: found none of {wanted}, {own} with a .weight")
    return chosen, unused


def _outputs(state: Mapping[str, LazyTensor], head: Layer) -> int:
    weight = state.get(f"{head.source}.weight")
    if weight is None or len(weight.shape) != 2 or not 1 <= weight.shape[0] <= MAX_OUTPUTS:
        raise InputRefused(
            f"tensor {head.source}.weight: has shape "
            f"{list(weight.shape) if weight else 'none'}, expected a linear layer with 1 to "
            f"{MAX_OUTPUTS} outputs"
        )
    return weight.shape[0]


def expected_shapes(arch: Architecture, layers: Iterable[Layer]) -> dict[str, tuple[int, ...]]:
    """Source name -> shape of the tensors that `layers` are made from, counters left out."""
    shapes = arch.tensors()
    result: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        result.update(_source_shapes(shapes[f"{layer.target}.weight"], layer))
    return result


def _source_shapes(shape: tuple[int, ...], layer: Layer) -> dict[str, tuple[int, ...]]:
    """The same for one layer whose weight in the model file has `shape`."""
    if ".se." in layer.target:
        shape = (*shape, 1, 1)  # all three libraries make squeeze-excite of 1x1 convolutions
    if layer.temporal:
        shape = (shape[0], shape[1] // 3, 3, 1, 1)
    result = {f"{layer.source}.weight": shape}
    if (layer.norm is None or layer.norm_first) and layer.biased:
        result[f"{layer.source}.bias"] = shape[:1]
    if layer.norm is not None:
        channels = (shape[1] if layer.norm_first else shape[0],)
        for part in ("weight", "bias", "running_mean", "running_var"):
            result[f"{layer.norm}.{part}"] = channels
    return result


def _find_variant(
    state: Mapping[str, LazyTensor],
    scheme: Scheme,
    prefix: str,
    parts: Parts,
    head: Layer,
    outputs: int,
) -> tuple[Architecture, list[Layer]]:
    """The variant with the most tensors of the right name and shape and the fewest missing."""
    best: tuple[int, int, Architecture, list[Layer]] | None = None
    for name in VARIANTS:
        arch = parts.of(variant(name, outputs))
        own = scheme.layers(arch)
        if own is None:
            continue
        layers = [*parts.into(arch, [layer.prefixed(prefix) for layer in own]), head]
        expected = expected_shapes(arch, layers)
        fits = sum(1 for k, shape in expected.items() if k in state and state[k].shape == shape)
        score = 2 * fits - len(expected)
        if best is None or score > best[0]:
            best = (score, fits, arch, layers)
    assert best is not None  # every scheme has variants
    counted = sum(1 for name in state if not name.endswith(_COUNTER))
    if best[1] < 0.5 * counted:
        blocks = {m[0] for name in state if (m := re.search(r"blocks\.\d+(\.\d+)?\.", name))}
        raise InputRefused(
            f"matches no known variant: of {counted} tensors only {best[1]} have the name and "
            f"shape of the closest one, {best[2].variant} ({scheme.name} names, "
            f"{len(blocks) or 'unknown number of'} blocks)"
        )
    return best[2], best[3]


def _compare(
    arch: Architecture, layers: list[Layer], state: Mapping[str, LazyTensor], unused: list[str]
) -> list[str]:
    """Everything in `state` that is missing, misshapen, of a wrong type or extra."""
    expected = expected_shapes(arch, layers)
    counters = {f"{layer.norm}.{_COUNTER}" for layer in layers if layer.norm is not None}
    problems = []
    for name, shape in expected.items():
        tensor = state.get(name)
        if tensor is None:
            problems.append(f"tensor {name}: is missing, expected shape {list(shape)}")
        elif tensor.shape != shape:
            problems.append(
                f"tensor {name}: has shape {list(tensor.shape)}, expected {list(shape)}"
            )
        elif tensor.dtype not in FLOATS:
            problems.append(f"tensor {name}: is of type {tensor.dtype}, expected floats")
    allowed = {*expected, *counters, *unused, *_IGNORED}
    problems += [
        f"tensor {plain(name)}: has shape {list(tensor.shape)}, expected no such tensor"
        for name, tensor in state.items()
        if name not in allowed and not _is_ignored(name)
    ]
    return problems


def _is_ignored(name: str) -> bool:
    return any(_ends(name, ignored) for ignored in _IGNORED)
