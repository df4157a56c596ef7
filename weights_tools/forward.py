"""Forward pass in numpy float64: what a model file's reference logits are, and what verify trusts.

Called by model_file, verify and the tests. It follows FORMAT.md, sections 3 and 5, and aims at
being plainly right, not fast: every convolution is a sum over kernel taps of shifted views, so
that nothing larger than a few activations is held. All arrays are NCHW; weights have the shapes
of `Architecture.tensors()` in any floating type and are widened layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .arch import Architecture, Block, Padding

#: Called with (layer name, float64 array); see `tap_names` for the names and their order.
Tap = Callable[[str, np.ndarray], None]

#: Of bilinear attention pooling, the same in all published networks.
ROOT_EPSILON = 1e-12
WSDAN_SCALE = 100.0


def forward(
    arch: Architecture,
    tensors: Mapping[str, np.ndarray],
    x: np.ndarray,
    padding: str,
    tap: Tap | None = None,
) -> np.ndarray:
    """Logits, float64 [n, outputs], of the normalised pictures `x` [n, 3, height, width].

    Of a network of sequences n is a multiple of its frames, which lie one behind the other.
    `padding` is the value of `dfnet.padding`. `tap` is given every intermediate in network order
    (arrays that it may keep). Raises ArchitectureError if padding does not fit.
    """
    if x.ndim != 4 or x.shape[1] != 3 or min(x.shape) < 1:
        raise ValueError(f"input has shape {list(x.shape)}, expected [n,3,height,width]")
    if len(x) % arch.frames:
        raise ValueError(f"{len(x)} inputs are no sequences of {arch.frames} frames")
    return _Pass(arch, tensors, Padding.parse(padding, arch), tap).run(x.astype(np.float64))


def tap_names(arch: Architecture) -> list[str]:
    """Names that `forward` gives to its tap, in order.

    `stem`, `head` and the layers inside a block are taken behind their activation,
    `blocks.i.se` are the gates [n, mid] behind the sigmoid, `blocks.i` is the block's output
    behind the residual, `pool` is [n, head], `classifier` the logits.
    """
    names = ["stem"]
    for b in arch.blocks():
        name = f"blocks.{b.index}"
        if b.type == "mb":
            names += [f"{name}.expand"] if b.expand != 1 else []
            names += [f"{name}.depthwise"]
            names += [f"{name}.se"] if b.squeezed else []
        else:
            names += [f"{name}.conv"]
        names += [name]
        names += ["gate", "gated"] if b.index + 1 == arch.gate else []
    pooled = ["attention", "pooled", "parts"] if arch.attention else ["pool"]
    return [*names, "head", *pooled, "classifier"]


class _Pass:
    """One forward pass; holds what all layers need."""

    def __init__(
        self,
        arch: Architecture,
        tensors: Mapping[str, np.ndarray],
        padding: Padding,
        tap: Tap | None,
    ) -> None:
        self.arch = arch
        self.tensors = tensors
        self.padding = padding
        self.tap = tap
        self.stride2_layer = 0

    def run(self, x: np.ndarray) -> np.ndarray:
        """x [n, 3, h, w] -> logits [n, outputs]."""
        x = self.report("stem", self.activate(self.conv("stem", x, 3, 2)))
        for block in self.arch.blocks():
            name = f"blocks.{block.index}"
            inner = self.mbconv if block.type == "mb" else self.fused
            y = inner(name, x, block)
            x = self.report(name, y + x if block.residual else y)
            if block.index + 1 == self.arch.gate:
                by = self.report("gate", sigmoid(self.conv("gate", x, 1, 1)))
                x = self.report("gated", x * by)
        x = self.report("head", self.activate(self.conv("head", x, 1, 1)))
        if self.arch.attention:
            pooled = self.bilinear(x)
        else:
            pooled = self.report("pool", x.mean(axis=(2, 3)))
        return self.report("classifier", self.dense("classifier", pooled))

    def bilinear(self, x: np.ndarray) -> np.ndarray:
        """Attention pooling: x [n, c, h, w] -> [n, maps * c], 100 times a unit vector."""
        maps = self.report("attention", np.maximum(self.conv("attention", x, 1, 1), 0.0))
        pooled = np.einsum("nmhw,nchw->nmc", maps, x) / (x.shape[2] * x.shape[3])
        parts = self.report("pooled", pooled).reshape(len(x), -1)
        parts = np.sign(parts) * np.sqrt(np.abs(parts) + ROOT_EPSILON)
        norm = np.sqrt((parts**2).sum(axis=1, keepdims=True))
        return self.report("parts", WSDAN_SCALE * parts / np.maximum(norm, ROOT_EPSILON))

    def mbconv(self, name: str, x: np.ndarray, b: Block) -> np.ndarray:
        """x [n, cin, h, w] -> [n, cout, ho, wo], without the residual."""
        if b.expand != 1:
            x = self.activate(self.conv(f"{name}.expand", self.three_frames(x), 1, 1))
            self.report(f"{name}.expand", x)
        x = self.activate(self.conv(f"{name}.depthwise", x, b.kernel, b.stride, depthwise=True))
        self.report(f"{name}.depthwise", x)
        if b.squeezed:
            squeezed = self.activate(self.dense(f"{name}.se.reduce", x.mean(axis=(2, 3))))
            gates = sigmoid(self.dense(f"{name}.se.expand", squeezed))
            self.report(f"{name}.se", gates)
            x = x * gates[:, :, None, None]
        return self.conv(f"{name}.project", x, 1, 1)

    def three_frames(self, x: np.ndarray) -> np.ndarray:
        """x [n, c, h, w] -> [n, 3 c, h, w]: the frame before, this one, the one behind."""
        if self.arch.frames == 1:
            return x
        frames = x.reshape(-1, self.arch.frames, *x.shape[1:])
        wide = np.pad(frames, ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
        shifted = [wide[:, k : k + self.arch.frames] for k in range(3)]
        return np.concatenate(shifted, axis=2).reshape(len(x), -1, *x.shape[2:])

    def fused(self, name: str, x: np.ndarray, b: Block) -> np.ndarray:
        """x [n, cin, h, w] -> [n, cout, ho, wo], without the residual."""
        x = self.activate(self.conv(f"{name}.conv", x, b.kernel, b.stride))
        self.report(f"{name}.conv", x)
        return x if b.expand == 1 else self.conv(f"{name}.project", x, 1, 1)

    def conv(
        self, name: str, x: np.ndarray, kernel: int, stride: int, depthwise: bool = False
    ) -> np.ndarray:
        """Convolution with bias; one (before, after) for each axis."""
        n, _, h, w = x.shape
        rows = cols = (kernel // 2, kernel // 2)
        if stride == 2:
            rows = self.padding.pair(self.stride2_layer, h)
            cols = self.padding.pair(self.stride2_layer, w)
            # Says which layer is too small; the sizes below would only be negative.
            self.padding.output(self.stride2_layer, min(h, w))
            self.stride2_layer += 1
        if kernel > 1:
            x = np.pad(x, ((0, 0), (0, 0), rows, cols))
        ho = (h + sum(rows) - kernel) // stride + 1
        wo = (w + sum(cols) - kernel) // stride + 1
        weight = self.wide(f"{name}.weight")
        out = np.zeros((n, weight.shape[0], ho, wo))
        out += self.wide(f"{name}.bias")[:, None, None]
        for i in range(kernel):
            for j in range(kernel):
                view = x[:, :, i : i + (ho - 1) * stride + 1 : stride]
                view = view[:, :, :, j : j + (wo - 1) * stride + 1 : stride]
                if depthwise:
                    out += view * weight[:, 0, i, j][:, None, None]
                else:
                    flat = view.reshape(n, view.shape[1], ho * wo)
                    out += (weight[:, :, i, j] @ flat).reshape(out.shape)
        return out

    def dense(self, name: str, x: np.ndarray) -> np.ndarray:
        """x [n, in] -> [n, out]."""
        return x @ self.wide(f"{name}.weight").T + self.wide(f"{name}.bias")

    def activate(self, x: np.ndarray) -> np.ndarray:
        """The architecture's activation."""
        if self.arch.activation == "relu6":
            return np.clip(x, 0.0, 6.0)
        return x * sigmoid(x)

    def wide(self, name: str) -> np.ndarray:
        """The tensor in float64."""
        return np.asarray(self.tensors[name], dtype=np.float64)

    def report(self, name: str, x: np.ndarray) -> np.ndarray:
        """Give x to the tap."""
        if self.tap is not None:
            self.tap(name, x)
        return x


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) without overflow: exp only sees arguments that are not positive."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)
