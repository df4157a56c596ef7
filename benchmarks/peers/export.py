"""Writes one network in one engine's format; a program of its own, run by __main__.py.

    python -m benchmarks.peers.export ENGINE NET@SIZE BATCH FOLDER

Each format in a process of its own, so that a package that is missing or breaks takes nothing
else with it. Files in FOLDER/NET-SIZE-WEIGHTS/, of which model.safetensors is for all batches:

    model.safetensors            ours; random weights
    bN/input.npy, logits.npy     float32 [N, 3, S, S]; float64 [N, outputs], by torch in float64
    bN/ENGINE.done               what the engine's files were made from; they are made once
    bN/model.onnx, ...           the engine's own
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.cases import PADDING, SEED, Net
from weights_tools.model_file import Metadata, read_model, write_model
from weights_tools.random_model import random_tensors

_HERE = Path(__file__).parent


def stamp() -> str:
    """Changes when the recipe or a package does."""
    digest = hashlib.sha256()
    for name in ("export.py", "network.py", "requirements.txt", "requirements-executorch.txt"):
        digest.update((_HERE / name).read_bytes())
    return digest.hexdigest()


def done(folder: Path, batch: int, engine: str) -> bool:
    """Whether export() has made the files already."""
    mark = folder / f"b{batch}" / f"{engine}.done"
    return mark.exists() and mark.read_text() == stamp()


def write_own(net: Net, folder: Path) -> None:
    """model.safetensors, unless it is there."""
    path = folder / "model.safetensors"
    if path.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    arch = net.arch()
    meta = Metadata(
        name=f"{net.name}-random",
        input=(net.size, net.size),
        padding=PADDING,
        source="benchmarks/peers",
        license="CC0-1.0",
    )
    half = path.with_suffix(".part")
    write_model(half, arch, random_tensors(arch, SEED), meta, "f32")
    half.rename(path)


def _reference(network: Any, x: Any, folder: Path) -> None:
    np.save(folder / "input.npy", x.numpy())
    np.save(folder / "logits.npy", network.double()(x.double()).numpy())


def _onnx(network: Any, x: Any, folder: Path) -> None:
    import torch

    torch.onnx.export(
        network,
        (x,),
        str(folder / "model.onnx"),
        input_names=["x"],
        output_names=["y"],
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _openvino(network: Any, x: Any, folder: Path) -> None:
    import openvino

    if not (folder / "model.onnx").exists():
        _onnx(network, x, folder)
    model = openvino.convert_model(str(folder / "model.onnx"))
    openvino.save_model(model, str(folder / "openvino.xml"), compress_to_fp16=False)


def _ncnn(network: Any, x: Any, folder: Path) -> None:
    import pnnx
    import torch

    x = x[:1]  # ncnn has no batch
    torch.jit.trace(network, (x,)).save(str(folder / "traced.pt"))
    shape = ",".join(map(str, x.shape))
    subprocess.run(
        [pnnx.EXEC_PATH, "traced.pt", f"inputshape=[{shape}]f32", "fp16=0"], cwd=folder, check=True
    )


def _executorch(network: Any, x: Any, folder: Path) -> None:
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    lowered = to_edge_transform_and_lower(
        torch.export.export(network, (x,)), partitioner=[XnnpackPartitioner()]
    )
    (folder / "model.pte").write_bytes(lowered.to_executorch().buffer)


def _torch(network: Any, x: Any, folder: Path) -> None:
    import torch

    torch.save(network, folder / "model.pt")


def _inductor(network: Any, x: Any, folder: Path) -> None:
    import torch

    torch._inductor.aoti_compile_and_package(
        torch.export.export(network, (x,)),
        package_path=str(folder / "inductor.pt2"),
        inductor_configs={"freezing": True},
    )


EXPORTERS: dict[str, Callable[[Any, Any, Path], None]] = {
    "reference": _reference,
    "onnxruntime": _onnx,
    "openvino": _openvino,
    "ncnn": _ncnn,
    "executorch": _executorch,
    "torch": _torch,
    "torch-inductor": _inductor,
}


def export(engine: str, net: Net, batch: int, root: Path) -> None:
    """Makes the files of one engine."""
    import torch

    from benchmarks.peers.network import build

    write_own(net, net.folder(root))
    folder = net.folder(root) / f"b{batch}"
    folder.mkdir(parents=True, exist_ok=True)
    arch, tensors, _ = read_model(net.folder(root) / "model.safetensors")
    network = build(arch, tensors)
    generator = np.random.Generator(np.random.PCG64(SEED))
    x = generator.standard_normal((batch, 3, net.size, net.size), dtype=np.float32)
    with torch.no_grad():
        EXPORTERS[engine](network, torch.from_numpy(x), folder)
    (folder / f"{engine}.done").write_text(stamp())


if __name__ == "__main__":
    export(sys.argv[1], Net.parse(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
