"""torchvision and timm beside a torch without CUDA; import both from here.

The torchvision wheel of the package index is built for CUDA, and a CPU torch cannot load its
operators. The models do not call any of them, but torchvision registers shape rules for them when
it is imported and checks that they were loaded. So the names are declared here, without code:
whoever calls one gets torch's own error. Called by parity.py and make_goldens.py.
"""

import contextlib

import torch

# Kept in a variable: torch forgets the declarations when the object is freed.
_DECLARATIONS = torch.library.Library("torchvision", "DEF")

for _schema in (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
):
    # A torchvision that fits this torch has declared them already.
    with contextlib.suppress(RuntimeError):
        _DECLARATIONS.define(_schema)

import timm  # noqa: E402
import torchvision  # noqa: E402

__all__ = ["timm", "torchvision"]
