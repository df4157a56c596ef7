"""Folding against batch normalisation written out."""

from __future__ import annotations

import numpy as np

from weights_tools import fold


def norm(rng, channels, eps=1e-3):
    return fold.BatchNorm(
        rng.uniform(0.5, 2, channels),
        rng.standard_normal(channels),
        rng.standard_normal(channels),
        rng.uniform(0, 2, channels),
        eps,
    )


def applied(n, y):
    return (y - n.mean) / np.sqrt(n.var + n.eps) * n.gamma + n.beta


def test_convolution_then_norm():
    rng = np.random.default_rng(1)
    weight, n = rng.standard_normal((5, 3, 3, 3)), norm(rng, 5)
    patch = rng.standard_normal((3, 3, 3))
    folded, bias = fold.into_convolution(weight, n)
    want = applied(n, np.tensordot(weight, patch, 3))
    np.testing.assert_allclose(np.tensordot(folded, patch, 3) + bias, want, rtol=1e-12)


def test_norm_then_linear():
    rng = np.random.default_rng(2)
    weight, bias, n = rng.standard_normal((2, 7)), rng.standard_normal(2), norm(rng, 7, 1e-5)
    x = rng.standard_normal(7)
    folded, shift = fold.into_linear(weight, bias, n)
    np.testing.assert_allclose(folded @ x + shift, weight @ applied(n, x) + bias, rtol=1e-12)


def test_epsilon_matters_where_the_variance_is_small():
    n = fold.BatchNorm(np.ones(1), np.zeros(1), np.zeros(1), np.full(1, 1e-4), 1e-3)
    small, _ = fold.into_convolution(np.ones((1, 1, 1, 1)), n)
    m = fold.BatchNorm(np.ones(1), np.zeros(1), np.zeros(1), np.full(1, 1e-4), 1e-5)
    large, _ = fold.into_convolution(np.ones((1, 1, 1, 1)), m)
    assert large[0, 0, 0, 0] > 3 * small[0, 0, 0, 0]
