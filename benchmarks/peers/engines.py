"""The engines behind one interface: import, load, run. Called by worker.py, one a process.

Input: float32 NCHW [batch, 3, size, size]; output: float32 logits [batch, outputs]. Every engine
computes in float32 with as many threads as it is told and else as it comes: no tuning that a
user would not find on its first page. Packages are imported by prepare(), nowhere else.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class Engine(Protocol):
    """One library; methods are called in this order."""

    package: str  # the importable package whose shared libraries count as the engine's size

    def prepare(self, threads: int) -> str:
        """Import everything; returns the version."""

    def load(self, folder: Path, threads: int, shape: tuple[int, int, int, int]) -> None:
        """From the files of `folder` (export.py) to something that can run."""

    def run(self, x: np.ndarray) -> np.ndarray:
        """Logits of x."""


class Dfnet:
    """This library through weights_tools/engine.py: the public C interface, by ctypes."""

    package = ""

    def __init__(self, cpu_mask: int = 0xFFFFFFFF, gemm: str = "auto") -> None:
        self.cpu_mask, self.gemm = cpu_mask, gemm

    def prepare(self, threads: int) -> str:
        from weights_tools.engine import Library, find_library

        path = find_library()
        if path is None:
            raise OSError("libdfnet.so is not built (./dev build)")
        self.library = Library(path)
        return self.library.version

    def load(self, folder: Path, threads: int, shape: tuple[int, int, int, int]) -> None:
        self.model = self.library.load(folder.parent / "model.safetensors")
        batch, _, height, width = shape
        self.session = self.model.session(
            height, width, batch, gemm=self.gemm, threads=threads, cpu_mask=self.cpu_mask
        )

    def run(self, x: np.ndarray) -> np.ndarray:
        return self.session.run(x)


class OnnxRuntime:
    package = "onnxruntime"

    def prepare(self, threads: int) -> str:
        self.ort = importlib.import_module("onnxruntime")
        return str(self.ort.__version__)

    def load(self, folder: Path, threads: int, shape: tuple[int, int, int, int]) -> None:
        options = self.ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = self.ort.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def run(self, x: np.ndarray) -> np.ndarray:
        return self.session.run(None, {"x": x})[0]


class OpenVino:
    package = "openvino"

    def prepare(self, threads: int) -> str:
        self.ov = importlib.import_module("openvino")
        return str(self.ov.__version__).split("-")[0]

    def load(self, folder: Path, threads: int, shape: tuple[int, int, int, int]) -> None:
        compiled = self.ov.Core().compile_model(
            str(folder / "openvino.xml"),
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                "PERFORMANCE_HINT": "LATENCY",
                # Else it computes in bfloat16 where the CPU can.
                "INFERENCE_PRECISION_HINT": "f32",
            },
        )
        self.request = compiled.create_infer_request()

    def run(self, x: np.ndarray) -> np.ndarray:
        return self.request.infer({0: x}, share_inputs=True, share_outputs=True)[0]


class Ncnn:
    """Has no batch: a run is one picture after the other."""

    package = "ncnn"

    def prepare(self, threads: int) -> str:
        self.ncnn = importlib.import_module("ncnn")
        return str(self.ncnn.__version__)

    def load(self, folder: Path, threads: int, shape: tuple[int, int, int, int]) -> None:
        self.net = self.ncnn.Net()
        options = self.net.opt
        options.num_threads = threads
        for name in dir(options):
            if name.startswith(("use_fp16", "use_bf16", "use_int8")):
                setattr(options, name, False)
        self.net.load_param(str(folder / "traced.ncnn.param"))
        self.net.load_model(str(folder / "traced.ncnn.bin"))

    def run(self, x: np.ndarray) -> np.ndarray:
        rows = []
        for picture in x:
            extractor = self.net.create_extractor()
            extractor.input("in0", self.ncnn.Mat(picture))
            status, row = extractor.extract("out0")
            if status:
                raise RuntimeError(f"ncnn: extract returned {status}")
            rows.append(np.array(row))
        return np.stack(rows)


class Executorch:
    """Its XNNPACK backend."""

    package = "executorch"

    def prepare(self, threads: int) -> str:
        self.torch = importlib.import_module("torch")
        binding = importlib.import_module("executorch.extension.pybindings.portable_lib")
        self.runtime = importlib.import_module("executorch.runtime").Runtime.get()
        # Before anything is loaded: what is loaded keeps the pool it found.
        binding._unsafe_reset_threadpool(threads)
        from importlib.metadata import version

        return version("executorch")

    def load(self, folder: Path, threads: int, shape: tuple[int, int, int, int]) -> None:
        self.program = self.runtime.load_program(str(folder / "model.pte"))
        self.method = self.program.load_method("forward")

    def run(self, x: np.ndarray) -> np.ndarray:
        return self.method.execute([self.torch.from_numpy(x)])[0].numpy()


class Torch:
    """PyTorch without a compiler (`eager`)."""

    package = "torch"

    def prepare(self, threads: int) -> str:
        self.torch = importlib.import_module("torch")
        importlib.import_module("benchmarks.peers.network")
        self.torch.set_num_threads(threads)
        return str(self.torch.__version__).split("+")[0]

    def load(self, folder: Path, threads: int, shape: tuple[int, int, int, int]) -> None:
        # Our own file, made by export.py a moment ago.
        self.module: Any = self.torch.load(folder / "model.pt", weights_only=False)

    def run(self, x: np.ndarray) -> np.ndarray:
        with self.torch.inference_mode():
            return self.module(self.torch.from_numpy(x)).numpy()


class TorchInductor(Torch):
    """PyTorch's compiler, ahead of time; needs a C++ compiler and minutes to export."""

    def load(self, folder: Path, threads: int, shape: tuple[int, int, int, int]) -> None:
        self.module = self.torch._inductor.aoti_load_package(str(folder / "inductor.pt2"))


#: Name on the command line -> maker.
ENGINES: dict[str, Any] = {
    "dfnet": Dfnet,
    "dfnet-avx2": lambda: Dfnet(cpu_mask=1),
    "dfnet-native": lambda: Dfnet(gemm="native"),
    "dfnet-openblas": lambda: Dfnet(gemm="openblas"),
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "ncnn": Ncnn,
    "executorch": Executorch,
    "torch": Torch,
    "torch-inductor": TorchInductor,
}

DEFAULT = ("dfnet", "onnxruntime", "openvino", "ncnn", "executorch", "torch")


def environment(threads: int) -> dict[str, str]:
    """Of a worker: as many OpenMP threads as it is told; one for OpenBLAS (README.md)."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
