"""Architectures of the EfficientNet family as data: stages, blocks, tensor shapes, padding, MACs.

Used by every other module of the package: the converter asks for the tensors that a variant must
have, the model file writes and reads the stage table, the forward pass walks the blocks. The
meaning of every field is FORMAT.md, sections 2, 3 and 5. Nothing here touches weights.

Scaling rules (Tan and Le, ICML 2019 and 2021; TensorFlow reference `efficientnet_builder.py`):
channels * width rounded to a multiple of 8 and not below 90 % of the product, repeats * depth
rounded up, both in double precision.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

ACTIVATIONS = ("swish", "relu6")
ROLES = ("classifier", "detector")

MAX_STAGES = 16
MAX_BLOCKS = 256
MAX_CHANNELS = 8192
MAX_OUTPUTS = 65536
MAX_EXPAND = 16
MAX_REPEATS = 64
MAX_SE = 64
MAX_MAPS = 64
MAX_FRAMES = 64


class ArchitectureError(ValueError):
    """A stage table, a padding or an input size that FORMAT.md does not allow."""


@dataclass(frozen=True)
class Stage:
    """One row of the stage table; channels and repeats are those after scaling.

    `se` is 0 (no squeeze-excite) or the divisor of the block's input channels.
    """

    type: str
    kernel: int
    stride: int
    expand: int
    channels: int
    repeats: int
    se: int

    def __str__(self) -> str:
        numbers = (self.kernel, self.stride, self.expand, self.channels, self.repeats, self.se)
        return ",".join((self.type, *map(str, numbers)))


@dataclass(frozen=True)
class Block:
    """One block with everything resolved.

    `index` counts through the network, `stage` and `position` count from 0. `squeezed` is the
    number of channels between the two squeeze-excite layers, 0 without squeeze-excite.
    """

    index: int
    stage: int
    position: int
    type: str
    kernel: int
    stride: int
    expand: int
    cin: int
    mid: int
    cout: int
    squeezed: int
    residual: bool


@dataclass(frozen=True)
class Architecture:
    """A network: stem (3x3, stride 2), stages, head (1x1), mean over the map, classifier.

    `attention` maps pool the head's output instead of the mean (WS-DAN); `gate` is the number of
    blocks in front of a gate that weighs each pixel, 0 without one; `frames` above 1 makes a
    sequence of that many pictures the input, and expansions reach over three of them.
    Building one checks it: ArchitectureError says which field is outside FORMAT.md.
    """

    variant: str
    activation: str
    stem: int
    stages: tuple[Stage, ...]
    head: int
    outputs: int
    attention: int = 0
    gate: int = 0
    frames: int = 1

    def __post_init__(self) -> None:
        if self.variant != "custom" and self.variant not in VARIANTS:
            raise ArchitectureError(f"variant {self.variant!r} is not known")
        if self.activation not in ACTIVATIONS:
            raise ArchitectureError(f"activation {self.activation!r} is neither swish nor relu6")
        _in_range("stem", self.stem, 1, MAX_CHANNELS)
        _in_range("head", self.head, 1, MAX_CHANNELS)
        _in_range("outputs", self.outputs, 1, MAX_OUTPUTS)
        _in_range("number of stages", len(self.stages), 1, MAX_STAGES)
        for number, stage in enumerate(self.stages):
            _check_stage(f"stage {number}", stage)
        blocks = sum(s.repeats for s in self.stages)
        _in_range("number of blocks", blocks, 1, MAX_BLOCKS)
        _in_range("number of attention maps", self.attention, 0, MAX_MAPS)
        _in_range("number of blocks in front of the gate", self.gate, 0, blocks)
        _in_range("number of frames", self.frames, 1, MAX_FRAMES)

    def stage_string(self) -> str:
        """The value of `dfnet.stages`."""
        return ";".join(map(str, self.stages))

    @staticmethod
    def parse(
        stages: str,
        *,
        activation: str,
        stem: int,
        head: int,
        outputs: int,
        variant: str = "custom",
        attention: int = 0,
        gate: int = 0,
        frames: int = 1,
    ) -> Architecture:
        """The architecture of a stage table as text; ArchitectureError if it is malformed."""
        parsed = []
        for number, text in enumerate(stages.split(";", MAX_STAGES)):
            fields = text.split(",")
            if len(fields) != 7:
                raise ArchitectureError(f"stage {number} {text[:80]!r}: has not 7 fields")
            numbers = [_integer(f"stage {number}", field) for field in fields[1:]]
            parsed.append(Stage(fields[0], *numbers))
        return Architecture(
            variant, activation, stem, tuple(parsed), head, outputs, attention, gate, frames
        )

    @property
    def features(self) -> int:
        """Numbers that the classifier reads."""
        return max(1, self.attention) * self.head

    @property
    def taps(self) -> int:
        """Frames that an expansion reads."""
        return 3 if self.frames > 1 else 1

    def blocks(self) -> list[Block]:
        """All blocks in network order."""
        result: list[Block] = []
        cin = self.stem
        for number, stage in enumerate(self.stages):
            for position in range(stage.repeats):
                stride = stage.stride if position == 0 else 1
                # A fused block without expansion is one convolution straight to its output.
                single = stage.type == "fused" and stage.expand == 1
                result.append(
                    Block(
                        index=len(result),
                        stage=number,
                        position=position,
                        type=stage.type,
                        kernel=stage.kernel,
                        stride=stride,
                        expand=stage.expand,
                        cin=cin,
                        mid=stage.channels if single else cin * stage.expand,
                        cout=stage.channels,
                        squeezed=max(1, cin // stage.se) if stage.se else 0,
                        residual=stride == 1 and cin == stage.channels,
                    )
                )
                cin = stage.channels
        return result

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Canonical tensor name -> shape, in canonical order (FORMAT.md, section 3)."""
        shapes: dict[str, tuple[int, ...]] = {}

        def add(name: str, *shape: int) -> None:
            shapes[f"{name}.weight"] = shape
            shapes[f"{name}.bias"] = shape[:1]

        add("stem", self.stem, 3, 3, 3)
        for b in self.blocks():
            name = f"blocks.{b.index}"
            if b.type == "mb":
                if b.expand != 1:
                    add(f"{name}.expand", b.mid, self.taps * b.cin, 1, 1)
                add(f"{name}.depthwise", b.mid, 1, b.kernel, b.kernel)
                if b.squeezed:
                    add(f"{name}.se.reduce", b.squeezed, b.mid)
                    add(f"{name}.se.expand", b.mid, b.squeezed)
            else:
                add(f"{name}.conv", b.mid, b.cin, b.kernel, b.kernel)
            if b.type == "mb" or b.expand != 1:
                add(f"{name}.project", b.cout, b.mid, 1, 1)
        add("head", self.head, self.stages[-1].channels, 1, 1)
        if self.gate:
            add("gate", 1, self.blocks()[self.gate - 1].cout, 1, 1)
        if self.attention:
            add("attention", self.attention, self.head, 1, 1)
        add("classifier", self.outputs, self.features)
        return shapes

    def stride2_kernels(self) -> list[int]:
        """Kernels of the stride-2 layers in network order; the first is the stem's 3."""
        return [3, *(b.kernel for b in self.blocks() if b.stride == 2)]

    def sizes(self, height: int, width: int, padding: str) -> list[tuple[int, int]]:
        """(height, width) behind the stem, then behind each block.

        ArchitectureError if an axis would vanish, which only `fixed` padding can do.
        """
        pads = Padding.parse(padding, self)
        size = pads.output(0, height), pads.output(0, width)
        result = [size]
        layer = 1
        for b in self.blocks():
            if b.stride == 2:
                size = pads.output(layer, size[0]), pads.output(layer, size[1])
                layer += 1
            result.append(size)
        return result

    def macs(self, height: int, width: int, padding: str) -> int:
        """Multiply-accumulates of one picture: convolutions, squeeze-excite, fully connected."""
        sizes = self.sizes(height, width, padding)
        h, w = sizes[0]
        total = self.stem * 27 * h * w
        for b, (ho, wo) in zip(self.blocks(), sizes[1:], strict=True):
            taps = b.kernel * b.kernel
            if b.type == "mb":
                total += b.mid * self.taps * b.cin * h * w if b.expand != 1 else 0
                total += b.mid * taps * ho * wo + 2 * b.mid * b.squeezed
            else:
                total += b.mid * b.cin * taps * ho * wo
            if b.type == "mb" or b.expand != 1:
                total += b.cout * b.mid * ho * wo
            h, w = ho, wo
            total += b.cout * h * w if b.index + 1 == self.gate else 0
        # The maps, and pooling by them.
        total += 2 * self.attention * self.head * h * w
        return total + self.head * self.stages[-1].channels * h * w + self.outputs * self.features


@dataclass(frozen=True)
class Padding:
    """Padding of the stride-2 layers (FORMAT.md, section 5); both axes alike.

    `fixed` holds (before, after) for each of the layers in `kernels`, empty for the other modes.
    """

    mode: str
    kernels: tuple[int, ...]
    fixed: tuple[tuple[int, int], ...] = ()

    @staticmethod
    def parse(text: str, arch: Architecture) -> Padding:
        """`same`, `sym` or `fixed:...` for this architecture; ArchitectureError otherwise."""
        kernels = tuple(arch.stride2_kernels())
        if text in ("same", "sym"):
            return Padding(text, kernels)
        if not text.startswith("fixed:"):
            raise ArchitectureError(f"padding {text[:80]!r} is not same, sym or fixed:...")
        numbers = [_integer("padding", field) for field in text[6:].split(",")]
        if len(numbers) != 2 * len(kernels):
            raise ArchitectureError(
                f"padding has {len(numbers)} numbers, expected {2 * len(kernels)}: two for each"
                f" of the {len(kernels)} stride-2 layers"
            )
        pairs = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        for layer, (pair, kernel) in enumerate(zip(pairs, kernels, strict=True)):
            for number in pair:
                _in_range(f"padding of stride-2 layer {layer}", number, 0, kernel - 1)
        return Padding("fixed", kernels, pairs)

    def pair(self, layer: int, n: int) -> tuple[int, int]:
        """(before, after) of stride-2 layer `layer` for an input of `n` rows or columns."""
        kernel = self.kernels[layer]
        if self.mode == "sym":
            return kernel // 2, kernel // 2
        if self.mode == "fixed":
            return self.fixed[layer]
        total = max((-(-n // 2) - 1) * 2 + kernel - n, 0)
        return total // 2, total - total // 2

    def output(self, layer: int, n: int) -> int:
        """Rows (or columns) that stride-2 layer `layer` makes of `n`."""
        span = n + sum(self.pair(layer, n)) - self.kernels[layer]
        if span < 0:
            raise ArchitectureError(
                f"stride-2 layer {layer}: an input of {n} is too small for its kernel of"
                f" {self.kernels[layer]} and its padding"
            )
        return span // 2 + 1


def _in_range(what: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ArchitectureError(f"{what} is {value}, allowed is {low} to {high}")


def _integer(where: str, text: str) -> int:
    """Decimal digits without sign, spaces and leading zeros, at most 9 of them."""
    if not re.fullmatch(r"0|[1-9][0-9]{0,8}", text, re.ASCII):
        raise ArchitectureError(f"{where}: {text[:80]!r} is not a plain integer")
    return int(text)


def _check_stage(where: str, stage: Stage) -> None:
    if stage.type not in ("mb", "fused"):
        raise ArchitectureError(f"{where}: type {stage.type!r} is neither mb nor fused")
    if stage.kernel not in (3, 5):
        raise ArchitectureError(f"{where}: kernel is {stage.kernel}, allowed is 3 or 5")
    if stage.stride not in (1, 2):
        raise ArchitectureError(f"{where}: stride is {stage.stride}, allowed is 1 or 2")
    _in_range(f"{where}: expand", stage.expand, 1, MAX_EXPAND)
    _in_range(f"{where}: channels", stage.channels, 1, MAX_CHANNELS)
    _in_range(f"{where}: repeats", stage.repeats, 1, MAX_REPEATS)
    _in_range(f"{where}: se", stage.se, 0, 0 if stage.type == "fused" else MAX_SE)


def round_filters(channels: int, width: float, *, keep_90_percent: bool = True) -> int:
    """Channels scaled by `width` to a multiple of 8; EfficientNetV2 drops the 90 % rule."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    if keep_90_percent and rounded < 0.9 * scaled:
        rounded += 8
    return rounded


def round_repeats(repeats: int, depth: float) -> int:
    """Repeats scaled by `depth`, rounded up."""
    return math.ceil(repeats * depth)


# EfficientNet-B0, Tan and Le 2019, table 1; squeeze-excite 0.25 of the block input.
_V1_BASE = (
    Stage("mb", 3, 1, 1, 16, 1, 4),
    Stage("mb", 3, 2, 6, 24, 2, 4),
    Stage("mb", 5, 2, 6, 40, 2, 4),
    Stage("mb", 3, 2, 6, 80, 3, 4),
    Stage("mb", 5, 1, 6, 112, 3, 4),
    Stage("mb", 5, 2, 6, 192, 4, 4),
    Stage("mb", 3, 1, 6, 320, 1, 4),
)

# EfficientNetV2-B0, Tan and Le 2021 and `effnetv2_configs.py` (v2_base_block).
_V2_BASE = (
    Stage("fused", 3, 1, 1, 16, 1, 0),
    Stage("fused", 3, 2, 4, 32, 2, 0),
    Stage("fused", 3, 2, 4, 48, 2, 0),
    Stage("mb", 3, 2, 4, 96, 3, 4),
    Stage("mb", 3, 1, 6, 112, 5, 4),
    Stage("mb", 3, 2, 6, 192, 8, 4),
)

# Width, depth, native size. Google's lite3 and lite4 are 280 and 300, timm evaluates them larger.
_V1_SCALE = {
    "b0": (1.0, 1.0, 224),
    "b1": (1.0, 1.1, 240),
    "b2": (1.1, 1.2, 260),
    "b3": (1.2, 1.4, 300),
    "b4": (1.4, 1.8, 380),
    "b5": (1.6, 2.2, 456),
    "b6": (1.8, 2.6, 528),
    "b7": (2.0, 3.1, 600),
    "b8": (2.2, 3.6, 672),
    "l2": (4.3, 5.3, 800),
    "lite0": (1.0, 1.0, 224),
    "lite1": (1.0, 1.1, 240),
    "lite2": (1.1, 1.2, 260),
    "lite3": (1.2, 1.4, 280),
    "lite4": (1.4, 1.8, 300),
}

_V2_SCALE = {
    "v2-b0": (1.0, 1.0, 224),
    "v2-b1": (1.0, 1.1, 240),
    "v2-b2": (1.1, 1.2, 260),
    "v2-b3": (1.2, 1.4, 300),
}

# Stem, (type, stride, expand, channels, repeats) with kernel 3 everywhere, native size;
# `effnetv2_configs.py` (v2_s_block, v2_m_block, v2_l_block). The head has 1280 channels.
_V2_TABLES: dict[str, tuple[int, tuple[tuple[str, int, int, int, int], ...], int]] = {
    "v2-s": (
        24,
        (
            ("fused", 1, 1, 24, 2),
            ("fused", 2, 4, 48, 4),
            ("fused", 2, 4, 64, 4),
            ("mb", 2, 4, 128, 6),
            ("mb", 1, 6, 160, 9),
            ("mb", 2, 6, 256, 15),
        ),
        384,
    ),
    "v2-m": (
        24,
        (
            ("fused", 1, 1, 24, 3),
            ("fused", 2, 4, 48, 5),
            ("fused", 2, 4, 80, 5),
            ("mb", 2, 4, 160, 7),
            ("mb", 1, 6, 176, 14),
            ("mb", 2, 6, 304, 18),
            ("mb", 1, 6, 512, 5),
        ),
        480,
    ),
    "v2-l": (
        32,
        (
            ("fused", 1, 1, 32, 4),
            ("fused", 2, 4, 64, 7),
            ("fused", 2, 4, 96, 7),
            ("mb", 2, 4, 192, 10),
            ("mb", 1, 6, 224, 19),
            ("mb", 2, 6, 384, 25),
            ("mb", 1, 6, 640, 7),
        ),
        480,
    ),
}

VARIANTS: tuple[str, ...] = (*_V1_SCALE, *_V2_TABLES, *_V2_SCALE)

#: Side of the square picture that each variant was designed for.
NATIVE_SIZE: dict[str, int] = {
    name: row[-1] for name, row in {**_V1_SCALE, **_V2_TABLES, **_V2_SCALE}.items()
}


def variant(name: str, outputs: int = 1000) -> Architecture:
    """The architecture of a named variant; ArchitectureError if the name is not in VARIANTS."""
    if name in _V1_SCALE:
        return _v1(name, outputs)
    if name in _V2_SCALE:
        return _v2_base(name, outputs)
    if name not in _V2_TABLES:
        raise ArchitectureError(f"variant {name!r} is not known")
    stem, rows, _ = _V2_TABLES[name]
    stages = tuple(
        Stage(kind, 3, stride, expand, channels, repeats, 4 if kind == "mb" else 0)
        for kind, stride, expand, channels, repeats in rows
    )
    return Architecture(name, "swish", stem, stages, 1280, outputs)


def _v1(name: str, outputs: int) -> Architecture:
    """B0 to B8, L2 and the lite variants.

    Lite: no squeeze-excite, ReLU6, stem and head as in B0, first and last stage not repeated.
    """
    width, depth, _ = _V1_SCALE[name]
    lite = name.startswith("lite")
    stages = []
    for number, base in enumerate(_V1_BASE):
        outer = number in (0, len(_V1_BASE) - 1)
        stages.append(
            Stage(
                base.type,
                base.kernel,
                base.stride,
                base.expand,
                round_filters(base.channels, width),
                base.repeats if lite and outer else round_repeats(base.repeats, depth),
                0 if lite else base.se,
            )
        )
    return Architecture(
        variant=name,
        activation="relu6" if lite else "swish",
        stem=32 if lite else round_filters(32, width),
        stages=tuple(stages),
        head=1280 if lite else round_filters(1280, width),
        outputs=outputs,
    )


def _v2_base(name: str, outputs: int) -> Architecture:
    width, depth, _ = _V2_SCALE[name]

    def scaled(channels: int) -> int:
        return round_filters(channels, width, keep_90_percent=False)

    stages = tuple(
        Stage(
            base.type,
            base.kernel,
            base.stride,
            base.expand,
            scaled(base.channels),
            round_repeats(base.repeats, depth),
            base.se,
        )
        for base in _V2_BASE
    )
    return Architecture(name, "swish", scaled(32), stages, scaled(1280), outputs)
