"""ef_combine() against reference_rules.py on score sets of other seeds, through ctypes.

    DFNET_LIBRARY=build/lib/libdfnet.so pytest tests/combine
    python3 tests/combine/test_reference.py build/lib/libdfnet.so     (without pytest)

The library is build/lib/libdfnet.so unless DFNET_LIBRARY names another; without one the test
is skipped, with that reason.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from reference_rules import PARAMETERS, Case, Rule, Score, combine, random_case

ROOT = Path(__file__).resolve().parents[2]
REALS = ctypes.POINTER(ctypes.c_double)


class CScore(ctypes.Structure):
    """ef_score."""

    _fields_ = [
        ("logit", ctypes.c_double),
        ("model", ctypes.c_uint32),
        ("face", ctypes.c_uint32),
        ("frame", ctypes.c_uint32),
    ]


class CRule(ctypes.Structure):
    """ef_rule; `run` stands before `share`."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        *((name, ctypes.c_int) for name in ("kind", "faces", "models")),
        *((name, ctypes.c_double) for name, *_ in PARAMETERS[:8]),
        ("run", ctypes.c_uint32),
        *((name, ctypes.c_double) for name, *_ in PARAMETERS[8:17]),
        ("model_count", ctypes.c_size_t),
        ("weights", REALS),
        ("temperatures", REALS),
        ("shrinks", ctypes.POINTER(ctypes.c_uint8)),
        *((name, ctypes.c_double) for name, *_ in PARAMETERS[17:]),
    ]


class CCombined(ctypes.Structure):
    """ef_combined."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("verdict", ctypes.c_int),
        ("flags", ctypes.c_uint32),
        ("fake", ctypes.c_double),
        ("logit", ctypes.c_double),
        *((name, ctypes.c_size_t) for name in ("scores", "models", "faces", "frames")),
    ]


def c_rule(library: ctypes.CDLL, rule: Rule) -> CRule:
    """The rule in C; the defaults are the library's where the rule's are the usual ones."""
    made = CRule()
    library.ef_rule_init(ctypes.byref(made), rule.kind, ctypes.c_size_t(ctypes.sizeof(made)))
    made.faces, made.models, made.run = rule.faces, rule.models, rule.run
    made.model_count = rule.model_count
    for name, value in rule.numbers.items():
        if abs(getattr(made, name) - float(value)) > 0:
            setattr(made, name, float(value))
    if rule.weights:
        made.weights = (ctypes.c_double * rule.model_count)(*map(float, rule.weights))
    if rule.temperatures:
        made.temperatures = (ctypes.c_double * rule.model_count)(*map(float, rule.temperatures))
    if rule.shrinks:
        made.shrinks = (ctypes.c_uint8 * rule.model_count)(*rule.shrinks)
    return made


def c_combine(library: ctypes.CDLL, rule: Rule, scores: list[Score]) -> CCombined:
    """ef_combine(); the scores stay as they are."""
    items = [(float(s.logit), s.model, s.face, s.frame) for s in scores]
    array = (CScore * max(1, len(items)))(*items)
    work = (CScore * max(1, len(items)))()
    out = CCombined()
    library.ef_combined_init(ctypes.byref(out), ctypes.c_size_t(ctypes.sizeof(out)))
    status = library.ef_combine(
        ctypes.byref(c_rule(library, rule)),
        array,
        ctypes.c_size_t(len(items)),
        work,
        ctypes.byref(out),
        None,
    )
    assert status == 0, status
    return out


def compare(library: ctypes.CDLL, case: Case) -> None:
    """One score set, both ways."""
    rule, scores = case.draw()
    got, expected = c_combine(library, rule, scores), combine(rule, scores)
    assert abs(got.fake - float(expected.fake)) <= 1e-14, case
    size = max(1.0, abs(float(expected.logit)))
    assert abs(got.logit - float(expected.logit)) <= 1e-12 * size, case
    for name in ("verdict", "flags", "models", "faces", "frames"):
        assert getattr(got, name) == getattr(expected, name), (name, case)
    assert got.scores == len(scores)


def run(path: str, seed: int, count: int) -> None:
    """`count` sets of the series `seed`."""
    library = ctypes.CDLL(path)
    for index in range(count):
        compare(library, random_case(index, seed))


def test_other_seeds() -> None:
    import pytest

    path = os.environ.get("DFNET_LIBRARY", str(ROOT / "build/lib/libdfnet.so"))
    if not Path(path).exists():
        pytest.skip(f"{path} is not built; set DFNET_LIBRARY")
    for seed in (2, 3):
        run(path, seed, 500)


if __name__ == "__main__":
    run(sys.argv[1], 4, 500)
