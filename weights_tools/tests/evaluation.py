"""Synthetic pictures and scores for the tests of weights_tools.evaluate; imported by bare name."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def picture(seed: int = 0, height: int = 96, width: int = 80) -> np.ndarray:
    """uint8 RGB with smooth areas, edges and texture."""
    rng = np.random.RandomState(seed)
    soft = cv2.resize(rng.uniform(60, 200, (5, 4, 3)), (width, height))
    fine = cv2.GaussianBlur(rng.standard_normal((height, width, 3)), (0, 0), 0.8) * 30
    out = np.clip(soft + fine, 0, 255).astype(np.uint8)
    cv2.circle(out, (width // 2, height // 2), width // 4, (220, 170, 140), -1)
    cv2.rectangle(out, (width // 8, height // 8), (width // 4, height // 3), (20, 30, 90), -1)
    return out


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    assert done
    path.write_bytes(data.tobytes())
    return path


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = np.mean((a.astype(float) - b) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


def gaussian_scores(
    n: int, distance: float, seed: int = 1, temperature: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are calibrated at this temperature, and labels; n of each class.

    Two normal distributions with means -d, +d and variance 2 d have the log-odds x: multiplied
    by the temperature, dividing by it restores them.
    """
    rng = np.random.RandomState(seed)
    spread = np.sqrt(2 * distance)
    logits = np.concatenate([rng.normal(-distance, spread, n), rng.normal(distance, spread, n)])
    return logits * temperature, np.repeat([False, True], n)
