"""Both readers of the format, read_model() and libdfnet's, judge the same files alike.

Three sources: what the writer writes, what libdfnet's own test of malformed files refuses, and
random edits of a sound header. Skipped where libdfnet (or its test program) was not found.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny

from weights_tools.arch import VARIANTS, ArchitectureError, variant
from weights_tools.engine import EngineError, Library, find_library
from weights_tools.model_file import ModelFileError, read_model, write_model

LIBRARY = find_library()
pytestmark = pytest.mark.skipif(LIBRARY is None, reason="libdfnet was not found (DFNET_LIBRARY)")

FORMAT, VERSION, UNSUPPORTED, LIMIT = -4, -5, -6, -7

#: Files that only libdfnet refuses: it holds these values in float32, and it plans the network.
STRICTER_IN_C = ("range of float32", "leaves nothing of the", "greater than 0")


@pytest.fixture(scope="module")
def library():
    return Library(LIBRARY)


def c_status(library: Library, path: Path) -> tuple[int, str]:
    """Status and message of libdfnet; 0 and nothing for a file that loads."""
    try:
        library.load(path).close()
    except EngineError as error:
        return error.status, str(error)
    return 0, ""


def python_message(path: Path) -> str:
    """What read_model() says; nothing for a file that loads."""
    try:
        read_model(path)
    except (ModelFileError, ArchitectureError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_written_files_load(tmp_path, library, dtype):
    path = tiny.write(tmp_path / "m", dtype)
    assert c_status(library, path) == (0, "")


@pytest.mark.parametrize("name", ["b0", "lite0", "v2-b0"])
def test_variants_load(tmp_path, library, name):
    arch = variant(name, outputs=3)
    tensors = {n: np.zeros(shape, np.float32) for n, shape in arch.tensors().items()}
    write_model(tmp_path / "m", arch, tensors, tiny.metadata(variant=name), "f16")
    assert c_status(library, tmp_path / "m") == (0, "")


def test_every_variant_name_is_known(tmp_path, library):
    """The header alone: libdfnet must get as far as the missing tensors."""
    text, data = tiny.split(tiny.write(tmp_path / "m"))
    for name in VARIANTS:
        edited = text.replace('"dfnet.variant":"custom"', f'"dfnet.variant":"{name}"')
        path = tiny.join(tmp_path / "m", edited, data)
        assert c_status(library, path) == (0, ""), name


def test_metadata_with_other_characters(tmp_path, library):
    path = tiny.write(tmp_path / "m", name='\u00e9 \U0001f600 "\\\x01\x7f', license="a\nb\tc")
    assert c_status(library, path) == (0, "")


def test_what_the_library_refuses(tmp_path, library):
    program = Path(LIBRARY).resolve().parent.parent / "tests" / "model" / "test_malformed"
    if not program.exists():
        pytest.skip("the C tests are not built beside the library")
    folder = tmp_path / "malformed"
    folder.mkdir()
    environment = os.environ | {"DFNET_WRITE_MALFORMED": str(folder), "CK_FORK": "no"}
    subprocess.run([program], env=environment, check=True, capture_output=True, timeout=120)
    files = sorted(folder.iterdir())
    assert len(files) > 150
    for path in files:
        status = -int(path.name.split("_")[0])
        found, message = c_status(library, path)
        if status == LIMIT:
            continue
        assert found == status, path.name
        if status != UNSUPPORTED and not any(s in message for s in STRICTER_IN_C):
            assert python_message(path), f"{path.name}: read_model() takes it; C says: {message}"


NUMBERS = (0, 1, 2, 3, 5, 8, 32, 255, 256, 65536, 2**32, 2**64, "01", -1, 1.5, 1e5, "1e-400")
VALUES = ("same", "sym", "fixed:", "squash", "longer", "shorter:", "none", "sigmoid", "relu6")
ESCAPES = ("\\", "\\n", "\\u0041", "\\ud800", "\\ud83d\\ude00", "\u00e9", "\x7f", "\n", "\t")
PIECES = ("F16", "F32", "fused", "mb", "pillow-box", "opencv-area", "x.", "dfnet.", "stem", " ")
WORDS = [str(w) for w in (*NUMBERS, *VALUES, *ESCAPES, *PIECES, *',;:{}[]"x')]


def edit(text: str, rng: random.Random) -> str:
    """One or two small edits of numbers, words or anything."""
    for _ in range(rng.randint(1, 2)):
        pattern = rng.choice([r"[0-9]+|[a-z]+|.", r"[0-9]+", r"[a-z]+", r"[0-9]"])
        spots = [m.span() for m in re.finditer(pattern, text, re.DOTALL)]
        begin, end = rng.choice(spots)
        kind = rng.randrange(4)
        if kind == 0:
            text = text[:begin] + rng.choice(WORDS) + text[end:]
        elif kind == 1:
            text = text[:begin] + rng.choice(WORDS) + text[begin:]
        elif kind == 2:
            text = text[:begin] + text[end:]
        else:
            other = rng.choice(spots)
            text = text[:begin] + text[other[0] : other[1]] + text[end:]
    return text


def test_random_edits_are_judged_alike(tmp_path, library):
    rng = random.Random(20201)
    arch = tiny.architecture("mb,3,2,1,8,1,4", outputs=2)
    labels = ["real", "fake"]
    write_model(tmp_path / "m", arch, tiny.weights(arch), tiny.metadata(labels=labels))
    text, data = tiny.split(tmp_path / "m")
    end = text.index('"stem.weight"')
    taken = 0
    for number in range(1000):
        # Metadata is the smaller and richer half.
        head, tail = (text[:end], text[end:]) if number % 4 else (text, "")
        edited = edit(head, rng) + tail
        path = tiny.join(tmp_path / "m", edited, data)
        status, message = c_status(library, path)
        other = python_message(path)
        taken += not status
        if status == UNSUPPORTED or any(s in message for s in STRICTER_IN_C):
            continue
        assert (status == 0) == (other == ""), f"edit {number}: C: {message}; Python: {other}"
        if status == VERSION:
            assert "version" in other
    assert 50 < taken < 1400
