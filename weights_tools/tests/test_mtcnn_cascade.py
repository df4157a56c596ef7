"""The committed faces of tests/detect are what the numpy cascade finds today."""

from __future__ import annotations

import mtcnn_cascade as mc
import numpy as np
import pytest


def test_goldens_are_current():
    tensors, pixels = mc.random_tensors(), mc.random_picture()
    assert mc.header_of(tensors) == (mc.DATA / "random_mtcnn.header").read_bytes()
    lines = (mc.DATA / "faces.txt").read_text().splitlines()
    for case in mc.CASES:
        name, *numbers, count = lines.pop(0).split()
        assert name == case.name
        assert list(map(float, numbers)) == [case.min_face, case.factor, *case.thresholds]
        faces = mc.detect(tensors, pixels, case)
        assert len(faces) == int(count)
        for face in faces:
            want = np.array(lines.pop(0).split(), dtype=float)
            assert np.allclose(face, want, rtol=1e-5, atol=1e-4)
    assert not lines


def test_a_case_on_a_threshold_is_refused():
    tensors, pixels = mc.random_tensors(), mc.random_picture()
    model = mc.CASES[0]
    score = float(mc.detect(tensors, pixels, model)[:, 4].max())
    case = mc.Case("edge", model.min_face, model.factor, (*model.thresholds[:2], score))
    with pytest.raises(ValueError, match="stands on a threshold"):
        mc.lines_of(case, tensors, pixels)


def test_areas_and_suppression_by_hand():
    pixels = np.zeros((3, 4, 3), np.uint8)
    pixels[..., 0] = np.arange(12).reshape(3, 4) * 10
    red = mc.area(pixels, 2, 3)[0, 0] * 128 + 127.5
    assert np.allclose(red, [[25, 35, 45], [65, 75, 85]])
    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 8], [0, 0, 4, 4], [20, 0, 29, 9]], np.float32)
    scores = np.array([0.9, 0.8, 0.9, 0.1])
    assert mc.suppress(boxes, scores, 0.5, False) == [0, 2, 3]
    assert mc.suppress(boxes, scores, 0.5, True) == [2, 3]
