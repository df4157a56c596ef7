"""Model files: what is written reads back, and what FORMAT.md refuses is refused."""

import itertools
import json
import os
import random
import re
import resource
import signal
import struct
import time
from dataclasses import replace

import numpy as np
import pytest
import tiny_models as tiny

from weights_tools import model_file
from weights_tools.arch import variant
from weights_tools.forward import forward
from weights_tools.model_file import Metadata, ModelFileError, read_model, write_model
from weights_tools.reference import as_stored, reference_input


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("models") / "sound.safetensors")


@pytest.fixture
def parts(sound):
    return tiny.split(sound)


def refused(path, match):
    with pytest.raises(ModelFileError) as caught:
        read_model(path)
    # Without the path, which holds the name of the test.
    place, _, reason = str(caught.value).partition(": ")
    assert place == str(path)
    assert re.search(match, reason), reason


# ---- round trip ----


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_round_trip(tmp_path, dtype):
    arch, meta = tiny.architecture(), tiny.metadata()
    tensors = tiny.weights(arch)
    write_model(tmp_path / "m", arch, tensors, meta, dtype)
    got_arch, got, got_meta = read_model(tmp_path / "m")
    assert got_arch == arch
    assert got_meta == meta
    assert list(got) == list(arch.tensors())
    for name, array in got.items():
        half = dtype == "f16" and name.endswith(".weight")
        expected = tensors[name].astype(np.float16) if half else tensors[name]
        assert array.dtype == np.float32
        assert np.array_equal(array, expected.astype(np.float32)), name


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_reference_logits_are_those_of_the_stored_weights(tmp_path, dtype):
    path = tiny.write(tmp_path / "m", dtype)
    arch, tensors, meta = read_model(path)
    logits = forward(arch, tensors, reference_input(*meta.reference), meta.padding)[0]
    assert as_stored(logits) == meta.reference_logits
    assert np.abs(logits - meta.reference_logits).max() <= 0.5e-7 * max(1, np.abs(logits).max())
    assert np.abs(logits).max() > 0.01


def test_other_order_of_sums_gives_the_same_stored_logits():
    """Processors differ in the last digits, and the file must not."""
    logits = np.random.default_rng(3).normal(0, 2, 200)
    kept = as_stored(logits)
    assert as_stored(logits * (1 + 4e-16)) == kept == as_stored(logits * (1 - 4e-16))
    assert as_stored(kept) == kept
    assert as_stored([0.123456789, -1e-9]) == [0.1234568, 0.0]
    assert as_stored([-12345.678901234, 0.5]) == [-12345.679, 0.5]
    assert str(as_stored([-1e-9])[0]) == "0.0"
    with pytest.raises(OverflowError):
        as_stored([np.inf])


def test_float64_is_accepted_and_rounded_once(tmp_path):
    arch = tiny.architecture()
    wide = {k: v.astype(np.float64) * (1 + 2e-8) for k, v in tiny.weights(arch).items()}
    write_model(tmp_path / "m", arch, wide, tiny.metadata())
    _, got, _ = read_model(tmp_path / "m")
    assert all(np.array_equal(got[k], wide[k].astype(np.float32)) for k in wide)


def test_same_input_same_bytes(tmp_path):
    first = tiny.write(tmp_path / "a").read_bytes()
    assert tiny.write(tmp_path / "b").read_bytes() == first
    shuffled = dict(reversed(tiny.weights(tiny.architecture()).items()))
    write_model(tmp_path / "c", tiny.architecture(), shuffled, tiny.metadata())
    assert (tmp_path / "c").read_bytes() == first


def test_safetensors_reads_it(tmp_path):
    numpy_reader = pytest.importorskip("safetensors.numpy")
    arch = tiny.architecture()
    loaded = numpy_reader.load_file(tiny.write(tmp_path / "m", "f16"))
    assert {k: v.shape for k, v in loaded.items()} == arch.tensors()
    assert loaded["stem.weight"].dtype == np.float16
    assert np.array_equal(loaded["stem.bias"], tiny.weights(arch)["stem.bias"])


def test_header_as_the_format_says(sound, parts):
    text, data = parts
    raw = sound.read_bytes()
    assert (8 + struct.unpack("<Q", raw[:8])[0]) % 64 == 0
    parsed = json.loads(text)
    assert next(iter(parsed)) == "__metadata__"
    keys = list(parsed["__metadata__"])
    assert keys[:4] == ["dfnet.version", "dfnet.xxh3", "dfnet.role", "dfnet.name"]
    assert keys[-3:] == ["dfnet.reference.logits", "x.a", "x.note"]
    assert parsed["__metadata__"]["dfnet.reference"] == "20201,72,55"
    assert parsed["__metadata__"]["dfnet.face.margin"] == "0.1,-0.05,0.3,1e-05"
    assert list(parsed)[1:] == list(tiny.architecture().tensors())
    assert sum(np.prod(t["shape"]) * 4 for n, t in parsed.items() if n[0] != "_") == len(data)
    assert "\\u0009 label\u00e9" in text
    outside_strings = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    assert not re.search(r"\s", outside_strings)


def test_f32_tensors_come_first_in_an_f16_file(tmp_path):
    entries = list(tiny.header(tiny.write(tmp_path / "m", "f16")).values())[1:]
    dtypes = [entry["dtype"] for entry in entries]
    assert dtypes == sorted(dtypes, reverse=True)
    assert set(dtypes) == {"F32", "F16"}


def test_defaults_are_a_sound_model(tmp_path):
    arch = variant("lite0", outputs=2)
    write_model(tmp_path / "m", arch, tiny.weights(arch), Metadata(name="n"))
    got_arch, _, meta = read_model(tmp_path / "m")
    assert got_arch == arch
    assert (meta.variant, meta.fake, meta.labels, meta.flip) == ("lite0", None, [], False)


# ---- writing is atomic ----


def test_old_file_survives_a_failed_write(tmp_path, monkeypatch):
    path = tiny.write(tmp_path / "m")
    before = path.read_bytes()

    def fail(_handle):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        tiny.write(path, name="other")
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m"]


def test_a_disk_that_is_full_at_any_byte_leaves_the_old_file(tmp_path):
    path = tiny.write(tmp_path / "m")
    before = path.read_bytes()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in [*range(0, len(before), 4001), len(before) - 1]:
        # Writing beyond the limit fails as on a full disk; Python ignores the signal.
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, old[1]))
        try:
            with pytest.raises(OSError):
                tiny.write(path, name="nano2")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["m"]


def test_a_writer_that_is_killed_leaves_one_whole_file(tmp_path):
    path = tmp_path / "m"
    texts = [b'"dfnet.xxh3":"' + b"0" * 32 + fill * 300_000 for fill in (b"a", b"b")]
    whole = []
    for text in texts:
        model_file._write_file(str(path), text, {})
        whole.append(path.read_bytes())
    rng = random.Random(8)
    for _ in range(40):
        child = os.fork()
        if child == 0:
            for n in itertools.count():  # until it is killed; only plain writes after fork()
                model_file._write_file(str(path), texts[n % 2], {})
        time.sleep(rng.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert path.read_bytes() in whole
    assert list(tmp_path.glob("m.*.tmp"))  # some were killed in the middle


def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        path = tiny.write(tmp_path / "m")
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o640


# ---- the writer refuses ----


CROP = {
    "face_shape": "box",
    "face_unit": "height",
    "face_rounding": "whole",
    "face_least": 224,
    "face_align": "320x300,truncate,122.5,141.25,197.5,141.25,160.0,178.75,137.5,225.0,182.5,225.0",
    "resize": "shorter:20",
    "resize_border": "reflect",
    "resize_rounding": "albumentations",
    "resize_canvas": "zero",
}


def test_optional_crop_keys_survive_and_defaults_are_not_written(tmp_path):
    _, _, meta = read_model(tiny.write(tmp_path / "m", **CROP))
    for name, value in CROP.items():
        assert getattr(meta, name) == value
    keys = list(tiny.header(tmp_path / "m")["__metadata__"])
    first = keys.index("dfnet.face.pad") + 1
    assert keys[first : first + 8] == [
        "dfnet.face.unit",
        "dfnet.face.rounding",
        "dfnet.face.least",
        "dfnet.face.align",
        "dfnet.resize.border",
        "dfnet.resize.rounding",
        "dfnet.resize.canvas",
        "dfnet.temperature",
    ]
    usual = tiny.header(tiny.write(tmp_path / "usual"))["__metadata__"]
    assert not [key for key in keys[first : first + 7] if key in usual]


def test_optional_network_keys_survive(tmp_path):
    arch = replace(tiny.architecture(), attention=3, gate=2)
    meta = tiny.metadata(look="probabilities,0.25,0.0")
    write_model(tmp_path / "m", arch, tiny.weights(arch), meta)
    found, tensors, read = read_model(tmp_path / "m")
    assert (found, read.look) == (arch, meta.look)
    assert list(tensors)[-6:] == [
        f"{layer}.{part}"
        for layer in ("gate", "attention", "classifier")
        for part in ("weight", "bias")
    ]
    keys = tiny.header(tmp_path / "m")["__metadata__"]
    assert (keys["dfnet.attention"], keys["dfnet.gate"]) == ("3", "2")
    assert "dfnet.frames" not in keys
    usual = tiny.header(tiny.write(tmp_path / "usual"))["__metadata__"]
    assert not usual.keys() & {f"dfnet.{k}" for k in ("attention", "gate", "frames", "look")}


def test_a_sequence_has_reference_logits_for_each_frame(tmp_path):
    arch = replace(tiny.architecture(), frames=3)
    write_model(tmp_path / "m", arch, tiny.weights(arch), tiny.metadata())
    found, _, meta = read_model(tmp_path / "m")
    assert found.frames == 3
    assert len(meta.reference_logits) == 9
    assert len(set(meta.reference_logits)) == 9


@pytest.mark.parametrize(
    ("look", "match"),
    [
        ("logits,0.1", "3 values"),
        ("mean,0.1,0.05", "one of logits, probabilities"),
        ("logits,1.5,0.05", "0 to 1"),
        ("logits,0.1,-0.05", "0 to 1"),
        ("logits,0.1,nan", "finite"),
    ],
)
def test_looks_refused(tmp_path, look, match):
    arch = replace(tiny.architecture(), attention=3)
    with pytest.raises(ModelFileError, match=match):
        write_model(tmp_path / "m", arch, tiny.weights(arch), tiny.metadata(look=look))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"name": ""}, "dfnet.name"),
        ({"name": "n" * 128}, "dfnet.name"),
        ({"name": "a\0b"}, "U\\+0000"),
        ({"name": "\ud800"}, "Unicode"),
        ({"variant": "b0"}, "dfnet.variant"),
        ({"role": "other"}, "dfnet.role"),
        ({"padding": "fixed:0,1"}, "padding"),
        ({"input": (31, 40)}, "dfnet.input"),
        ({"input": (48, 4097)}, "dfnet.input"),
        ({"resize": "shorter:40"}, "dfnet.resize"),
        ({"resize": "crop"}, "dfnet.resize"),
        ({"filter": "lanczos"}, "dfnet.filter"),
        ({"filter": "pillow-box,pillow-box,pillow-box"}, "dfnet.filter"),
        ({"mean": (0.0, float("nan"), 0.0)}, "dfnet.mean"),
        ({"std": (1.0, 0.0, 1.0)}, "dfnet.std"),
        ({"labels": ["one", "two"]}, "dfnet.labels"),
        ({"labels": ["one", "two", "th\nree"]}, "line break"),
        ({"labels": ["one", "two", "x" * 256]}, "dfnet.labels"),
        ({"output": "none"}, "dfnet.output"),
        ({"fake": 3}, "dfnet.fake"),
        ({"fake": -1}, "dfnet.fake"),
        ({"face_margin": (0.0, 0.0, float("inf"), 0.0)}, "dfnet.face.margin"),
        ({"face_shape": "round"}, "dfnet.face.shape"),
        ({"face_outside": "wrap"}, "dfnet.face.outside"),
        ({"face_pad": (0, 256, 0)}, "dfnet.face.pad"),
        ({"face_unit": "width"}, "dfnet.face.unit"),
        ({"face_unit": "height"}, "dfnet.face.unit"),
        ({"face_rounding": "up"}, "dfnet.face.rounding"),
        ({"face_rounding": "whole"}, "dfnet.face.rounding"),
        ({"face_rounding": "even", "face_shape": "box"}, "dfnet.face.rounding"),
        ({"face_least": 4097}, "dfnet.face.least"),
        ({"face_align": "320,real" + ",1" * 10}, "dfnet.face.align"),
        ({"face_align": "320x31,real,1,2,3,4,5,6,7,8,9,0"}, "dfnet.face.align"),
        ({"face_align": "320x320,round,1,2,3,4,5,6,7,8,9,0"}, "dfnet.face.align"),
        ({"face_align": "320x320,real,1,2,3,4,5,6,7,8,9"}, "dfnet.face.align"),
        ({"face_align": "320x320,real,1,2,1,2,1,2,1,2,1,2"}, "five different"),
        ({"face_align": "320x320,real,8193,2,3,4,5,6,7,8,9,0"}, "dfnet.face.align"),
        ({"resize_border": "wrap"}, "dfnet.resize.border"),
        ({"resize": "shorter:0", "resize_border": "pad"}, "dfnet.resize"),
        ({"resize_rounding": "opencv"}, "dfnet.resize.rounding"),
        ({"resize_canvas": "black"}, "dfnet.resize.canvas"),
        ({"look": "logits,0.1,0.05"}, "dfnet.look: is for networks with attention maps"),
        ({"temperature": 0.0}, "dfnet.temperature"),
        ({"thresholds": (0.6, 0.5)}, "dfnet.thresholds"),
        ({"thresholds": (0.6, 1.1)}, "dfnet.thresholds"),
        ({"source": "s" * 1024}, "dfnet.source"),
        ({"source_sha256": "A" * 64}, "dfnet.source.sha256"),
        ({"license": "l" * 1024}, "dfnet.license"),
        ({"reference": (1, 31, 55)}, "dfnet.reference"),
        ({"reference": (1, 72, 513)}, "dfnet.reference"),
        ({"reference": (2**64, 72, 55)}, "dfnet.reference"),
        ({"extra": {"y.note": ""}}, "x\\."),
        ({"extra": {f"x.{i}": "" for i in range(33)}}, "33 keys"),
    ],
)
def test_metadata_refused_by_the_writer(tmp_path, change, match):
    with pytest.raises(ModelFileError, match=match):
        tiny.write(tmp_path / "m", **change)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.pop("head.bias"), "head.bias: is missing"),
        (lambda t: t.update(extra=t["head.bias"]), "extra: is not part"),
        (lambda t: t.update({"head.bias": t["head.bias"][:, None]}), "shape \\[32,1\\], expected"),
        (lambda t: t.update({"head.bias": t["head.bias"].astype(int)}), "int64, expected floats"),
        (lambda t: t["head.bias"].__setitem__(3, np.nan), "head.bias: holds NaN"),
    ],
)
def test_tensors_refused_by_the_writer(tmp_path, change, match):
    arch = tiny.architecture()
    tensors = tiny.weights(arch)
    change(tensors)
    with pytest.raises(ModelFileError, match=match):
        write_model(tmp_path / "m", arch, tensors, tiny.metadata())


@pytest.mark.parametrize(("dtype", "value"), [("f16", 7e4), ("f32", 1e39)])
def test_overflow_is_refused(tmp_path, dtype, value):
    arch = tiny.architecture()
    tensors = {k: v.astype(np.float64) for k, v in tiny.weights(arch).items()}
    tensors["head.weight"][0, 0] = value
    with pytest.raises(ModelFileError, match=f"too large for {dtype.upper()}"):
        write_model(tmp_path / "m", arch, tensors, tiny.metadata(), dtype)


def test_dtype_refused(tmp_path):
    with pytest.raises(ModelFileError, match="bf16"):
        tiny.write(tmp_path / "m", "bf16")


# ---- the reader refuses: damage ----


def test_every_kind_of_flip_is_noticed(tmp_path, sound):
    raw = bytearray(sound.read_bytes())
    rng = np.random.default_rng(3)
    positions = {*range(8), *rng.integers(8, len(raw), 150).tolist(), len(raw) - 1}
    for position in sorted(positions):
        bit = 1 << int(rng.integers(8))
        raw[position] ^= bit
        (tmp_path / "m").write_bytes(raw)
        with pytest.raises(ModelFileError):
            read_model(tmp_path / "m")
        raw[position] ^= bit


def test_a_flip_in_the_data_is_the_hash(tmp_path, sound):
    raw = bytearray(sound.read_bytes())
    raw[-1000] ^= 1
    (tmp_path / "m").write_bytes(raw)
    refused(tmp_path / "m", "hash differs")


@pytest.mark.parametrize("length", [0, 7, 8, 100, 4000, -64, -4, -1])
def test_truncated(tmp_path, sound, length):
    (tmp_path / "m").write_bytes(sound.read_bytes()[:length])
    refused(tmp_path / "m", ".")


def test_longer(tmp_path, parts):
    refused(tiny.join(tmp_path / "m", parts[0], parts[1] + b"\0" * 4), "the file has")


@pytest.mark.parametrize("length", [2**63, 4 << 20, 57, 0])
def test_impossible_header_length(tmp_path, sound, length):
    raw = sound.read_bytes()
    (tmp_path / "m").write_bytes(struct.pack("<Q", length) + raw[8:])
    refused(tmp_path / "m", ".")


def test_folder_and_missing_file(tmp_path):
    with pytest.raises(OSError):
        read_model(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_model(tmp_path / "none")


# ---- the reader refuses: the header's text ----


def test_join_itself_is_sound(tmp_path, parts):
    """Else every test below would pass for the wrong reason."""
    read_model(tiny.join(tmp_path / "m", *parts))


# Also put before the library's reader, by test_engine.py.
HEADER_CHANGES = [
    ('{"__metadata__"', ' {"__metadata__"', "expected {"),
    ('"__metadata__":', '"__metadata__" :', "expected :"),
    ('"shape":[8,3,3,3]', '"shape":[8, 3,3,3]', "expected an integer"),
    ('"shape":[8,3,3,3]', '"shape":[8,3,3,03]', "expected ,"),
    ('"shape":[8,3,3,3]', '"shape":[8,3,3,3.0]', "expected ,"),
    ('"shape":[8,3,3,3]', '"shape":[8,3,3,-3]', "expected an integer"),
    ('"shape":[8,3,3,3]', '"shape":[8,3,3,3,1]', "more than 4"),
    ('"shape":[8,3,3,3]', '"shape":[8,3,3,3,]', "."),
    ('"shape":[8,3,3,3]', '"shape":[8,27]', "has shape \\[8,27\\]"),
    ('"shape":[8,3,3,3]', '"shape":[8,3,3,3],"shape":[8,3,3,3]', "appears twice"),
    ('"shape":[8,3,3,3]', '"shape":[8,3,3,3],"more":[]', "'more' is not known"),
    ('"shape":[8,3,3,3],', "", "needs dtype, shape"),
    ('"dtype":"F32"', '"dtype":"F64"', "not F32 or F16"),
    ('"dtype":"F32"', '"dtype":"F16"', "lies at"),
    ('"stem.bias":', '"stem.weight":', "appears twice"),
    ('"stem.bias":', '"stem.extra":', "stem.bias: is missing"),
    ('"data_offsets":[0,864]', '"data_offsets":[4,868]', "lies at"),
    ('"data_offsets":[0,864]', '"data_offsets":[0,864,864]', "more than 2"),
    ('"data_offsets":[0,864]', '"data_offsets":[0]', "two data_offsets"),
    ('"data_offsets":[0,864]', '"data_offsets":[0,99999999999999999999]', "."),
    ('"dfnet.license":', '"dfnet.source":', "appears twice"),
    ('"dfnet.license":', '"\\u0064fnet.source":', "appears twice"),
    ('"dfnet.license":"MIT",', "", "dfnet.license: is missing"),
    ('"dfnet.license":"MIT"', '"dfnet.license":1', "expected a string"),
    ('"dfnet.license":"MIT"', '"dfnet.license":"\\u0000"', "U\\+0000"),
    ('"dfnet.license":"MIT"', '"dfnet.license":"\\ud800"', "UTF-8"),
    ('"dfnet.license":"MIT"', '"dfnet.license":"\ud800"', "UTF-8"),
    ('"dfnet.license":"MIT"', '"dfnet.license":"a\nb"', "expected a string"),
    ('"dfnet.license":"MIT"', '"dfnet.license":"\\x41"', "expected a string"),
    ('"x.note":', '"y.note":', "'y.note'"),
    ('"x.note":', '"x.\\u0000":', "U\\+0000"),
    ('"dfnet.flip":"1"', '"dfnet.flip":"2"', "dfnet.flip"),
    ('"dfnet.stem":"8"', '"dfnet.stem":"08"', "dfnet.stem"),
    ('"dfnet.stem":"8"', '"dfnet.stem":"16"', "has shape"),
    ('"dfnet.outputs":"3"', '"dfnet.outputs":"0"', "outputs"),
    ('"dfnet.mean":"0.5,', '"dfnet.mean":"nan,', "dfnet.mean"),
    ('"dfnet.mean":"0.5,', '"dfnet.mean":" 0.5,', "dfnet.mean"),
    ('"dfnet.mean":"0.5,', '"dfnet.mean":"0x1,', "dfnet.mean"),
    ('"dfnet.mean":"0.5,', '"dfnet.mean":"1_0,', "dfnet.mean"),
    ('"dfnet.mean":"0.5,', '"dfnet.mean":"1e999,', "dfnet.mean"),
    ('"dfnet.mean":"0.5,', '"dfnet.mean":"0.5,0.5,', "3 values"),
    ('"dfnet.input":"48x40"', '"dfnet.input":"48,40"', "dfnet.input"),
    ('"dfnet.temperature":"1.5"', '"dfnet.temperature":"-1.5"', "dfnet.temperature"),
    ('"dfnet.version":"1"', '"dfnet.version":"0"', "dfnet.version"),
    ('"dfnet.version":"1",', "", "no dfnet model"),
]


@pytest.mark.parametrize(("old", "new", "match"), HEADER_CHANGES)
def test_header_refused(tmp_path, parts, old, new, match):
    text, data = parts
    assert old in text
    refused(tiny.join(tmp_path / "m", text.replace(old, new, 1), data), match)


def test_newer_version_says_so_before_anything_else(tmp_path, parts):
    text = parts[0].replace('"dfnet.version":"1"', '"dfnet.version":"2","dfnet.new":"?"')
    refused(tiny.join(tmp_path / "m", text, b"", rehash=False), "version 2")


@pytest.mark.parametrize("tail", [b"\n", b"\0", b"{}", b" x"])
def test_only_spaces_behind_the_header(tmp_path, parts, tail):
    refused(tiny.join(tmp_path / "m", parts[0].encode() + tail, parts[1]), "nothing but spaces")


def test_bad_utf8(tmp_path, parts):
    body = parts[0].encode().replace(b'"MIT"', b'"\xff"')
    refused(tiny.join(tmp_path / "m", body, parts[1]), "UTF-8")


def test_metadata_must_come_first(tmp_path, parts):
    match = re.match(r'\{("__metadata__":\{.*?\}),(.*)\}$', parts[0], re.DOTALL)
    moved = "{" + match.group(2) + "," + match.group(1) + "}"
    refused(tiny.join(tmp_path / "m", moved, parts[1]), "__metadata__ as the first key")


def test_hash_written_with_escapes(tmp_path, parts):
    at = parts[0].index('"dfnet.xxh3":"') + len('"dfnet.xxh3":"')
    text = parts[0][:at] + f"\\u00{ord(parts[0][at]):02x}" + parts[0][at + 1 :]
    refused(tiny.join(tmp_path / "m", text, parts[1], rehash=False), "escapes")


def test_too_many_user_keys(tmp_path, parts):
    many = "".join(f'"x.{i}":"",' for i in range(31))
    text = parts[0].replace('"x.note"', many + '"x.note"')
    refused(tiny.join(tmp_path / "m", text, parts[1]), "33 keys")


def test_tensors_must_be_listed_in_the_order_of_their_data(tmp_path, parts):
    parsed = json.loads(parts[0])
    items = list(parsed.items())
    items[1], items[2] = items[2], items[1]
    text = json.dumps(dict(items), separators=(",", ":"), ensure_ascii=False)
    refused(tiny.join(tmp_path / "m", text, parts[1]), "lies at")


def test_misaligned_tensor(tmp_path, parts):
    """An F16 tensor with an odd number of elements in front of an F32 tensor."""
    text, data = parts
    parsed = json.loads(text)
    names = [n for n in parsed if n != "__metadata__"]
    first = "classifier.bias"  # 3 elements
    order = [first, *(n for n in names if n != first)]
    body, offset, entries = b"", 0, {"__metadata__": parsed["__metadata__"]}
    for name in order:
        begin, end = parsed[name]["data_offsets"]
        chunk = data[begin:end]
        dtype = "F32"
        if name == first:
            dtype = "F16"
            chunk = np.frombuffer(chunk, "<f4").astype("<f2").tobytes()
        entries[name] = {
            "dtype": dtype,
            "shape": parsed[name]["shape"],
            "data_offsets": [offset, offset + len(chunk)],
        }
        body, offset = body + chunk, offset + len(chunk)
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False)
    refused(tiny.join(tmp_path / "m", text, body), "not a multiple of 4")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(tmp_path, parts, value):
    text, data = parts
    bad = bytearray(data)
    bad[40:44] = np.float32(value).tobytes()
    refused(tiny.join(tmp_path / "m", text, bytes(bad)), "stem.weight: holds NaN or infinity")


# ---- the reader takes ----


def test_any_tensor_order_and_foreign_escapes(tmp_path, parts, sound):
    text, data = parts
    parsed = json.loads(text)
    meta = parsed.pop("__metadata__")
    meta["x.note"] = "\U0001f600"
    body, offset, entries = b"", 0, {"__metadata__": dict(sorted(meta.items()))}
    for name, entry in reversed(parsed.items()):
        begin, end = entry["data_offsets"]
        entries[name] = entry | {"data_offsets": [offset, offset + end - begin]}
        body, offset = body + data[begin:end], offset + end - begin
    # json.dumps with ensure_ascii writes the emoji as a surrogate pair.
    text = json.dumps(entries, separators=(",", ":"))
    _, tensors, read = read_model(tiny.join(tmp_path / "m", text, body))
    _, expected, original = read_model(sound)
    assert all(np.array_equal(tensors[k], expected[k]) for k in expected)
    assert read == replace(original, xxh3=read.xxh3, extra={"x.a": "", "x.note": "\U0001f600"})


def test_optional_keys(tmp_path, parts):
    text, data = parts
    for key in ("flip", "labels"):
        text = re.sub(rf'"dfnet\.{key}":"(?:[^"\\]|\\.)*",', "", text)
    _, _, meta = read_model(tiny.join(tmp_path / "m", text, data))
    assert (meta.flip, meta.labels) == (False, [])
