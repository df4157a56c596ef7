"""What the style checks share: which files there are, and C without its comments.

Imported by every check_*.py of this folder. Python's standard library only, so that the
checks run wherever meson runs.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

C_FOLDERS = ("include", "lib", "kernels", "examples", "benchmarks", "tests")
# Built, fetched or another tool's: never ours to judge.
SKIPPED = re.compile(r"^(build.*|san.*|subprojects|shared|__pycache__|\..*|.*\.egg-info)$")
# A comment, or a string or character literal; whichever begins first wins.
TOKEN = re.compile(
    r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'",
    re.DOTALL,
)


def files(root: Path, suffixes: tuple[str, ...], folders: tuple[str, ...] = ("",)) -> list[Path]:
    """Files below root (or these folders of it) whose names end so, sorted."""
    found = []
    for folder in folders:
        for where, names, leaves in os.walk(root / folder):
            names[:] = sorted(n for n in names if not SKIPPED.match(n))
            found += [Path(where) / leaf for leaf in leaves if leaf.endswith(suffixes)]
    return sorted(set(found))


def blank(text: str) -> str:
    """The same number of lines and columns, all of them empty."""
    return re.sub(r"[^\n]", " ", text)


def without_comments(text: str, keep_strings: bool = False) -> str:
    """C source with comments (and the insides of strings) blanked; positions stay."""

    def replace(match: re.Match[str]) -> str:
        token = match.group()
        if token.startswith("/"):
            return blank(token)
        return token if keep_strings else token[0] + blank(token[1:-1]) + token[-1]

    return TOKEN.sub(replace, text)


def comments(text: str) -> Iterator[tuple[int, str]]:
    """(line number, comment) of each comment."""
    for match in TOKEN.finditer(text):
        if match.group().startswith("/"):
            yield text.count("\n", 0, match.start()) + 1, match.group()


def without_preprocessor(code: str) -> str:
    """Directives and their continuation lines blanked."""
    lines = code.split("\n")
    inside = False
    for i, line in enumerate(lines):
        directive = inside or line.lstrip().startswith("#")
        inside = directive and line.endswith("\\")
        if directive:
            lines[i] = ""
    return "\n".join(lines)


@dataclass
class Function:
    """A function definition: where it is and how long, signature and braces included."""

    name: str
    line: int
    length: int


def functions(text: str) -> list[Function]:
    """Definitions in the project's layout: the body's braces stand alone in column 1."""
    lines = without_preprocessor(without_comments(text)).split("\n")
    found = []
    for i, line in enumerate(lines):
        if line.rstrip() != "{":
            continue
        first = i
        while first > 0 and lines[first - 1].strip() and lines[first - 1][0] not in "}#":
            first -= 1
        end = next((j for j in range(i, len(lines)) if lines[j].startswith("}")), len(lines) - 1)
        head = " ".join(lines[first:i])
        name = re.search(r"START_TEST\((\w+)", head) or re.search(r"(\w+)\s*\(", head)
        found.append(Function(name.group(1) if name else "?", first + 1, end - first + 1))
    return found


def report(problems: list[str], what: str) -> int:
    """Prints the problems and a closing line; the exit status."""
    for problem in problems:
        print(problem)
    print(f"{what}: {len(problems)} problems" if problems else f"{what}: fine")
    return 1 if problems else 0


def expect(cases: list[tuple[str, bool, list[str]]]) -> int:
    """Self-test: each case is (name, must there be problems, the problems found)."""
    failed = [
        f"{name}: expected {'a problem' if bad else 'none'}, got {got or 'none'}"
        for name, bad, got in cases
        if bool(got) != bad
    ]
    return report(failed, f"self-test of {len(cases)} cases")


def main(check: Callable[[Path], int], self_test: Callable[[], int]) -> int:
    """`check_x.py [ROOT]` or `check_x.py --self-test`."""
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2]
    return check(root.resolve())
