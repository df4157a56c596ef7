"""The same picture through the training code and through libdfnet. Called by `parity`.

Both start at the file: OpenCV decodes, crops and resizes for the training code, libdfnet does all
of that itself; the face box is the library's. The training side computes in float32 with the
weights as trained, the model file holds them in F16, so that the comparison covers everything
that happens to a model between training and use.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..engine import EngineError, Library, find_library
from ..model_file import read_model
from .augment import face_crop
from .loop import logits
from .measure import network_of
from .sets import read_picture

#: Largest difference of a probability that is allowed.
ALLOWED = 1e-3


def compare(weights: Path, name: str, model: Path, pictures: list[Path]) -> float:
    """Print the differences of both programs' probabilities; returns the largest.

    Temperature is left out: both probabilities are the sigmoid of the logit. Pictures without a
    face are counted and skipped. A model that looks twice (`dfnet.look`) is compared so.
    """
    place = find_library()
    if place is None:
        raise EngineError(-3, "libdfnet was not found; build it with ./dev build")
    library, network = Library(place), network_of(weights, name)
    twice = bool(read_model(model)[2].look)
    detector = library.load_detector()
    files = sorted(f for p in pictures for f in (p.iterdir() if p.is_dir() else [p]))
    differences, faceless = [], 0
    with library.load(model) as loaded, loaded.classifier(detector) as classifier:
        for file in files:
            theirs = classifier.score(library.decode(file.read_bytes()))
            if theirs is None:
                faceless += 1
                continue
            crop = face_crop(read_picture(file), np.array(theirs.box), 224)
            own = float(logits(network, crop[None], flip=True, twice=twice)[0])
            gap = abs(1 / (1 + np.exp(-own)) - 1 / (1 + np.exp(-theirs.logit)))
            differences.append((float(gap), file))
    if not differences:
        raise ValueError("no face was found in any of the pictures")
    worst, where = max(differences)
    mean = float(np.mean([d for d, _ in differences]))
    print(
        f"{len(differences)} pictures ({faceless} more without a face): probabilities differ by "
        f"{mean:.2e} on average and {worst:.2e} at most ({where.name}); allowed {ALLOWED:g}"
    )
    return worst
