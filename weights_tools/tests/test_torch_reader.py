"""The readers of torch's two formats: honest files, hostile files, damaged files."""

from __future__ import annotations

import argparse
import collections
import pickle
import random
import resource
import struct
import zipfile
import zlib

import numpy as np
import pth_writer as pw
import pytest

from weights_tools import pickle_vm
from weights_tools.checkpoint import LazyTensor, open_checkpoint
from weights_tools.errors import InputRefused

BOTH = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


def opened(path, data: bytes):
    path = path / "file.pth"
    path.write_bytes(data)
    return open_checkpoint(path)


def refused(path, data: bytes, *words: str) -> str:
    with pytest.raises(InputRefused) as caught:
        opened(path, data)
    # The folder's name holds the test's and with it many a word that is looked for.
    place, _, message = str(caught.value).partition("/file.pth: ")
    assert place == str(path) and message
    for word in words:
        assert word in message
    assert "\n" not in message
    return message


# ---- honest files ----


@BOTH
@pytest.mark.parametrize("name", [n for n in pw.TYPES if n != "bfloat16"])
def test_every_element_type(tmp_path, legacy, name):
    array = (np.arange(12) - (0 if name in ("uint8", "bool") else 5)).astype(name).reshape(3, 4)
    checkpoint = open_checkpoint(pw.save(tmp_path / "x", {"t": pw.tensor(array)}, legacy))
    assert checkpoint.container == ("torch legacy" if legacy else "torch zip")
    np.testing.assert_array_equal(checkpoint.tree["t"].read(), array)


def test_bfloat16_is_widened(tmp_path):
    bits = np.array([0x3F80, 0xC000, 0x7F80, 0x3FC0], dtype=np.uint16)
    checkpoint = open_checkpoint(
        pw.save(tmp_path / "x", {"t": pw.tensor(bits.reshape(2, 2), "bfloat16")})
    )
    np.testing.assert_array_equal(checkpoint.tree["t"].read(), [[1, -2], [np.inf, 1.5]])


@BOTH
def test_strided_views_of_one_storage(tmp_path, legacy):
    memory = pw.Memory(np.arange(24, dtype=np.float32))
    tree = {
        "transposed": pw.Tensor(memory, (4, 6), (1, 4)),
        "window": pw.Tensor(memory, (2, 3), (6, 2), offset=5),
        "scalar": pw.Tensor(memory, (), (), offset=23),
        "expanded": pw.Tensor(memory, (3, 2), (0, 1), offset=1),
        "empty": pw.Tensor(memory, (0, 7), (7, 1), offset=24),
        "parameter": pw.Tensor(memory, (24,), (1,), parameter=True),
    }
    got = open_checkpoint(pw.save(tmp_path / "x", tree, legacy)).tree
    flat = memory.data
    np.testing.assert_array_equal(got["transposed"].read(), flat.reshape(6, 4).T)
    np.testing.assert_array_equal(got["window"].read(), [[5, 7, 9], [11, 13, 15]])
    assert got["scalar"].read() == 23 and got["scalar"].shape == ()
    np.testing.assert_array_equal(got["expanded"].read(), [[1, 2]] * 3)
    assert got["empty"].read().shape == (0, 7)
    np.testing.assert_array_equal(got["parameter"].read(), flat)


def test_legacy_view_of_a_storage(tmp_path):
    memory = pw.Memory(np.arange(10, dtype=np.float32))
    view = pw.Tensor(memory, (2,), (2,), offset=1, view=("v", 3, 4))
    got = opened(tmp_path, pw.legacy_bytes({"t": view})).tree["t"]
    np.testing.assert_array_equal(got.read(), [4, 6])
    outside = pw.Tensor(memory, (2,), (3,), offset=1, view=("v", 3, 4))
    refused(tmp_path, pw.legacy_bytes({"t": outside}), "reaches element 4", "has 4 elements")
    refused(
        tmp_path,
        pw.legacy_bytes({"t": pw.Tensor(memory, (1,), (1,), view=("v", 8, 3))}),
        "view of storage",
    )


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_what_training_scripts_add(tmp_path, protocol):
    """Pickled by Python itself: optimizer states, arguments, counters, numpy scalars."""
    extras = {
        "epoch": 12,
        "large": 2**40,
        "negative": -(2**70),
        "loss": 0.25,
        "best": np.float64(0.75),
        "curve": np.arange(3.0),
        "args": argparse.Namespace(lr=0.1, name="b0"),
        "milestones": collections.Counter([3, 3, 5]),
        "groups": [{"params": [0, 1], "betas": (0.9, 0.999)}],
        "done": {1, 2},
        "bytes": b"\x00\xff",
        "nothing": None,
        "log": collections.defaultdict(list, a=[1]),
        "long": "x" * 300,
    }
    body = pickle.dumps(extras, protocol=protocol)
    got = opened(tmp_path, pw.zip_bytes(None, pickle=body)).tree
    assert got["epoch"] == 12 and got["large"] == 2**40 and got["negative"] == -(2**70)
    assert got["loss"] == 0.25 and got["long"] == "x" * 300 and got["nothing"] is None
    assert got["milestones"] == {3: 2, 5: 1} and got["groups"] == extras["groups"]
    assert got["bytes"] == b"\x00\xff" and got["log"] == {"a": [1]}
    for key, kind in (("best", "scalar"), ("curve", "_reconstruct"), ("args", "Namespace")):
        assert isinstance(got[key], pickle_vm.Inert) and got[key].kind == kind
    assert got["args"].state == {"lr": 0.1, "name": "b0"}


def test_recompressed_archive_is_read(tmp_path):
    array = np.arange(50_000, dtype=np.float32)
    data = pw.zip_bytes({"t": pw.tensor(array)}, compression=zipfile.ZIP_DEFLATED)
    assert len(data) < array.nbytes
    np.testing.assert_array_equal(opened(tmp_path, data).tree["t"].read(), array)


# ---- hostile pickles: refused, and a canary file does not appear ----


def attacks(canary: str) -> dict[str, bytes]:
    command = f"touch {canary}"
    run = pw.text(command)
    touch = pw.text(f"open({canary!r}, 'w')")

    class Reduced:
        def __reduce__(self):
            import os

            return os.system, (command,)

    class Stated:
        def __setstate__(self, state):
            raise AssertionError("__setstate__ ran")

    return {
        "reduce os.system": b"\x80\x02cos\nsystem\n(" + run + b"tR.",
        "reduce posix.system": b"\x80\x02cposix\nsystem\n" + run + b"\x85R.",
        "builtins.eval": b"\x80\x02cbuiltins\neval\n(" + touch + b"tR.",
        "py2 eval": b"\x80\x02c__builtin__\neval\n(" + touch + b"tR.",
        "getattr chain": b"\x80\x02cbuiltins\ngetattr\n(cos\npath\n" + pw.text("os") + b"tR.",
        "dotted stack global": b"\x80\x04" + pw.text("os") + pw.text("path.join") + b"\x93.",
        "dotted allowed": b"\x80\x04"
        + pw.text("collections")
        + pw.text("OrderedDict.fromkeys")
        + b"\x93.",
        "numpy through module": b"\x80\x02cnumpy\nsys.modules\n.",
        "stack global": b"\x80\x04" + pw.text("os") + pw.text("system") + b"\x93" + run + b"\x85R.",
        "stack global of objects": b"\x80\x04]]\x93.",
        "inst": b"\x80\x02(" + run + b"ios\nsystem\n.",
        "inst of an allowed name": b"\x80\x02(icollections\nOrderedDict\n.",
        "obj": b"\x80\x02(cos\nsystem\n" + run + b"o.",
        "newobj": b"\x80\x02csubprocess\nPopen\n(" + run + b"t\x81.",
        "newobj of an allowed name": b"\x80\x02cnumpy\nndarray\n(K\x02t\x81.",
        "newobj_ex": b"\x80\x04cargparse\nNamespace\n)}\x92.",
        "ext1": b"\x80\x02\x82\x01.",
        "ext2": b"\x80\x02\x83\x01\x00.",
        "ext4": b"\x80\x02\x84\x01\x00\x00\x00.",
        "copyreg": b"\x80\x02ccopy_reg\nadd_extension\n(" + run + run + b"K\x01tR.",
        "__reduce__": pickle.dumps(Reduced(), protocol=4),
        "build on a stranger": b"\x80\x02c__main__\nStated\n)\x81}b.",
        "build on a global": b"\x80\x02cnumpy\ndtype\n}(" + pw.text("__class__") + b"Nub.",
        "build on a number": b"\x80\x02K\x01}b.",
        "build on a tuple": b"\x80\x02)}b.",
        "call of a call": b"\x80\x02cos\nsystem\n" + run + b"\x85R" + run + b"\x85R.",
        "call of text": b"\x80\x02" + run + b")R.",
        "call with a list": b"\x80\x02ccollections\nOrderedDict\n]R.",
        "encode with another codec": b"\x80\x02c_codecs\nencode\n(" + run + pw.text("zip") + b"tR.",
        "load from bytes": b"\x80\x02ctorch.storage\n_load_from_bytes\nC\x02N.\x85R.",
        "hub": b"\x80\x02ctorch.hub\nload\n(" + run + b"tR.",
        "dict subclass": b"\x80\x02cbuiltins\n__import__\n" + pw.text("os") + b"\x85R.",
        "list as function": b"\x80\x02cbuiltins\nlist\n" + pw.text("ab") + b"\x85R.",
        "persid": b"\x80\x02Pstorage\n.",
        "next buffer": b"\x80\x05\x97.",
        "readonly buffer": b"\x80\x05N\x98.",
        "bytearray": b"\x80\x05\x96\x01\x00\x00\x00\x00\x00\x00\x00a.",
        "rebuild from type": pw_from_type(run),
        "nested from type": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n("
        b"ctorch._tensor\n_rebuild_from_type_v2\nctorch\nTensor\n)}tR.",
        "protocol 9": b"\x80\x09N.",
        "unknown opcode": b"\x80\x02\xff.",
        "module": pickle.dumps(collections.OrderedDict, protocol=2).replace(
            b"collections\nOrderedDict", b"torch.nn.modules.linear\nLinear"
        ),
    }


def pw_from_type(run: bytes) -> bytes:
    return (
        b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\n"
        + run
        + b"\x85}tR."
    )


@BOTH
@pytest.mark.parametrize("name", sorted(attacks("/nowhere")))
def test_attacks_are_refused_without_execution(tmp_path, legacy, name):
    canary = tmp_path / "canary"
    body = attacks(str(canary))[name]
    data = pw.legacy_bytes(None, pickle=body) if legacy else pw.zip_bytes(None, pickle=body)
    refused(tmp_path, data)
    assert not canary.exists()


def test_the_canary_would_sing(tmp_path):
    """The attack above is a real one: Python's own reader falls for it."""
    canary = tmp_path / "canary"
    pickle.loads(attacks(str(canary))["reduce os.system"])
    assert canary.exists()


def test_refused_global_is_named(tmp_path):
    body = b"\x80\x02cos\nsystem\n."
    refused(tmp_path, pw.zip_bytes(None, pickle=body), "'os.system'")
    body = b"\x80\x02cefficientnet_pytorch.model\nEfficientNet\n."
    refused(tmp_path, pw.zip_bytes(None, pickle=body), "state_dict()")


def test_the_reader_cannot_import_or_call():
    """The claim of pickle_vm's first paragraph, checked on its code."""
    with open(pickle_vm.__file__, encoding="utf-8") as file:
        code = compile(file.read(), "pickle_vm.py", "exec")
    names: set[str] = set()
    queue = [code]
    while queue:
        unit = queue.pop()
        names |= set(unit.co_names)
        queue += [c for c in unit.co_consts if hasattr(c, "co_names")]
    assert not names & {"__import__", "getattr", "setattr", "eval", "exec", "globals", "vars"}
    assert not names & {"import_module", "pickle", "sys", "os", "__dict__", "__setstate__"}


STORAGE = b"(" + pw.text("storage") + b"ctorch\nFloatStorage\n"


@BOTH
@pytest.mark.parametrize(
    "identifier",
    [
        b"N",
        b")",
        b"K\x07",
        pw.text("storage"),
        b"(" + pw.text("storage") + b"t",
        b"(" + pw.text("module") + pw.text("x") + pw.text("f.py") + pw.text("code") + b"t",
        b"(" + pw.text("storage") + b"cnumpy\ndtype\n" + pw.text("0") + pw.text("cpu") + b"K\x01t",
        STORAGE + b"K\x00" + pw.text("cpu") + b"K\x01t",
        STORAGE + pw.text("0") + pw.text("cpu") + b"Nt",
        STORAGE + pw.text("0") + pw.text("cpu") + pw.integer(-1) + b"t",
        STORAGE + pw.text("0") + pw.text("cpu") + pw.integer(2**62) + b"t",
        STORAGE + pw.text("0") + pw.text("cpu") + b"\x88t",
        STORAGE + pw.text("../../etc/passwd") + pw.text("cpu") + b"K\x01t",
        STORAGE + pw.text("k" * 300) + pw.text("cpu") + b"K\x01t",
    ],
)
def test_wild_persistent_ids(tmp_path, legacy, identifier):
    body = b"\x80\x02" + identifier + b"Q."
    data = pw.legacy_bytes(None, pickle=body) if legacy else pw.zip_bytes(None, pickle=body)
    refused(tmp_path, data)


@BOTH
@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((2**62,), (1,), 0),
        ((2**20, 2**20, 2**20), (0, 0, 0), 0),
        ((2**17,), (0,), 0),
        ((2,), (2**62,), 0),
        ((2,), (-1,), 1),
        ((-2,), (1,), 0),
        ((2,), (1,), -1),
        ((2,), (1,), 2**62),
        ((2,), (1,), 7),
        ((9,), (1,), 0),
        ((3, 3), (3,), 0),
        ((1,) * 9, (1,) * 9, 0),
        ((True,), (1,), 0),
        ((2.0,), (1,), 0),
        (2, (1,), 0),
        ((2,), None, 0),
        ((2,), (1,), None),
        ((0,), (1,), 9),
    ],
)
def test_tensors_outside_their_storage(tmp_path, legacy, shape, strides, offset):
    bad = pw.Tensor(pw.Memory(np.zeros(8, np.float32)), shape, strides, offset)
    data = pw.legacy_bytes({"t": bad}) if legacy else pw.zip_bytes({"t": bad})
    refused(tmp_path, data)


@BOTH
@pytest.mark.parametrize(
    "body",
    [
        b"\x80\x02" + b"(" * 100_000,
        b"\x80\x02" + b"]" + b"\x85" * 1_000_000 + b"(" + b"NNu.",
        b"\x80\x02}" + b")" + b"\x85" * 500_000 + b"Ns.",  # a key that nests
        b"\x80\x02" + b"}" * 5_000_000,
        b"\x80\x02" + b"N" * (17 << 20),
        b"\x80\x02X\xff\xff\xff\xffabc.",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xffabc.",
        b"\x80\x02T\xff\xff\xff\xffabc.",
        b"\x80\x02\x8b\xff\xff\xff\x7f.",
        b"\x80\x02\x8b\xff\xff\xff\xff.",
        b"\x80\x02\x8a\xff" + b"\x7f" * 255 + b".",
        b"\x80\x02I" + b"9" * 4000 + b"\n.",
        b"\x80\x02c" + b"a" * 3000 + b"\nb\n.",
        b"\x80\x02X\x01\x00\x00\x00\xff.",
        b"\x80\x02h\x05.",
        b"\x80\x02r\xff\xff\xff\xff.",
        b"\x80\x02NN.",
        b"\x80\x02.",
        b"\x80\x02t.",
        b"\x80\x02(.",
        b"\x80\x020.",
        b"\x80\x02}(K\x01Nu(K\x01Nu.",  # a key twice
        b"\x80\x02}(Nu.",
        b"\x80\x02]K\x01Ns.",
        b"\x80\x02}K\x01a.",
        b"\x80\x04}(K\x01\x90.",
        b"\x80\x02}G\x7f\xf8\x00\x00\x00\x00\x00\x00Ns.",
        b"\x80\x02ccollections\nOrderedDict\n](K\x01e\x85R.",
        b"",
    ],
    ids=lambda body: body[:12].hex() + f"-{len(body)}",
)
def test_bombs_and_malformed_pickles(tmp_path, legacy, body):
    data = pw.legacy_bytes(None, pickle=body) if legacy else pw.zip_bytes(None, pickle=body)
    refused(tmp_path, data)


def test_copies_are_limited(tmp_path):
    """One large list, turned into something new by each of a million three-byte calls."""
    large = b"](" + b"N" * 100_000 + b"eq\x00"
    size = b"ctorch\nSize\nq\x01"
    body = b"\x80\x02" + large + size + b"0h\x01h\x00\x85R" * 1000 + b"."
    refused(tmp_path, pw.zip_bytes(None, pickle=body), "copies more than")
    encode = b"\x80\x02" + pw.text("y" * 100_000) + b"q\x000c_codecs\nencode\nq\x01"
    encode += pw.text("latin1") + b"q\x02"
    encode += b"h\x01h\x00h\x02\x86R" * 1000 + b"."
    refused(tmp_path, pw.zip_bytes(None, pickle=encode), "copies more than")


def test_memory_stays_bounded(tmp_path):
    """A pickle of the most objects that the limits allow costs less than 1 GiB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(tmp_path, pw.zip_bytes(None, pickle=b"\x80\x02" + b"}" * (16 << 20)), "opcodes")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


# ---- hostile and damaged containers ----


def test_torchscript_is_refused(tmp_path):
    tree = {"t": pw.tensor(np.zeros(2, np.float32))}
    for name in ("constants.pkl", "code/__torch__/net.py"):
        refused(tmp_path, pw.zip_bytes(tree, extra={name: b"x"}), "TorchScript")


def test_old_tar_and_other_formats_are_refused(tmp_path):
    tar = bytearray(512)
    tar[257:262] = b"ustar"
    refused(tmp_path, bytes(tar), "tar archive")
    refused(tmp_path, b"\x89HDF\r\n\x1a\n" + bytes(64), "neither")
    refused(tmp_path, b"\x1f\x8b\x08" + bytes(64), "neither")
    refused(tmp_path, b"P", "neither")
    refused(tmp_path, b"", "is empty")
    refused(tmp_path, pickle.dumps({"a": 1}), "magic number")
    with pytest.raises(InputRefused, match="not a regular file"):
        open_checkpoint(tmp_path)
    with pytest.raises(InputRefused, match="cannot be opened"):
        open_checkpoint(tmp_path / "absent")


def test_legacy_header_is_checked(tmp_path):
    tree = {"t": pw.tensor(np.zeros(2, np.float32))}
    refused(tmp_path, pw.legacy_bytes(tree, little=False), "little-endian")
    good = pw.legacy_bytes(tree)
    refused(tmp_path, good[:-1], "past the file's end")
    refused(tmp_path, good + b"x", "1 bytes behind")
    at = len(good) - 16
    refused(tmp_path, good[:at] + struct.pack("<q", 3) + good[at + 8 :], "holds 3 elements")
    refused(tmp_path, good.replace(b"J\xe9\x03", b"J\xe8\x03"), "protocol")


def test_zip_with_wrong_storages(tmp_path):
    memory = pw.Memory(np.zeros(4, np.float32))
    good = {"t": pw.Tensor(memory, (4,), (1,))}
    body = pw._Emitter(legacy=False).emit(good)
    no_storage = pw.zip_bytes(None, pickle=b"\x80\x02" + body + b".")
    refused(tmp_path, no_storage, "no entry for storage '0'")
    longer = b"\x80\x02" + body.replace(b"K\x04t", b"K\x05t", 1) + b"."
    refused(tmp_path, pw.zip_bytes(good, pickle=longer), "expected 20")
    two = b"\x80\x02(" + body + body.replace(b"FloatStorage", b"IntStorage") + b"t."
    refused(tmp_path, pw.zip_bytes(good, pickle=two), "in another")
    refused(tmp_path, pw.zip_bytes(good, extra={"byteorder": b"big"}), "big-endian")
    trailing = b"\x80\x02" + body + b".N"
    refused(tmp_path, pw.zip_bytes(good, pickle=trailing), "behind the end")


def test_zip_bomb_is_refused(tmp_path):
    data = bytearray(
        pw.zip_bytes(
            {"t": pw.tensor(np.zeros(17 << 20, np.float32))}, compression=zipfile.ZIP_DEFLATED
        )
    )
    assert len(data) < 1 << 20
    refused(tmp_path, bytes(data), "compressed and unpacks to")


def test_zip_with_a_wrong_checksum(tmp_path):
    array = np.full(1000, 1.5, np.float32)
    data = bytearray(pw.zip_bytes({"t": pw.tensor(array)}))
    data[data.index(array.tobytes()) + 77] ^= 1
    with pytest.raises(InputRefused, match="CRC-32"):
        opened(tmp_path, bytes(data)).tree["t"].read()


def test_zip_structure(tmp_path):
    good = pw.zip_bytes({"t": pw.tensor(np.arange(4, dtype=np.float32))})
    assert opened(tmp_path, good).tree["t"].read().sum() == 6
    for cut in range(4, len(good), 7):
        refused(tmp_path, good[:cut])
    refused(tmp_path, good + b"x", "no end-of-directory")
    twice = good.replace(b"archive/version", b"archive/data/0\0")
    refused(tmp_path, twice.replace(b"archive/data/0\0", b"archive/data.pk"))
    encrypted = bytearray(good)
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    refused(tmp_path, bytes(encrypted), "encrypted")
    moved = bytearray(good)
    first = moved.index(b"PK\x01\x02")
    second = moved.index(b"PK\x01\x02", first + 4)
    moved[second + 42 : second + 46] = moved[first + 42 : first + 46]
    refused(tmp_path, bytes(moved), "another name")


def test_zip_with_overlapping_entries(tmp_path):
    """The second entry's local header lies inside the first one's data."""
    inner = b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0, 0, 4, 4, 1, 0) + b"bDATA"
    outer = b"PK\x03\x04" + struct.pack(
        "<HHHHHIIIHH", 20, 0, 0, 0, 0, 0, len(inner), len(inner), 1, 0
    )
    outer += b"a" + inner
    directory = b""
    for name, body, at in ((b"a", inner, 0), (b"b", b"DATA", 31)):
        directory += (
            b"PK\x01\x02"
            + struct.pack(
                "<HHHHHHIIIHHHHHII",
                20,
                20,
                0,
                0,
                0,
                0,
                zlib.crc32(body),
                len(body),
                len(body),
                1,
                0,
                0,
                0,
                0,
                0,
                at,
            )
            + name
        )
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 2, 2, len(directory), len(outer), 0)
    refused(tmp_path, outer + directory + end, "overlap")


@BOTH
def test_fuzzed_checkpoints(tmp_path, legacy):
    """3000 mutations of an honest file: read as before, read differently, or InputRefused."""
    rng = random.Random(20201 + legacy)
    memory = pw.Memory(np.arange(24, dtype=np.float32))
    tree = {
        "state_dict": {
            "a.weight": pw.Tensor(memory, (4, 6), (1, 4)),
            "a.bias": pw.Tensor(memory, (2, 3), (6, 2), offset=5, parameter=True),
            "n": pw.tensor(np.array(3)),
        },
        "args": pw.Raw(b"cargparse\nNamespace\n)\x81}(" + pw.text("lr") + b"K\x01ub"),
        "epoch": 5,
    }
    good = pw.legacy_bytes(tree) if legacy else pw.zip_bytes(tree)
    path = tmp_path / "fuzz.pth"
    refusals = 0
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            kind = rng.randrange(5)
            at = rng.randrange(len(data))
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 2:
                del data[at : at + rng.randint(1, 9)]
            elif kind == 3:
                data[at:at] = rng.randbytes(rng.randint(1, 9))
            else:
                span = data[at : at + rng.randint(1, 40)]
                to = rng.randrange(len(data))
                data[to : to + len(span)] = span
            if not data:
                data = bytearray(b"\0")
        if not legacy and rng.random() < 0.5:
            # Mutate the pickle alone, inside an intact archive.
            body = bytearray(b"\x80\x02" + pw._Emitter(legacy=False).emit(tree) + b".")
            for _ in range(rng.randint(1, 3)):
                body[rng.randrange(2, len(body))] = rng.randrange(256)
            data = bytearray(pw.zip_bytes(tree, pickle=bytes(body)))
        path.write_bytes(data)
        try:
            state = open_checkpoint(path).tree
            inner = state.get("state_dict") if isinstance(state, dict) else None
            for value in inner.values() if isinstance(inner, dict) else ():
                if isinstance(value, LazyTensor):
                    assert value.read().shape == value.shape
        except InputRefused:
            refusals += 1
    assert refusals > 1000
