"""The detector's file: written, read, refused; its networks against torch's definition."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pth_writer as pw
import pytest
from test_cli import run

from weights_tools import mtcnn
from weights_tools.errors import InputRefused
from weights_tools.model_file import ModelFileError, read_model
from weights_tools.reference import uniform


def random_tensors(scale: float = 0.05) -> dict[str, np.ndarray]:
    shapes = mtcnn.Mtcnn.tensors()
    return {n: uniform(i, *shape) * scale for i, (n, shape) in enumerate(shapes.items())}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    mtcnn.write_detector(tmp_path / "d.safetensors", random_tensors(), mtcnn.DetectorMetadata())
    return tmp_path / "d.safetensors"


def test_round_trip_and_same_bytes(tmp_path, written):
    tensors, meta = mtcnn.read_detector(written)
    assert {n: a.shape for n, a in tensors.items()} == mtcnn.Mtcnn.tensors()
    assert sum(a.size for a in tensors.values()) == 495850
    for name, array in random_tensors().items():
        assert np.array_equal(tensors[name], array.astype(np.float32)), name
    assert [len(meta.outputs[net]) for net in mtcnn.NETS] == [4 * 6 * 6, 6, 16]
    mtcnn.write_detector(tmp_path / "again", tensors, mtcnn.DetectorMetadata())
    assert (tmp_path / "again").read_bytes() == written.read_bytes()
    assert mtcnn.is_detector(written)


def test_f16_has_its_own_reference(tmp_path, written):
    meta = mtcnn.DetectorMetadata()
    mtcnn.write_detector(tmp_path / "half", random_tensors(), meta, "f16")
    tensors, found = mtcnn.read_detector(tmp_path / "half")
    assert found.outputs == mtcnn.reference_outputs(tensors, meta.reference)
    assert found.outputs != mtcnn.read_detector(written)[1].outputs


def test_a_reader_of_classifiers_says_what_it_is(written):
    with pytest.raises(ModelFileError, match="is detector"):
        read_model(written)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (b'"mtcnn"', b'"retin"', "one of mtcnn"),
        (b'"0.6,0.7,0.7"', b'"0.6,0.7,1.7"', "allowed is 0.0 to 1.0"),
        (b'"0.6,0.7,0.7"', b'"0.611,0.777"', "3 values"),
        (b'"20.0"', b'"02.0"', "dfnet.detector.min_face"),
        (b'"0.709"', b'"0.959"', "allowed is 0.1 to 0.95"),
        (b'"20160,17,22"', b'"20160,11,22"', "dfnet.reference"),
        (b'"20160,17,22"', b'"20160,19,22"', "dfnet.reference.pnet"),
        (b'"dfnet.license"', b'"dfnet.lisense"', "detector"),
        (b'"pnet.conv1.slope"', b'"pnet.conv1.slape"', "pnet.conv1.slope"),
        (b'"shape":[28,3,3,3]', b'"shape":[28,3,9,1]', "rnet.conv1.weight"),
        (b'"dfnet.name":"MTCNN"', b'"dfnet.name":"MTCNM"', "hash differs"),
    ],
)
def test_damage_is_named(tmp_path, written, old, new, what):
    data = written.read_bytes()
    assert data.count(old) >= 1 and len(old) == len(new)
    (tmp_path / "bad").write_bytes(data.replace(old, new, 1))
    with pytest.raises(ModelFileError, match=what):
        mtcnn.read_detector(tmp_path / "bad")


def test_nets_by_hand():
    x = np.arange(2 * 3 * 5 * 4, dtype=np.float64).reshape(2, 3, 5, 4)
    weight = uniform(3, 4, 3, 2, 2)
    y = mtcnn.conv(x, weight, np.array([1.0, 2, 3, 4]))
    assert y.shape == (2, 4, 4, 3)
    assert y[1, 2, 3, 1] == pytest.approx((x[1, :, 3:5, 1:3] * weight[2]).sum() + 3)
    pooled = mtcnn.max_pool(x, 2)
    assert pooled.shape == (2, 3, 3, 2) and pooled[0, 0].tolist() == [[5, 7], [13, 15], [17, 19]]
    assert mtcnn.max_pool(x, 3).shape == (2, 3, 2, 2)
    slopes = mtcnn.prelu(np.array([[-2.0, 2.0], [-4.0, -4.0]]), np.array([0.5, 0.25]))
    assert slopes.tolist() == [[-1, 2], [-2, -1]]
    assert [mtcnn.cells(n) for n in (11, 12, 13, 14, 15, 720)] == [0, 1, 2, 2, 3, 355]


def test_nets_against_torch():
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    tensors = random_tensors()
    t = {name: torch.from_numpy(array) for name, array in tensors.items()}

    def conv(name, x):
        return f.prelu(f.conv2d(x, t[f"{name}.weight"], t[f"{name}.bias"]), t[f"{name}.slope"])

    x = torch.from_numpy(uniform(9, 2, 3, 48, 48))
    x = f.max_pool2d(conv("onet.conv1", x), 3, 2, ceil_mode=True)
    x = f.max_pool2d(conv("onet.conv2", x), 3, 2, ceil_mode=True)
    x = conv("onet.conv4", f.max_pool2d(conv("onet.conv3", x), 2, 2, ceil_mode=True))
    x = x.permute(0, 3, 2, 1).reshape(2, -1)
    x = f.prelu(f.linear(x, t["onet.dense5.weight"], t["onet.dense5.bias"]), t["onet.dense5.slope"])
    heads = [
        f.linear(x, t[f"onet.{h}.weight"], t[f"onet.{h}.bias"]) for h in ("face", "box", "points")
    ]
    found = mtcnn.onet(tensors, uniform(9, 2, 3, 48, 48))
    assert np.allclose(found, torch.cat(heads, 1).numpy(), rtol=1e-12, atol=1e-12)


def package(folder: Path, change: dict[str, np.ndarray | None] | None = None) -> Path:
    """A folder like facenet-pytorch's data, with random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = random_tensors()
    for net in mtcnn.NETS:
        state = {}
        for layer in mtcnn.LAYERS:
            if layer.name.startswith(net):
                for name, source in layer.sources().items():
                    state[source] = tensors[name].astype(np.float32)
        for name, array in (change or {}).items():
            if array is None:
                state.pop(name, None)
            else:
                state[name] = array
        pw.save(folder / f"{net}.pt", {n: pw.tensor(a) for n, a in state.items()}, legacy=True)
    return folder


def wheel_of(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for net in mtcnn.NETS:
            archive.write(folder / f"{net}.pt", f"facenet_pytorch/data/{net}.pt")
    return path


def test_convert_from_folder_and_wheel(tmp_path):
    folder = package(tmp_path / "facenet_pytorch/data")
    wheel = wheel_of(folder, tmp_path / "w.whl")
    results = []
    for place in (folder, folder.parent, tmp_path, wheel):
        done = run("convert-mtcnn", "--package", place, "-o", tmp_path / "out")
        assert (done.returncode, done.stderr) == (0, "") and "MIT" in done.stdout
        results.append((tmp_path / "out").read_bytes())
    assert len(set(results)) == 1
    facts = json.loads(run("info", tmp_path / "out", "--json").stdout)
    assert facts["role"] == "detector" and facts["parameters"] == 495850
    assert "thresholds" in run("info", tmp_path / "out").stdout


def test_packages_that_are_refused(tmp_path):
    good = package(tmp_path / "good")
    bad = [
        package(tmp_path / "missing", {"prelu1.weight": None}),
        package(tmp_path / "extra", {"conv9.weight": np.zeros(3, np.float32)}),
        package(tmp_path / "shape", {"conv1.bias": np.zeros(3, np.float32)}),
        tmp_path / "nowhere",
    ]
    (tmp_path / "text.whl").write_text("no wheel")
    bad.append(tmp_path / "text.whl")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", b"b")
    (tmp_path / "other.whl").write_bytes(buffer.getvalue())
    bad.append(tmp_path / "other.whl")
    for place in bad:
        with pytest.raises(InputRefused):
            mtcnn.convert_mtcnn(place, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    mtcnn.convert_mtcnn(good, tmp_path / "out")
