"""The folded network in plain torch.nn.functional: a second opinion beside numpy and libdfnet.

Called by verify and the parity harness when torch is installed, and by the maker of the golden
files. It repeats FORMAT.md, sections 3 and 5, with torch's own operators and shares no
arithmetic with forward.py: only the block list and the padding numbers. Importing this module
imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as functional

from .arch import Architecture, Block, Padding

Tap = Callable[[str, np.ndarray], None]
_Report = Callable[[str, torch.Tensor], torch.Tensor]


class TorchNetwork:
    """A network in one precision; weights are converted once."""

    def __init__(
        self,
        arch: Architecture,
        tensors: Mapping[str, np.ndarray],
        padding: str,
        dtype: torch.dtype,
    ) -> None:
        self.arch = arch
        self.padding = Padding.parse(padding, arch)
        self.dtype = dtype
        # torch warns about arrays that are not writable; it never writes to these.
        self.tensors = {
            name: torch.tensor(np.asarray(array), dtype=dtype) for name, array in tensors.items()
        }

    def __call__(self, x: np.ndarray, tap: Tap | None = None) -> np.ndarray:
        """Logits [n, outputs] of x [n, 3, height, width]; taps as in forward.tap_names."""

        def report(name: str, y: torch.Tensor) -> torch.Tensor:
            if tap is not None:
                tap(name, y.numpy())
            return y

        with torch.no_grad():
            y = torch.from_numpy(np.ascontiguousarray(x)).to(self.dtype)
            y = report("stem", self._activate(self._conv2("stem", y, 0)))
            layer = 1
            for b in self.arch.blocks():
                step = self._mbconv if b.type == "mb" else self._fused
                z = step(f"blocks.{b.index}", y, b, layer, report)
                y = report(f"blocks.{b.index}", z + y if b.residual else z)
                layer += b.stride == 2
                if b.index + 1 == self.arch.gate:
                    y = report("gated", y * report("gate", torch.sigmoid(self._conv("gate", y))))
            y = report("head", self._activate(self._conv("head", y)))
            if self.arch.attention:
                y = self._bilinear(y, report)
            else:
                y = report("pool", functional.adaptive_avg_pool2d(y, 1).flatten(1))
            return report("classifier", self._linear("classifier", y)).numpy()

    def _mbconv(
        self, name: str, x: torch.Tensor, b: Block, layer: int, report: _Report
    ) -> torch.Tensor:
        if b.expand != 1 and self.arch.frames > 1:
            x = report(f"{name}.expand", self._activate(self._temporal(f"{name}.expand", x)))
        elif b.expand != 1:
            x = report(f"{name}.expand", self._activate(self._conv(f"{name}.expand", x)))
        if b.stride == 2:
            x = self._conv2(f"{name}.depthwise", x, layer, groups=b.mid)
        else:
            x = self._conv(f"{name}.depthwise", x, padding=b.kernel // 2, groups=b.mid)
        x = report(f"{name}.depthwise", self._activate(x))
        if b.squeezed:
            mean = functional.adaptive_avg_pool2d(x, 1).flatten(1)
            reduced = self._activate(self._linear(f"{name}.se.reduce", mean))
            gates = torch.sigmoid(self._linear(f"{name}.se.expand", reduced))
            x = x * report(f"{name}.se", gates)[:, :, None, None]
        return self._conv(f"{name}.project", x)

    def _bilinear(self, x: torch.Tensor, report: _Report) -> torch.Tensor:
        maps = report("attention", functional.relu(self._conv("attention", x)))
        parts = maps.flatten(2) @ x.flatten(2).transpose(1, 2) / (x.shape[2] * x.shape[3])
        parts = report("pooled", parts).flatten(1)
        parts = parts.sign() * torch.sqrt(parts.abs() + 1e-12)
        return report("parts", 100.0 * functional.normalize(parts, dim=1))

    def _temporal(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """A 3x1x1 convolution over the frames; the file has its taps one behind the other."""
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        mid, channels = weight.shape[0], x.shape[1]
        weight = weight.reshape(mid, 3, channels, 1, 1).transpose(1, 2)
        clips = x.reshape(-1, self.arch.frames, *x.shape[1:]).transpose(1, 2)
        y = functional.conv3d(clips, weight, bias, padding=(1, 0, 0))
        return y.transpose(1, 2).reshape(len(x), mid, *x.shape[2:])

    def _fused(
        self, name: str, x: torch.Tensor, b: Block, layer: int, report: _Report
    ) -> torch.Tensor:
        if b.stride == 2:
            x = self._conv2(f"{name}.conv", x, layer)
        else:
            x = self._conv(f"{name}.conv", x, padding=b.kernel // 2)
        x = report(f"{name}.conv", self._activate(x))
        return x if b.expand == 1 else self._conv(f"{name}.project", x)

    def _conv(self, name: str, x: torch.Tensor, **options: int) -> torch.Tensor:
        t = self.tensors
        return functional.conv2d(x, t[f"{name}.weight"], t[f"{name}.bias"], **options)

    def _conv2(self, name: str, x: torch.Tensor, layer: int, groups: int = 1) -> torch.Tensor:
        """A stride-2 convolution: torch pads only evenly, so the padding is a step of its own."""
        top, bottom = self.padding.pair(layer, x.shape[2])
        left, right = self.padding.pair(layer, x.shape[3])
        x = functional.pad(x, (left, right, top, bottom))
        return self._conv(name, x, stride=2, groups=groups)

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        t = self.tensors
        return functional.linear(x, t[f"{name}.weight"], t[f"{name}.bias"])

    def _activate(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu6(x) if self.arch.activation == "relu6" else functional.silu(x)
