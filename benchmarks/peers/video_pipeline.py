"""One video through dfnet and through the same pipeline in Python, in turns.

    python3 -m benchmarks.peers.video_pipeline VIDEO [--variant b0] [--runs N] [--threads N]

Python: PyAV decodes (32 frames spread over the length, by rank of their times), facenet-pytorch's
MTCNN finds the faces (one picture after the other, its defaults, as dfnet's), torch runs the
model over all crops of a frame at once, and over their mirror images if the model wants both, as
the default one does. --variant takes random weights of another network, which dfnet reads from a
temporary file. dfnet: `dfnet classify --json VIDEO`, the whole program. Both have the same
processors. Prints seconds (least of the runs; loading of models and
libraries is not counted for Python, and is for dfnet), the Python stages' shares and the ratio.

Needs torch, torchvision, av and facenet-pytorch (`pip install --no-deps`), DFNET_DETECTOR and a
build. torchvision's compiled suppression is used where it loads; else a stand-in whose time is
not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import torch

from weights_tools.model_file import Metadata, read_model, write_model
from weights_tools.random_model import write_random_model
from weights_tools.torch_forward import TorchNetwork

ROOT = Path(__file__).resolve().parents[2]
DFNET = ROOT / "build" / "examples" / "dfnet"
MODEL = ROOT / "weights_tools" / "models" / "face-lite0.safetensors"
STAND_IN = {"seconds": 0.0}


def stand_in_nms(boxes: torch.Tensor, scores: torch.Tensor, limit: float) -> torch.Tensor:
    """torchvision.ops.nms in numpy: indices of the kept boxes by falling score."""
    start = time.perf_counter()
    b, order, kept = boxes.numpy(), np.argsort(-scores.numpy(), kind="stable"), []
    area = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    while order.size:
        i, rest = order[0], order[1:]
        kept.append(i)
        sides = np.minimum(b[i, 2:], b[rest, 2:]) - np.maximum(b[i, :2], b[rest, :2])
        both = np.prod(np.maximum(sides, 0), axis=1)
        order = rest[~(both / (area[i] + area[rest] - both) > limit)]
    STAND_IN["seconds"] += time.perf_counter() - start
    return torch.as_tensor(np.array(kept, np.int64))


def detector() -> object:
    """facenet-pytorch's MTCNN with its defaults, all faces."""
    keep = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        # A torchvision that fits this torch has declared them already.
        with contextlib.suppress(RuntimeError):
            keep.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

    try:
        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (RuntimeError, NotImplementedError):
        library = torch.library.Library("torchvision", "IMPL")
        library.impl("nms", stand_in_nms, "CPU")
        STAND_IN["library"] = library  # type: ignore[assignment]
        torchvision.ops.boxes._assert_has_ops = lambda: None
    STAND_IN["names"] = keep  # type: ignore[assignment]
    from facenet_pytorch import MTCNN

    return MTCNN(keep_all=True, device="cpu")


def decode(path: str) -> list[np.ndarray]:
    """The frames that dfnet takes, too."""
    with av.open(path) as file:
        stream = file.streams.video[0]
        times = sorted(p.pts for p in file.demux(stream) if p.pts is not None)
    wanted = {times[i * (len(times) - 1) // 31] for i in range(32)}
    with av.open(path) as file:
        stream = file.streams.video[0]
        stream.thread_type = "AUTO"
        return [f.to_ndarray(format="rgb24") for f in file.decode(stream) if f.pts in wanted]


def crop(frame: np.ndarray, box: np.ndarray, side: int) -> np.ndarray:
    """A square with a margin around the box, resized, in the model's normalisation."""
    from PIL import Image

    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = 0.65 * max(box[2] - box[0], box[3] - box[1])
    picture = Image.fromarray(frame)
    square = picture.crop((int(x - half), int(y - half), int(x + half), int(y + half)))
    pixels = np.asarray(square.resize((side, side), Image.Resampling.BICUBIC), np.float32)
    return (pixels / 255 * 2 - 1).transpose(2, 0, 1)


def random_model(variant: str, folder: str) -> Path:
    """A model file of random weights that passes for one about faces."""
    path = Path(folder) / f"{variant}.safetensors"
    write_random_model(path, variant, outputs=1, seed=1, dtype="f32")
    arch, tensors, meta = read_model(path)
    write_model(path, arch, tensors, dataclasses.replace(meta, output="sigmoid", fake=0))
    return path


def in_python(path: str, mtcnn: object, network: TorchNetwork, meta: Metadata) -> dict[str, float]:
    """Seconds of each stage."""
    STAND_IN["seconds"] = 0.0
    marks = [time.perf_counter()]
    frames = decode(path)
    marks.append(time.perf_counter())
    found = [mtcnn.detect(f)[0] for f in frames]  # type: ignore[attr-defined]
    marks.append(time.perf_counter())
    logits = []
    for frame, boxes in zip(frames, found, strict=True):
        if boxes is not None:
            crops = np.stack([crop(frame, b, meta.input[0]) for b in boxes])
            logits.append(network(crops))
            if meta.flip:
                logits[-1] = (logits[-1] + network(crops[..., ::-1])) / 2
    marks.append(time.perf_counter())
    spent = np.diff(marks)
    spent[1] -= STAND_IN["seconds"]
    return {
        "decode": spent[0], "detect": spent[1], "score": spent[2], "all": float(spent.sum()),
        "faces": float(sum(len(z) for z in logits)),
    }  # fmt: skip


def in_dfnet(path: str, model: Path) -> tuple[float, dict]:
    """Seconds of the whole program, and its row."""
    start = time.perf_counter()
    done = subprocess.run(
        [DFNET, "classify", "-q", "--json", "--model", model, path],
        capture_output=True,
        check=True,
    )
    return time.perf_counter() - start, json.loads(done.stdout)


def main() -> int:
    """See the top of the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("video")
    parser.add_argument("--variant", help="b0, ...; default: the default model")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    python: list[dict[str, float]] = []
    ours: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        model = random_model(given.variant, folder) if given.variant else MODEL
        arch, tensors, meta = read_model(model)
        network = TorchNetwork(arch, tensors, meta.padding, torch.float32)
        mtcnn = detector()
        for _ in range(given.runs):
            python.append(in_python(given.video, mtcnn, network, meta))
            seconds, row = in_dfnet(given.video, model)
            ours.append(seconds)
    best = min(python, key=lambda p: p["all"])
    print(f"python {best['all']:.2f} s, {best['faces']:.0f} faces:", end="")
    print(
        *(
            f" {k} {best[k]:.2f} s ({best[k] / best['all']:.0%})"
            for k in ("decode", "detect", "score")
        )
    )
    tracks = [len(t["faces"]) for t in row["tracks"]]
    print(f"dfnet  {min(ours):.2f} s, {sum(tracks)} faces in {len(tracks)} tracks")
    print(f"ratio  {best['all'] / min(ours):.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
