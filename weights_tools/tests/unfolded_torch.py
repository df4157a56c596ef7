"""The networks of containers.py in torch, as their papers and projects describe them.

Batch normalisation is not folded, weights keep the names of their checkpoint, nothing is shared
with weights_tools but the block list. Imported under its bare name by test_containers.py and
tests/parity/systems_parity.py; needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import containers
import numpy as np
import torch
import torch.nn.functional as f

NATIVE = {"b0": 224, "b1": 240, "b3": 300, "b4": 380, "b7": 600}
FRAMES = 7
#: Gamma at the end of a residual branch when calibrating; random deep networks are chaotic.
RESIDUAL_SHARE = 0.25
LEAST_VARIANCE = 0.1


@dataclass
class Looked:
    """What one pass gives: logits [n, outputs]; of WS-DAN also maps [n, M, h, w]."""

    logits: torch.Tensor
    maps: torch.Tensor | None = None


class Network:
    """One checkpoint in one precision."""

    def __init__(
        self, kind: containers.Kind, state: Mapping[str, np.ndarray], dtype: torch.dtype
    ) -> None:
        self.kind = kind
        self.dtype = dtype
        self.timm = f"{kind.prefix}conv_stem.weight" in state
        self.t = {
            name: torch.tensor(np.asarray(array, dtype=np.float64)).to(dtype)
            for name, array in state.items()
            if not name.endswith("num_batches_tracked")
        }
        self.blocks = kind.architecture().blocks()
        self.learning = False  # batch statistics become the running ones
        self.stride2 = 0

    def __call__(self, x: torch.Tensor) -> Looked:
        with torch.no_grad():
            return self._head(self._features(x.to(self.dtype)))

    def calibrate(self, x: torch.Tensor) -> dict[str, np.ndarray]:
        """Running statistics of this batch; returns the changed tensors (float32)."""
        for b in self.blocks:
            last = self._norm(b, "project")
            self.t[f"{last}.weight"] *= RESIDUAL_SHARE
            self.t[f"{last}.bias"] *= RESIDUAL_SHARE
        self.learning = True
        self(x)
        self.learning = False
        return {name: tensor.numpy().astype(np.float32) for name, tensor in self.t.items()}

    def _features(self, x: torch.Tensor) -> torch.Tensor:
        at, p = self.kind.prefix, "" if self.timm else "_"
        self.stride2 = 0
        stem = "bn1" if self.timm else "_bn0"
        x = f.silu(self._bn(f"{at}{stem}", self._down(x, f"{at}{p}conv_stem.weight", 3, 1)))
        for b in self.blocks:
            x = self._block(b, x)
            if self.kind.gate and b.index == 9:
                weight, bias = self.t[f"{at}attconv.weight"], self.t[f"{at}attconv.bias"]
                x = x * torch.sigmoid(f.conv2d(x, weight, bias))
        x = f.conv2d(x, self.t[f"{at}{p}conv_head.weight"])
        return f.silu(self._bn(f"{at}bn2" if self.timm else f"{at}_bn1", x))

    def _head(self, x: torch.Tensor) -> Looked:
        head = self.kind.head
        weight, bias = self.t[f"{head}.weight"], self.t.get(f"{head}.bias")
        if self.kind.maps:
            maps = f.conv2d(x, self.t["attentions.conv.weight"])
            maps = f.relu(self._bn("attentions.bn", maps))
            n, _, h, w = maps.shape
            parts = torch.einsum("nmhw,nchw->nmc", maps, x) / (h * w)
            parts = torch.sign(parts) * torch.sqrt(torch.abs(parts) + 1e-12)
            parts = f.normalize(parts.reshape(n, -1), dim=-1)
            return Looked(f.linear(parts * 100.0, weight, bias), maps)
        x = x.mean((2, 3))
        if self.kind.normed:
            x = self._bn("classifier.0", x, 1e-5)
        return Looked(f.linear(x, weight, bias))

    def _names(self, b: object) -> tuple[str, dict[str, str]]:
        """(prefix of a block, its convolutions' names)."""
        if not self.timm:
            expand = "_expand_conv.conv" if self.kind.temporal else "_expand_conv"
            return f"{self.kind.prefix}_blocks.{b.index}.", {
                "expand": expand,
                "depthwise": "_depthwise_conv",
                "reduce": "_se_reduce",
                "widen": "_se_expand",
                "project": "_project_conv",
            }
        return f"{self.kind.prefix}blocks.{b.stage}.{b.position}.", {
            "expand": "conv_pw",
            "depthwise": "conv_dw",
            "reduce": "se.conv_reduce",
            "widen": "se.conv_expand",
            "project": "conv_pw" if b.expand == 1 else "conv_pwl",
        }

    def _norm(self, b: object, which: str) -> str:
        at, _ = self._names(b)
        number = ("expand", "depthwise", "project").index(which)
        if self.timm:
            return f"{at}bn{number + (0 if b.expand == 1 else 1)}"
        return f"{at}_bn{number}"

    def _block(self, b: object, x: torch.Tensor) -> torch.Tensor:
        at, names = self._names(b)
        y = x
        if b.expand != 1:
            weight = self.t[f"{at}{names['expand']}.weight"]
            y = self._temporal(x, weight) if self.kind.temporal else f.conv2d(x, weight)
            y = f.silu(self._bn(self._norm(b, "expand"), y))
        weight = f"{at}{names['depthwise']}.weight"
        if b.stride == 2:
            y = self._down(y, weight, b.kernel, b.mid)
        else:
            y = f.conv2d(y, self.t[weight], padding=b.kernel // 2, groups=b.mid)
        y = f.silu(self._bn(self._norm(b, "depthwise"), y))
        s = y.mean((2, 3), keepdim=True)
        for part, after in (("reduce", f.silu), ("widen", torch.sigmoid)):
            name = f"{at}{names[part]}"
            s = after(f.conv2d(s, self.t[f"{name}.weight"], self.t[f"{name}.bias"]))
        y = f.conv2d(y * s, self.t[f"{at}{names['project']}.weight"])
        y = self._bn(self._norm(b, "project"), y)
        return y + x if b.stride == 1 and b.cin == b.cout else y

    def _temporal(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        clip = x.reshape(n // FRAMES, FRAMES, c, h, w).permute(0, 2, 1, 3, 4)
        y = f.conv3d(clip, weight, padding=(1, 0, 0))
        return y.permute(0, 2, 1, 3, 4).reshape(n, -1, h, w)

    def _down(self, x: torch.Tensor, weight: str, kernel: int, groups: int) -> torch.Tensor:
        """Stride 2 with the library version's padding."""
        pads = []
        for size in (x.shape[3], x.shape[2]):
            n = NATIVE[self.kind.variant] if self.kind.static else size
            total = max((-(-n // 2) - 1) * 2 + kernel - n, 0)
            pads += [total // 2, total - total // 2]
        return f.conv2d(f.pad(x, pads), self.t[weight], stride=2, groups=groups)

    def _bn(self, name: str, x: torch.Tensor, eps: float = 1e-3) -> torch.Tensor:
        t = self.t
        mean, var = t[f"{name}.running_mean"], t[f"{name}.running_var"]
        if self.learning:
            dims = [d for d in range(x.dim()) if d != 1]
            mean.copy_(x.mean(dims))
            spread = x.var(dims, unbiased=False)
            # A channel that hardly varies in this batch would be blown up in the next one.
            least = LEAST_VARIANCE * spread.mean()
            var.copy_(spread.clamp(min=float(least)) + LEAST_VARIANCE * mean**2)
        return f.batch_norm(x, mean, var, t[f"{name}.weight"], t[f"{name}.bias"], False, 0.0, eps)


# ---- WS-DAN's second look ----


def attention_box(maps: torch.Tensor, height: int, width: int) -> list[tuple[int, int, int, int]]:
    """(top, left, bottom, right) of each picture, ends not included; maps [n, M, h, w]."""
    boxes = []
    for mean in maps.mean(1, keepdim=True):
        limit = 0.1 * mean.max()
        large = f.interpolate(mean[None], size=(height, width), mode="bilinear", align_corners=True)
        places = torch.nonzero(large[0, 0] >= limit)
        rows, columns = places[:, 0], places[:, 1]
        boxes.append(
            (
                max(int(rows.min().item() - 0.05 * height), 0),
                max(int(columns.min().item() - 0.05 * width), 0),
                min(int(rows.max().item() + 0.05 * height), height),
                min(int(columns.max().item() + 0.05 * width), width),
            )
        )
    return boxes


def crop(x: torch.Tensor, box: tuple[int, int, int, int]) -> torch.Tensor:
    """The box of one picture [3, h, w] in the picture's own size."""
    top, left, bottom, right = box
    part = x[None, :, top:bottom, left:right]
    return f.interpolate(part, size=x.shape[1:], mode="bilinear", align_corners=True)[0]


def combine(raw: torch.Tensor, second: torch.Tensor, how: str) -> torch.Tensor:
    """Logits [n, outputs] of both looks to one; of probabilities by a softmax."""
    if how == "logits":
        return (raw + second) / 2
    return torch.log(0.5 * torch.softmax(raw, 1) + 0.5 * torch.softmax(second, 1))
