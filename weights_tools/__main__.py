"""The command line: `python3 -m weights_tools COMMAND ...`; `--help` lists the commands.

Exit codes: 0 done; 1 wrong usage; 2 the input was refused or a file could not be read or
written (one sentence on standard error). `verify` documents its own.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from . import __version__

DONE, USAGE, REFUSED = 0, 1, 2

_EXAMPLES = """examples:
  # an efficientnet_pytorch or torchvision checkpoint: everything is in the file
  python3 -m weights_tools convert b4.pth -o b4.safetensors

  # a timm checkpoint: padding and epsilon depend on timm's name for it
  python3 -m weights_tools convert best.pth -o best.safetensors --name tf_efficientnet_b7_ns

  # look at the result, then compare it with its reference logits
  python3 -m weights_tools info best.safetensors
  python3 -m weights_tools verify best.safetensors
"""

_CONVERT_EXAMPLES = """examples:
  # ImageNet classifier with labels, half the size
  python3 -m weights_tools convert b0.pth -o b0.safetensors --labels imagenet.txt --dtype f16

  # a face model of one logit on square crops, 30 % larger than the detector's box
  python3 -m weights_tools convert face.pth -o face.safetensors --input 224x224 \\
      --resize squash --filter opencv-area --face-shape square \\
      --face-margin 0.15,0.15,0.15,0.15 --face-outside clamp --flip

  # a published detector's checkpoint: its crops are known
  python3 -m weights_tools convert final_111_DeepFakeClassifier_tf_efficientnet_b7_ns_0_36 \\
      -o b7-111-36.safetensors

  # weights trained with efficientnet_pytorch 0.6.3 at 224 while built for another size
  python3 -m weights_tools convert b4.pth -o b4.safetensors --padding static-old
"""

_MTCNN_EXAMPLES = """examples:
  pip download --no-deps facenet-pytorch==2.6.0
  python3 -m weights_tools convert-mtcnn --package facenet_pytorch-2.6.0-py3-none-any.whl \\
      -o mtcnn.safetensors
"""

_RANDOM_EXAMPLES = """examples:
  python3 -m weights_tools random b4 -o b4.safetensors
  build/benchmarks/bench_model --model b4.safetensors
"""

_INFO_EXAMPLES = """examples:
  python3 -m weights_tools info b0.safetensors
  python3 -m weights_tools info b0.safetensors --json
"""

_VERIFY_EXAMPLES = """examples:
  # the stored reference logits, computed again by libdfnet (and by torch, if it is there)
  python3 -m weights_tools verify b0.safetensors

  # layer by layer, and against the checkpoint that it was made from
  python3 -m weights_tools verify b0.safetensors --layers --source b0.pth
"""


_EVALUATE_EXAMPLES = """examples:
  # a folder with real/ and fake/: every alteration at every level, the control, plots
  python3 -m weights_tools evaluate photos --json report.json --plots plots

  # a quick look: 100 pictures of each class, unaltered and as the challenge altered its clips
  python3 -m weights_tools evaluate photos --limit 100 --alterations none

  # some cells; face crops instead of photos; another model
  python3 -m weights_tools evaluate crops --whole --model face.safetensors \\
      --alterations jpeg,gaussian_blur --levels 3,5

  # clips: codec, frame rate, overlays that stay, roll and flash
  python3 -m weights_tools evaluate clips --alterations h264,fps,overlay_text@roll --json r.json

  # what 8 x 8 thumbnails, sharpness and file size alone reach; the alterations' parameters
  python3 -m weights_tools evaluate photos --control
  python3 -m weights_tools evaluate --list
"""

_CALIBRATE_EXAMPLES = """examples:
  # from a folder of validation pictures
  python3 -m weights_tools calibrate face.safetensors validation -o calibrated.safetensors

  # from scores that exist already, the altered ones included
  python3 -m weights_tools evaluate validation --model face.safetensors --json report.json
  python3 -m weights_tools calibrate face.safetensors --scores report.json --on both \\
      -o calibrated.safetensors
"""

_COMPARE_EXAMPLES = """examples:
  # two models on the same pictures, and both together as a pipeline would have them
  python3 -m weights_tools evaluate photos --model a.safetensors --json a.json
  python3 -m weights_tools evaluate photos --model b.safetensors --json b.json
  python3 -m weights_tools compare a.json b.json
"""


class _Parser(argparse.ArgumentParser):
    """Help that starts with examples; usage errors end with code 1, not argparse's 2."""

    def __init__(self, *args: object, examples: str = "", **kwargs: object) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, allow_abbrev=False, **kwargs)  # type: ignore[arg-type]
        self._examples = examples

    def format_help(self) -> str:
        return (
            f"{self._examples}\n{super().format_help()}"
            if self._examples
            else (super().format_help())
        )

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def _reals(count: int, positive: bool = False) -> Callable[[str], tuple[float, ...]]:
    def parse(text: str) -> tuple[float, ...]:
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            values = ()
        if len(values) != count or not all(math.isfinite(value) for value in values):
            raise argparse.ArgumentTypeError(f"{text!r} is not {count} numbers with commas")
        if positive and min(values) <= 0:
            raise argparse.ArgumentTypeError(f"{text!r} is not greater than 0")
        return values

    return parse


def _integers(count: int, low: int, high: int) -> Callable[[str], tuple[int, ...]]:
    def parse(text: str) -> tuple[int, ...]:
        parts = text.split(",")
        plain = all(re.fullmatch(r"[0-9]{1,20}", part, re.ASCII) for part in parts)
        if len(parts) != count or not plain or not all(low <= int(p) <= high for p in parts):
            raise argparse.ArgumentTypeError(
                f"{text!r} is not {count} integers from {low} to {high} with commas"
            )
        return tuple(int(part) for part in parts)

    return parse


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})", text, re.ASCII)
    if match is None or not all(32 <= int(side) <= 4096 for side in match.groups()):
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH with 32 to 4096 each")
    return int(match[1]), int(match[2])


def _reference(text: str) -> tuple[int, ...]:
    seed, height, width = _integers(3, 0, 2**64 - 1)(text)
    if not (32 <= height <= 512 and 32 <= width <= 512):
        raise argparse.ArgumentTypeError(f"{text!r}: height and width are 32 to 512")
    return seed, height, width


def _fake(text: str) -> int | str:
    if text == "none" or re.fullmatch(r"[0-9]{1,5}", text, re.ASCII):
        return text if text == "none" else int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither none nor an output's index")


def _crf(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,2}", text, re.ASCII) and int(text) <= 51:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 0 to 51")


def _seconds(text: str) -> float:
    (value,) = _reals(1)(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is less than 0")
    return value


def _padding(text: str) -> str:
    if text in ("same", "sym", "static-old", "static-new"):
        return text
    if re.fullmatch(r"fixed:[0-9](,[0-9])*", text, re.ASCII):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is not same, sym, static-old, static-new or fixed:N,N,..."
    )


def _resize(text: str) -> str:
    if text in ("squash", "longer") or re.fullmatch(r"shorter:[1-9][0-9]{0,4}", text, re.ASCII):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is not squash, longer or shorter:N")


def _filter(text: str) -> str:
    from .model_file import FILTERS

    names = text.split(",")
    if len(names) <= 2 and set(names) <= set(FILTERS):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is not one or two of {', '.join(FILTERS)}")


def _thresholds(text: str) -> tuple[float, ...]:
    low, high = _reals(2)(text)
    if not 0 <= low <= high <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not REAL,FAKE with 0 <= REAL <= FAKE <= 1")
    return low, high


def _least(text: str) -> int:
    if not re.fullmatch("[0-9]{1,4}", text) or int(text) > 4096:
        raise argparse.ArgumentTypeError(f"{text!r} is not 0 to 4096")
    return int(text)


def _look(text: str) -> str:
    how, _, numbers = text.partition(",")
    if how not in ("logits", "probabilities"):
        raise argparse.ArgumentTypeError(f"{text!r} does not begin with logits, or probabilities,")
    if not all(0 <= value <= 1 for value in _reals(2)(numbers)):
        raise argparse.ArgumentTypeError(f"{text!r} does not hold two numbers from 0 to 1")
    return text


def _systems() -> tuple[str, ...]:
    from .systems import NAMES

    return NAMES


def _add_convert(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="SRC", help=".pth, .pt, .pth.tar, .bin or .safetensors checkpoint")
    add("-o", "--out", required=True, metavar="FILE", help="model file to write (.safetensors)")

    group = parser.add_argument_group("what the checkpoint is")
    add = group.add_argument
    add(
        "--system",
        choices=_systems(),
        default="auto",
        metavar="NAME",
        help="published detector that it belongs to, whose crops are then filled in: auto (if its "
        "file is laid out so; the default), none, " + ", ".join(_systems()[2:]),
    )
    add("--name", help="timm's name of the model, if the file is not named after it")
    add("--state-dict", metavar="KEY", help="key of the state dict, if the file holds several")
    add(
        "--ignore",
        action="append",
        default=[],
        metavar="NAME",
        help="tensor (or shell pattern) that may be left out; can be repeated",
    )
    add("--bn-eps", type=_eps, metavar="E", help="epsilon of the batch normalisations")
    add(
        "--head-bn-eps",
        type=_eps,
        default=1e-5,
        metavar="E",
        help="the same for a BatchNorm1d before the classifier (default: %(default)s)",
    )
    add(
        "--padding",
        type=_padding,
        metavar="MODE",
        help="same, sym, static-old, static-new (efficientnet_pytorch up to 0.6.3, later) or "
        "fixed:BEFORE,AFTER,...",
    )

    group = parser.add_argument_group("how its input is made (default: as its library does)")
    add = group.add_argument
    add("--input", type=_size, metavar="HxW", help="height and width of the input")
    add("--resize", type=_resize, metavar="HOW", help="squash, shorter:N or longer")
    add("--filter", type=_filter, metavar="F[,F]", help="filter to shrink[, to enlarge]")
    add("--mean", type=_reals(3), metavar="R,G,B", help="mean, pixels being 0 to 1")
    add("--std", type=_reals(3, positive=True), metavar="R,G,B", help="standard deviation")
    add("--flip", action="store_true", help="average the logits with those of the mirror image")

    group = parser.add_argument_group("how a face is cropped")
    add = group.add_argument
    add("--face-margin", type=_reals(4), metavar="L,T,R,B", help="fractions of the face box")
    add("--face-shape", choices=("square", "box"))
    add("--face-outside", choices=("clamp", "shift", "pad"), help="beyond the picture's edge")
    add("--face-pad", type=_integers(3, 0, 255), metavar="R,G,B", help="colour to pad with")
    add("--face-unit", choices=("side", "height"), help="of margins (default: side)")
    add("--face-rounding", choices=("nearest", "truncate", "whole", "even"))
    add("--resize-border", choices=("none", "pad", "reflect"), help="default: none")
    add("--resize-rounding", choices=("torchvision", "albumentations"))
    add("--resize-canvas", choices=("colour", "zero"), help="default: colour")
    add("--face-least", type=_least, metavar="N", help="pad crops to N pixels (default: 0)")
    add("--face-align", metavar="HxW,HOW,X,Y,...", help="template of five landmarks")

    group = parser.add_argument_group("what its output means")
    add = group.add_argument
    add("--output", choices=("sigmoid", "softmax"))
    add("--fake", type=_fake, metavar="INDEX", help='output that means "fake", or none')
    add(
        "--look",
        type=_look,
        metavar="HOW,FROM,MARGIN",
        help="WS-DAN: look again at the part that it attends to, and average logits or "
        "probabilities; logits,0.1,0.05 is usual (default: once)",
    )
    add("--labels", type=Path, metavar="FILE", help="UTF-8 text, one label a line")
    add("--temperature", type=_temperature, default=1.0, metavar="T")
    add(
        "--thresholds",
        type=_thresholds,
        default=(0.5, 0.5),
        metavar="R,F",
        help="real below R, fake from F, uncertain between (default: 0.5,0.5)",
    )

    group = parser.add_argument_group("what is written")
    add = group.add_argument
    add("--dtype", choices=("f32", "f16"), default="f32", help="of the weights (default: f32)")
    add("--model-name", metavar="TEXT", help="name for people (default: the source's name)")
    add("--license", metavar="TEXT", help="licence of the weights (default: the system's)")
    add("--source", dest="source_text", metavar="TEXT", help="origin (default: SRC's name)")
    add(
        "--reference",
        type=_reference,
        default=(20201, 72, 55),
        metavar="SEED,H,W",
        help="reference input (default: 20201,72,55)",
    )
    add("-q", "--quiet", action="store_true", help="do not tell what was read and assumed")


def _eps(text: str) -> float:
    (value,) = _reals(1)(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not from 0 to 1")
    return value


def _temperature(text: str) -> float:
    return _reals(1, positive=True)(text)[0]


def _run_convert(args: argparse.Namespace) -> int:
    from .convert import Options, convert

    said = vars(args)
    names = set(Options.__dataclass_fields__) - {"source", "ignore"}
    options = Options(**{name: said[name] for name in names})
    options.ignore = tuple(args.ignore)
    options.source = args.source_text
    report = convert(args.source, args.out, options)
    if not args.quiet:
        print("\n".join(report.lines))
        print(f"wrote     {args.out}: {os.path.getsize(args.out)} bytes, {args.dtype}")
    return DONE


def _run_convert_mtcnn(args: argparse.Namespace) -> int:
    from .mtcnn import convert_mtcnn

    meta = convert_mtcnn(args.package, args.out, args.dtype)
    if not args.quiet:
        print(f"source    {meta.source}\nlicence   {meta.license}")
        print(f"wrote     {args.out}: {os.path.getsize(args.out)} bytes, {args.dtype}")
    return DONE


def _run_random(args: argparse.Namespace) -> int:
    from .random_model import write_random_model

    arch = write_random_model(
        args.out, args.variant, args.outputs, args.seed, args.dtype, args.denormal
    )
    print(f"wrote {args.out}: {arch.variant}, {os.path.getsize(args.out)} bytes, {args.dtype}")
    return DONE


def _run_info(args: argparse.Namespace) -> int:
    from . import info, mtcnn

    if mtcnn.is_detector(args.file):
        facts = mtcnn.describe(args.file)
        print(info.as_json(facts) if args.json else mtcnn.as_text(facts))
        return DONE
    facts = info.describe(args.file)
    print(info.as_json(facts) if args.json else info.as_text(facts))
    return DONE


def _run_verify(args: argparse.Namespace) -> int:
    from . import verify

    return verify.run(args)


def _add_random(commands: argparse._SubParsersAction) -> None:
    from .arch import VARIANTS

    parser = commands.add_parser(
        "random",
        help="make a model file with random weights, to measure with",
        description="Makes a model file of any variant with random weights.",
        examples=_RANDOM_EXAMPLES,
    )
    add = parser.add_argument
    add("variant", choices=VARIANTS, metavar="VARIANT", help=", ".join(VARIANTS))
    add("-o", "--out", required=True, metavar="FILE", help="model file to write (.safetensors)")
    add("--outputs", type=_outputs, default=1000, metavar="N", help="logits (default: 1000)")
    add("--seed", type=int, default=1, metavar="N", help="(default: 1)")
    add("--dtype", choices=("f32", "f16"), default="f32", help="of the weights (default: f32)")
    add("--denormal", action="store_true", help="numbers too small for a normal float32")
    parser.set_defaults(run=_run_random)


def _with_evaluation(name: str) -> Callable[[argparse.Namespace], int]:
    """A function of evaluate.commands, or one sentence where its packages are missing."""

    def call(args: argparse.Namespace) -> int:
        from .errors import InputRefused

        try:
            from .evaluate import commands
        except ModuleNotFoundError as error:
            if (error.name or "").startswith(__package__ or "weights_tools"):
                raise
            raise InputRefused(
                f"{args.command} needs the package {error.name}: python3 -m pip install -r "
                "weights_tools/requirements-evaluate.txt"
            ) from error
        return getattr(commands, name)(args)

    return call


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    """Arguments of what scores labelled pictures."""
    add = parser.add_argument
    add("--real", action="append", default=[], metavar="DIR", help="more real pictures")
    add("--fake", action="append", default=[], metavar="DIR", help="more fake pictures")
    add("--limit", type=_count, default=0, metavar="N", help="at most N of each class (0: all)")
    way = parser.add_mutually_exclusive_group()
    add = way.add_argument
    add(
        "--whole",
        dest="way",
        action="store_const",
        const="whole",
        default="frame",
        help="the pictures are face crops: no detector",
    )
    add(
        "--crop",
        dest="way",
        action="store_const",
        const="crop",
        help="find the face first, then alter its crop: the classifier alone",
    )
    add = parser.add_argument
    add(
        "--side",
        type=_count,
        default=0,
        metavar="N",
        help="shrink every picture to at most N pixels a side first (0: no)",
    )
    add(
        "--encode",
        type=_quality,
        default=90,
        metavar="Q",
        help="quality of the JPEG that every picture becomes last (0: none; default: 90)",
    )
    add("--detector", metavar="FILE", help="face detector (default: the library's)")
    add("--library", metavar="PATH", help="libdfnet.so; else $DFNET_LIBRARY, build/lib, the system")
    add("--jobs", type=_jobs, default=_cpus(), metavar="N", help="threads (default: all CPUs)")
    add("-q", "--quiet", action="store_true", help="no progress bar")


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="measure a face model on labelled pictures or clips, altered in many ways",
        description="Scores the pictures in the folders named real and fake below DIR, unaltered "
        "and\naltered, and prints how well the model tells them apart. Clips are scored by dfnet "
        "classify.\nNeeds the packages of requirements-evaluate.txt and a built libdfnet.",
        examples=_EVALUATE_EXAMPLES,
    )
    add = parser.add_argument
    add("folder", nargs="*", metavar="DIR", help="folder with real/ and fake/, at any depth")
    add("--model", metavar="FILE", help="model file (default: the library's)")
    add(
        "--alterations",
        default="all",
        metavar="NAMES",
        help="all (default), none, or names with commas; jpeg=25 is one with its own parameter",
    )
    add("--levels", default="1,2,3,4,5", metavar="N,N", help="levels (default: 1,2,3,4,5)")
    add("--list", action="store_true", help="print the alterations and stop")
    add("--clips", action="store_true", help="score the clips, though there are pictures, too")
    add("--crf", type=_crf, default=18, metavar="Q", help="H.264 of every clip (default: 18)")
    add("--seconds", type=_seconds, default=10.0, metavar="S", help="of a clip (10; 0: all of it)")
    add("--program", metavar="PATH", help="the program dfnet, which scores clips")
    only = parser.add_mutually_exclusive_group().add_argument
    only("--control", action="store_true", help="only the control: no model is run")
    only("--no-control", action="store_true", help="all but the control")
    _add_pictures(parser)
    add("--bootstrap", type=_rounds, default=1000, metavar="N", help="resamples (default: 1000)")
    add("--json", type=Path, metavar="FILE", help="write everything, logits included")
    add("--plots", type=Path, metavar="DIR", help="write PNG pictures into DIR")
    parser.set_defaults(run=_with_evaluation("run_evaluate"))


def _add_calibrate(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "calibrate",
        help="fit a face model's temperature and thresholds to validation pictures",
        description="Fits temperature and thresholds to pictures that the model was not trained "
        "on, and\nwrites a model file that has them. The weights stay as they are.",
        examples=_CALIBRATE_EXAMPLES,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="model file")
    add("folder", nargs="*", metavar="DIR", help="folder with real/ and fake/, at any depth")
    add("-o", "--out", required=True, metavar="FILE", help="model file to write")
    add("--scores", type=Path, metavar="FILE", help="what evaluate --json wrote for this model")
    add(
        "--on",
        choices=("clean", "dfdc_like", "both"),
        default="clean",
        help="unaltered pictures (default), 79 %% altered, or both",
    )
    add(
        "--real-as-fake",
        type=_fraction,
        default=0.05,
        metavar="S",
        help="share of the real faces that may be called fake (default: 0.05)",
    )
    add(
        "--fake-as-real",
        type=_fraction,
        default=0.05,
        metavar="S",
        help="share of the fakes that may be called real (default: 0.05)",
    )
    add("--model-name", metavar="TEXT", help="name for people (default: as it is)")
    _add_pictures(parser)
    parser.set_defaults(run=_with_evaluation("run_calibrate"))


def _add_compare(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "compare",
        help="compare models by their evaluations, alone and together",
        description="Prints the AUC of every model in every cell, of all models together, and "
        "the\ndifferences from the first, with intervals of paired data. Needs the packages of\n"
        "requirements-evaluate.txt.",
        examples=_COMPARE_EXAMPLES,
    )
    add = parser.add_argument
    add("reports", type=Path, nargs="+", metavar="FILE", help="what evaluate --json wrote")
    add(
        "--how",
        choices=("mean-logit", "mean-prob"),
        default="mean-logit",
        help="what all together are: the mean of log-odds (default) or of probabilities",
    )
    add("--bootstrap", type=_rounds, default=1000, metavar="N", help="resamples (default: 1000)")
    parser.set_defaults(run=_with_evaluation("run_compare"))


def _count(text: str) -> int:
    return _integers(1, 0, 10**9)(text)[0]


def _jobs(text: str) -> int:
    return _integers(1, 1, 256)(text)[0]


def _rounds(text: str) -> int:
    return _integers(1, 10, 100_000)(text)[0]


def _quality(text: str) -> int:
    return _integers(1, 0, 100)(text)[0]


def _fraction(text: str) -> float:
    (value,) = _reals(1)(text)
    if not 0 <= value < 0.5:
        raise argparse.ArgumentTypeError(f"{text!r} is not from 0 to below 0.5")
    return value


def _cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _outputs(text: str) -> int:
    return _integers(1, 1, 65536)(text)[0]


def build_parser() -> argparse.ArgumentParser:
    from . import verify

    parser = _Parser(
        prog="python3 -m weights_tools",
        examples=_EXAMPLES,
        description="Converts PyTorch checkpoints of EfficientNet into dfnet model files.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    convert_parser = commands.add_parser(
        "convert",
        help="make a model file from a checkpoint",
        description="Makes a model file from a checkpoint. Nothing in the checkpoint is executed.",
        examples=_CONVERT_EXAMPLES,
    )
    _add_convert(convert_parser)
    convert_parser.set_defaults(run=_run_convert)

    mtcnn_parser = commands.add_parser(
        "convert-mtcnn",
        help="make the face detector's file from the package facenet-pytorch",
        description="Makes the face detector's model file from the weights in the PyPI package "
        "facenet-pytorch (MIT). The package is neither imported nor executed.",
        examples=_MTCNN_EXAMPLES,
    )
    add = mtcnn_parser.add_argument
    add("-o", "--out", required=True, metavar="FILE", help="model file to write (.safetensors)")
    add(
        "--package",
        metavar="PATH",
        help="its wheel, or a folder with pnet.pt, rnet.pt and onet.pt "
        "(default: the installed package)",
    )
    add("--dtype", choices=("f32", "f16"), default="f32", help="of the weights (default: f32)")
    add("-q", "--quiet", action="store_true", help="do not tell what was read")
    mtcnn_parser.set_defaults(run=_run_convert_mtcnn)

    _add_random(commands)

    info_parser = commands.add_parser(
        "info",
        help="print everything about a model file",
        description="Checks a model file and prints everything about it.",
        examples=_INFO_EXAMPLES,
    )
    info_parser.add_argument("file", metavar="FILE")
    info_parser.add_argument("--json", action="store_true", help="as one JSON object")
    info_parser.set_defaults(run=_run_info)

    verify_parser = commands.add_parser(
        "verify",
        help="compare a model file with the library",
        description="Computes a model's logits in several ways and compares them.",
        examples=_VERIFY_EXAMPLES,
    )
    verify.add_arguments(verify_parser)
    verify_parser.set_defaults(run=_run_verify)

    _add_evaluate(commands)
    _add_calibrate(commands)
    _add_compare(commands)
    return parser


def main(arguments: list[str] | None = None) -> int:
    from .errors import InputRefused
    from .model_file import ModelFileError

    # A label or a file name may hold what the terminal's encoding has not.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        args = build_parser().parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        return args.run(args)
    except (InputRefused, ModelFileError) as error:
        print(_one_line(str(error)), file=sys.stderr)
    except MemoryError:
        print("not enough memory for this file", file=sys.stderr)
    except BrokenPipeError:
        # The reader of our output (head, less) went away; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(_one_line(f"{where}{error.strerror or error}"), file=sys.stderr)
    return REFUSED


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


if __name__ == "__main__":
    sys.exit(main())
