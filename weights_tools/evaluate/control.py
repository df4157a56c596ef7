"""The control: how far one gets without looking at a face at all.

Called by commands.py. If a thumbnail of 8 x 8 pixels, the sharpness or the size of the file
already tells real from fake, then the two classes of the set went through different hands, and a
model's AUC on it is no proof of skill. Each row is the AUC of a logistic regression over a few
such features, cross-validated: a picture is scored by a regression that saw neither it nor a
picture of the same key. Where there is nothing to learn, cross-validation errs to below .5: what
the other folds have too much of, the one left out has too little of.
"""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from ..engine import Detector, EngineError, Library
from ..model_file import Metadata
from .alterations import encode
from .metrics import Bootstrap, Estimate, auc, estimate
from .pictures import Picture, Preparation
from .scoring import cut_face

_FOLDS = 5
_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)  # inverse regularisation, chosen inside each fold


#: How a face is cut out here, whatever the model's own rule: a square, 1.3 times the box.
_FACE = Metadata(face_shape="square", face_margin=(0.15, 0.15, 0.15, 0.15))


@dataclass
class Features:
    """Of the pictures that could be read: name of a group of features -> float64 [n, features]."""

    pictures: list[Picture]
    groups: dict[str, np.ndarray]


@dataclass(frozen=True)
class Row:
    """What one group of features reaches."""

    features: str
    auc: Estimate


def features(
    pictures: list[Picture],
    library: Library,
    preparation: Preparation,
    detector: Detector | None = None,
) -> Features:
    """Measures every picture as the model gets it, and its file as it lies on the disk.

    With a detector also the face alone, which is what the model looks at; the whole picture
    stands in for a face that is not found.
    """
    kept, rows = [], []
    for picture in pictures:
        try:
            with open(picture.path, "rb") as file:
                decoded = library.decode(file.read())
        except (EngineError, OSError):
            continue  # the evaluation tells
        kept.append(picture)
        rows.append(_measure(decoded, os.path.getsize(picture.path), preparation, detector))
    names = list(rows[0]) if rows else []
    return Features(kept, {name: np.array([row[name] for row in rows]) for name in names})


def _measure(
    decoded: np.ndarray, size: int, preparation: Preparation, detector: Detector | None
) -> dict[str, list[float]]:
    begun = preparation.begin(decoded)
    pixels = preparation.end(begun)
    height, width = decoded.shape[:2]
    found = {"8x8 thumbnail": thumbnail(pixels), "sharpness": sharpness(pixels)}
    if detector:
        box = detector.largest(pixels)
        face = pixels if box is None else cut_face(pixels, box, _FACE)
        found |= {"8x8 thumbnail, face": thumbnail(face), "sharpness, face": sharpness(face)}
    found["file: pixels"] = [math.log(height), math.log(width)]
    found["file: bytes"] = [math.log(size), math.log(size / (height * width))]
    if preparation.quality:
        found["bytes after encoding"] = [math.log(len(encode(begun, preparation.quality)))]
    return found


def thumbnail(pixels: np.ndarray) -> list[float]:
    """192 values in [0, 1]."""
    small = cv2.resize(pixels, (8, 8), interpolation=cv2.INTER_AREA)
    return (small.reshape(-1) / 255.0).tolist()


def sharpness(pixels: np.ndarray) -> list[float]:
    """Logarithms of the Laplacian's variance, at full size and at a half."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = [max(1, side // 2) for side in grey.shape[::-1]]
    half = cv2.resize(grey, small, interpolation=cv2.INTER_AREA)
    return [math.log(1e-3 + cv2.Laplacian(g, cv2.CV_32F).var()) for g in (grey, half)]


def rows(measured: Features, rounds: int = 1000, seed: int = 1) -> list[Row]:
    """One row for each group, one for all that a model gets to see.

    None if there are too few pictures to divide. What the preparation takes away (the file's own
    size) is told, but not counted into the last row.
    """
    fake = np.array([picture.fake for picture in measured.pictures], bool)
    keys = np.array([picture.key for picture in measured.pictures])
    # The inner division needs two keys of each class in what the outer one leaves it.
    least = min(len(np.unique(keys[fake == c])) for c in (False, True)) if len(keys) else 0
    folds = min(_FOLDS, least)
    if folds < 4:
        return []
    bootstrap = Bootstrap(fake, rounds, seed)
    seen = [values for name, values in measured.groups.items() if not name.startswith("file:")]
    together = {**measured.groups, "all but the file's": np.hstack(seen)}
    result = []
    for name, values in together.items():
        scores = out_of_fold(values, fake, keys, folds, seed)
        result.append(Row(name, estimate(auc(scores, fake), bootstrap.auc(scores))))
    return result


def out_of_fold(
    values: np.ndarray, fake: np.ndarray, keys: np.ndarray, folds: int = _FOLDS, seed: int = 1
) -> np.ndarray:
    """Each picture's score by a regression fitted to the other folds."""
    regression = LogisticRegressionCV(
        Cs=_STRENGTHS,
        cv=3,
        l1_ratios=(0.0,),
        scoring="roc_auc",
        class_weight="balanced",
        max_iter=300,
        use_legacy_attributes=False,
    )
    outer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    # The matrices are small: threads would wait for one another longer than they compute.
    with threadpool_limits(1), warnings.catch_warnings():
        # A weakly regularised candidate may stop early; the search then judges what it reached.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return cross_val_predict(
            make_pipeline(StandardScaler(), regression),
            values,
            fake,
            groups=keys,
            cv=outer,
            method="decision_function",
        )
