"""Folds batch normalisation into the layer beside it, in float64.

Called by `convert`. Arrays are float64; convolution weights [out, in / groups, k, k], linear
weights [out, in], vectors [channels]. In inference a batch normalisation computes
y = (x - mean) / sqrt(var + eps) * gamma + beta for each channel, which is a product and a sum
and so can be taken over by the convolution before it or the linear layer behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BatchNorm:
    """Parameters of one batch normalisation, each [channels]; `eps` > 0."""

    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    var: np.ndarray
    eps: float

    def scale_and_shift(self) -> tuple[np.ndarray, np.ndarray]:
        """(s, t), both [channels], with y = s * x + t. Needs var + eps > 0."""
        scale = self.gamma / np.sqrt(self.var + self.eps)
        return scale, self.beta - self.mean * scale


def into_convolution(weight: np.ndarray, norm: BatchNorm) -> tuple[np.ndarray, np.ndarray]:
    """(weight, bias) of a convolution without bias that is followed by `norm`."""
    scale, shift = norm.scale_and_shift()
    return weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), shift


def into_linear(
    weight: np.ndarray, bias: np.ndarray, norm: BatchNorm
) -> tuple[np.ndarray, np.ndarray]:
    """(weight, bias) of a linear layer whose input went through `norm`."""
    scale, shift = norm.scale_and_shift()
    return weight * scale[None, :], bias + weight @ shift
