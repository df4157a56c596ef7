"""ImageNet logits of four photos by PyTorch and Pillow alone, from an unfolded checkpoint.

Writes expected.json: `python torch_reference.py CHECKPOINT.pth PHOTO_FOLDER`. Shares nothing with
weights_tools: the network is written from the keys of the checkpoint (efficientnet_pytorch's
names) with torch.nn.functional. test_photos.py imports `logits` where torch is installed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image

PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")

# EfficientNet-Lite0 (Google, tpu/models/official/efficientnet/lite): blocks of a stage and the
# stride of the first; kernels are read from the weights.
STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))
EPSILON = 1e-3

State = dict[str, torch.Tensor]


def same(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """Pads [n, c, h, w] as TensorFlow's SAME does: the odd row and column behind."""
    pads: list[int] = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(x, pads)


def conv_bn(
    state: State, conv: str, bn: str, x: torch.Tensor, stride: int = 1, groups: int = 1
) -> torch.Tensor:
    """Convolution and batch normalisation with running statistics, not folded."""
    weight = state[f"{conv}.weight"]
    y = functional.conv2d(same(x, weight.shape[2], stride), weight, stride=stride, groups=groups)
    mean, var = state[f"{bn}.running_mean"], state[f"{bn}.running_var"]
    return functional.batch_norm(
        y, mean, var, state[f"{bn}.weight"], state[f"{bn}.bias"], eps=EPSILON
    )


def network(state: State, x: torch.Tensor) -> torch.Tensor:
    """Logits [n, 1000] of x [n, 3, 224, 224]."""
    x = functional.relu6(conv_bn(state, "_conv_stem", "_bn0", x, stride=2))
    i = 0
    for repeats, first_stride in STAGES:
        for repeat in range(repeats):
            p, y, stride = f"_blocks.{i}.", x, first_stride if repeat == 0 else 1
            if f"{p}_expand_conv.weight" in state:
                y = functional.relu6(conv_bn(state, f"{p}_expand_conv", f"{p}_bn0", y))
            groups = y.shape[1]
            y = conv_bn(state, f"{p}_depthwise_conv", f"{p}_bn1", y, stride, groups)
            y = conv_bn(state, f"{p}_project_conv", f"{p}_bn2", functional.relu6(y))
            x = x + y if repeat else y
            i += 1
    x = functional.relu6(conv_bn(state, "_conv_head", "_bn1", x)).mean(dim=(2, 3))
    return functional.linear(x, state["_fc.weight"], state["_fc.bias"])


def picture(path: Path) -> torch.Tensor:
    """[1, 3, 224, 224] float64 as this checkpoint was evaluated: mean and std of 0.5."""
    image = Image.open(path).convert("RGB")
    w, h = image.size
    short = min(w, h)
    image = image.resize((256 * w // short, 256 * h // short), Image.Resampling.BICUBIC)
    left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), dtype=np.float64)
    return torch.from_numpy((pixels / 255 - 0.5) / 0.5).permute(2, 0, 1)[None]


def logits(checkpoint: Path, photo: Path) -> np.ndarray:
    """Float64 logits [1000] of one photo."""
    loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
    state = {name: t.double() for name, t in loaded.items()}
    with torch.no_grad():
        return network(state, picture(photo))[0].numpy()


def top5(values: np.ndarray) -> dict[str, list[float] | list[int]]:
    """The five greatest logits: their indices and softmax probabilities."""
    p = np.exp(values - values.max())
    p /= p.sum()
    order = np.argsort(-values)[:5]
    return {"index": [int(i) for i in order], "value": [float(p[i]) for i in order]}


def main() -> None:
    """Writes expected.json beside this file."""
    checkpoint, folder = Path(sys.argv[1]), Path(sys.argv[2])
    expected = {name: top5(logits(checkpoint, folder / name)) for name in PHOTOS}
    target = Path(__file__).with_name("expected.json")
    target.write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
