"""What training's own crop and the reference arithmetic make of a photo is what libdfnet says.

From the file to the probability: decoding, crop, resize, mean, mirror image, network. With the
default model and the repository's photos, upright and stored on its side.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="OpenCV is not installed")

from weights_tools.engine import Library, find_library
from weights_tools.forward import forward, sigmoid
from weights_tools.model_file import read_model
from weights_tools.train import augment, sets

PHOTOS = Path(__file__).resolve().parent.parent.parent / "examples" / "photos"

FACES = [
    ("astronaut.png", (168.0, 61.0, 109.0, 109.0)),
    ("astronaut.png", (160.4, 45.7, 124.2, 138.9)),
    ("astronaut.png", (2.0, 3.0, 90.0, 120.0)),  # the square is moved from the edge
    ("astronaut.png", (20.0, 30.0, 480.0, 470.0)),  # larger than the picture
    ("astronaut_face.jpg", (29.0, 21.0, 124.0, 139.0)),
]


@pytest.fixture(scope="module")
def library():
    place = find_library()
    if place is None:
        pytest.skip("libdfnet is not built")
    return Library(place)


@pytest.mark.parametrize(("name", "box"), FACES)
def test_photo_to_probability(library, name, box):
    path = library.default_model_path()
    arch, tensors, metadata = read_model(path)
    assert metadata.mean == pytest.approx(augment.MEAN)
    assert metadata.std == pytest.approx(augment.STD)
    crop = augment.face_crop(sets.read_picture(PHOTOS / name), np.array(box), 224)
    x = ((crop / 255 - augment.MEAN) / augment.STD).transpose(2, 0, 1)
    both = np.stack([x, x[:, :, ::-1]])
    own = sigmoid(forward(arch, tensors, both, metadata.padding).mean() / metadata.temperature)
    with library.load(path) as model, model.classifier() as classifier:
        theirs = classifier.score(library.decode((PHOTOS / name).read_bytes()), box=box)
    assert theirs.fake == pytest.approx(float(own), abs=1e-4)
