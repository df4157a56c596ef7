"""Everything about a model file, as text or JSON.

Called by `__main__`. Reads the file with `model_file.read_model`, which checks all of it (hash,
layout, finite numbers), so a file that `info` prints is a file that the library loads.
"""

from __future__ import annotations

import json
import math
import os

from .arch import Architecture
from .model_file import Metadata, read_model


def describe(path: str | os.PathLike[str]) -> dict[str, object]:
    """The facts as JSON-ready values. Raises ModelFileError or OSError."""
    arch, tensors, meta = read_model(path)
    height, width = meta.input
    return {
        "file": os.fspath(path),
        "bytes": os.path.getsize(path),
        "xxh3": meta.xxh3,
        "role": meta.role,
        "name": meta.name,
        "variant": arch.variant,
        "activation": arch.activation,
        "stem": arch.stem,
        "stages": [
            {
                "type": stage.type,
                "kernel": stage.kernel,
                "stride": stage.stride,
                "expand": stage.expand,
                "channels": stage.channels,
                "repeats": stage.repeats,
                "se": stage.se,
            }
            for stage in arch.stages
        ],
        "blocks": len(arch.blocks()),
        "head": arch.head,
        "outputs": arch.outputs,
        "attention": arch.attention,
        "gate": arch.gate,
        "frames": arch.frames,
        "look": meta.look,
        "parameters": trained_parameters(arch),
        "stored_parameters": sum(array.size for array in tensors.values()),
        "macs": arch.macs(height, width, meta.padding),
        "padding": meta.padding,
        "preprocessing": {
            "input": [height, width],
            "resize": meta.resize,
            "filter": meta.filter,
            "border": meta.resize_border,
            "rounding": meta.resize_rounding,
            "canvas": meta.resize_canvas,
            "mean": list(meta.mean),
            "std": list(meta.std),
            "flip": bool(meta.flip),
        },
        "output": meta.output,
        "fake": meta.fake,
        "temperature": meta.temperature,
        "thresholds": list(meta.thresholds),
        "labels": list(meta.labels),
        "face": _face(meta),
        "source": meta.source,
        "source_sha256": meta.source_sha256,
        "license": meta.license,
        "reference": list(meta.reference),
        "reference_logits": list(meta.reference_logits),
        "extra": dict(meta.extra),
        "tensors": {name: list(array.shape) for name, array in tensors.items()},
    }


def trained_parameters(arch: Architecture) -> int:
    """Parameters as papers count them: before folding, two for each normalised channel.

    Folding left one bias for each of those channels; the layers that had a bias of their own
    (squeeze-excite, classifier) keep their count.
    """
    total = 0
    for name, shape in arch.tensors().items():
        own = ".se." in name or name in ("classifier.bias", "gate.bias")
        normalised = name.endswith(".bias") and not own
        total += math.prod(shape) * (2 if normalised else 1)
    return total


def _face(meta: Metadata) -> dict[str, object]:
    return {
        "margin": list(meta.face_margin),
        "shape": meta.face_shape,
        "outside": meta.face_outside,
        "pad": list(meta.face_pad),
        "unit": meta.face_unit,
        "rounding": meta.face_rounding,
        "least": meta.face_least,
        "align": meta.face_align,
    }


def as_json(facts: dict[str, object]) -> str:
    return json.dumps(facts, indent=2, ensure_ascii=False)


def as_text(facts: dict[str, object]) -> str:
    """The facts for people: a block of lines `key  value`, the stage table, the tensors."""
    lines: list[str] = []

    def row(key: str, value: object) -> None:
        lines.append(f"{key:<12}{_plain(value)}")

    for key in ("file", "bytes", "xxh3", "role", "name", "variant", "activation"):
        row(key, facts[key])
    row("parameters", f"{facts['parameters']:,} ({facts['stored_parameters']:,} after folding)")
    prep: dict[str, object] = facts["preprocessing"]  # type: ignore[assignment]
    size = "x".join(str(side) for side in prep["input"])  # type: ignore[union-attr]
    row("MACs", f"{facts['macs']:,} for one {size} input")
    row("padding", facts["padding"])
    row("input", f"{size}, resize {prep['resize']}, filter {prep['filter']}")
    row("", f"border {prep['border']}, rounding {prep['rounding']}, canvas {prep['canvas']}")
    row("", f"mean {_plain(prep['mean'])}, std {_plain(prep['std'])}")
    row("flip", "the mirror image is averaged in" if prep["flip"] else "no")
    fake = "none" if facts["fake"] is None else facts["fake"]
    if facts["attention"]:
        row("attention", f"{facts['attention']} maps, second look {facts['look'] or 'none'}")
    if facts["gate"]:
        row("gate", f"behind {facts['gate']} blocks")
    if facts["frames"] != 1:
        row("sequence", f"{facts['frames']} frames")
    row("output", f"{facts['outputs']} logits, {facts['output']}, fake {fake}")
    row("", f"temperature {facts['temperature']}, thresholds {_plain(facts['thresholds'])}")
    face: dict[str, object] = facts["face"]  # type: ignore[assignment]
    row(
        "face",
        f"{face['shape']}, margin {_plain(face['margin'])}, outside {face['outside']}, pad "
        f"{_plain(face['pad'])}",
    )
    row("", f"unit {face['unit']}, rounding {face['rounding']}, least {face['least']}")
    row("", f"align {face['align'] or 'no'}")
    labels: list[str] = facts["labels"]  # type: ignore[assignment]
    row("labels", f"{len(labels)}" if labels else "none")
    for index, label in enumerate(labels):
        lines.append(f"  {index:<10}{_plain(label)}")
    row("source", facts["source"])
    row("sha256", facts["source_sha256"])
    row("licence", facts["license"])
    row("reference", f"seed,height,width {_plain(facts['reference'])}")
    row("", f"logits {_plain(facts['reference_logits'])}")
    for key, value in facts["extra"].items():  # type: ignore[union-attr]
        row(key, value)
    lines += ["", f"stem {facts['stem']}, {facts['blocks']} blocks, head {facts['head']}"]
    lines.append("stage  type   kernel  stride  expand  channels  repeats  se")
    for number, stage in enumerate(facts["stages"], 1):  # type: ignore[arg-type]
        lines.append(
            f"{number:<7}{stage['type']:<7}{stage['kernel']:<8}{stage['stride']:<8}"
            f"{stage['expand']:<8}{stage['channels']:<10}{stage['repeats']:<9}{stage['se']}"
        )
    tensors: dict[str, list[int]] = facts["tensors"]  # type: ignore[assignment]
    lines += ["", f"{len(tensors)} tensors"]
    wide = max(len(name) for name in tensors)
    lines += [f"{name:<{wide}}  {_plain(shape)}" for name, shape in tensors.items()]
    return "\n".join(lines)


def _plain(value: object) -> str:
    """Text from the file cannot move the terminal's cursor: control characters are escaped."""
    if isinstance(value, list):
        shown = ",".join(str(item) for item in value[:8])
        return f"[{shown}]" if len(value) <= 8 else f"[{shown},... {len(value)} in all]"
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(value))
