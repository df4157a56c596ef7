"""Calibration: a known temperature comes back, the limits hold, the file keeps its weights."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_models as tiny
from evaluation import gaussian_scores

from weights_tools.errors import InputRefused
from weights_tools.evaluate import calibration
from weights_tools.evaluate.metrics import probabilities
from weights_tools.model_file import read_model


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_recovers_a_known_temperature(temperature):
    logits, fake = gaussian_scores(20000, 0.7, temperature=temperature)
    fitted = calibration.fit(logits, fake, 1.0)
    assert fitted.temperature == pytest.approx(temperature, rel=0.03)
    assert fitted.log_loss[1] <= fitted.log_loss[0] + 1e-9
    assert fitted.calibration_error[1] < 0.01


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("distance", [0.02, 0.5, 8.0])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_the_limits_hold_for_what_the_library_will_compute(seed, distance, share):
    logits, fake = gaussian_scores(151, distance, seed)
    fitted = calibration.fit(logits, fake, 1.0, share, share)
    low, high = np.float32(fitted.thresholds)
    p = probabilities(logits, fitted.temperature).astype(np.float32)
    assert 0 <= low <= high <= 1
    assert (p[~fake] >= high).mean() <= share
    assert (p[fake] < low).mean() <= share
    assert fitted.real_as_fake.value == pytest.approx((p[~fake] >= high).mean())
    assert fitted.fake_as_real.value == pytest.approx((p[fake] < low).mean())
    assert fitted.uncertain == pytest.approx(((p >= low) & (p < high)).mean())


def test_the_band_is_as_narrow_as_the_limits_allow():
    p = np.concatenate([np.linspace(0, 0.99, 100), np.linspace(0.01, 1, 100)])
    fake = np.repeat([False, True], 100)
    low, high = calibration.fit_thresholds(p, fake, 0.05, 0.1)
    # .95 to .99 are the five real ones that may be called fake.
    assert 0.94 < high < 0.94001 and 0.10999 < low < 0.11
    # With good separation there is no band.
    low, high = calibration.fit_thresholds(np.array([0.1, 0.2, 0.8, 0.9]), fake[98:102], 0, 0)
    assert low == high == pytest.approx(0.5, abs=1e-5)


def test_ties_are_not_split():
    # Ten real faces share the highest score; only five may be called fake, so none is.
    p = np.concatenate([np.full(90, 0.2), np.full(10, 0.9), np.full(100, 0.95)])
    fake = np.repeat([False, True], 100)
    low, high = calibration.fit_thresholds(p, fake, 0.05, 0.05)
    assert 0.9 < high < 0.95
    assert low == high


def test_what_cannot_be_calibrated():
    logits, fake = gaussian_scores(19, 0.5)
    with pytest.raises(InputRefused, match="19 real and 19 fake faces are too few"):
        calibration.fit(logits, fake, 1.0)
    # Faces that were not found do not count.
    logits, fake = gaussian_scores(30, 0.5)
    logits[:15] = np.nan
    with pytest.raises(InputRefused, match="15 real and 30 fake"):
        calibration.fit(logits, fake, 1.0)
    with pytest.raises(InputRefused, match="probability of 1"):
        calibration.fit_thresholds(np.ones(100), np.repeat([False, True], 50), 0.05, 0.05)


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_the_file_keeps_all_but_the_calibration(tmp_path, dtype):
    source = tiny.write(tmp_path / "m.safetensors", dtype)
    logits, fake = gaussian_scores(100, 0.5, temperature=2)
    fitted = calibration.fit(logits, fake, 1.5)
    digest = calibration.write(source, tmp_path / "c.safetensors", fitted, "clean")
    old_arch, old_tensors, old = read_model(source)
    arch, tensors, new = read_model(tmp_path / "c.safetensors")
    assert arch == old_arch and new.xxh3 == digest != old.xxh3
    assert all(np.array_equal(tensors[name], old_tensors[name]) for name in old_tensors)
    assert new.temperature == fitted.temperature and new.thresholds == fitted.thresholds
    assert new.extra.pop("x.calibration").startswith(
        "temperature and thresholds from 100 real and 100 fake faces (clean): 5.0% of the real"
    )
    for changed in ("temperature", "thresholds", "xxh3"):
        setattr(new, changed, getattr(old, changed))
    assert new == old
    assert (tmp_path / "c.safetensors").stat().st_size < source.stat().st_size + 1024
    calibration.write(source, source, fitted, "clean", "another name")  # onto itself, too
    assert read_model(source)[2].name == "another name"
