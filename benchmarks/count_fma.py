"""Counts instructions in the inner loops of the ARM kernels and compares them with their tile.

    benchmarks/count_fma.py BUILD            table of the kernels of a build folder for AArch64
    benchmarks/count_fma.py --check BUILD    also exit status 1 where a loop is worse than LIMITS

Speed on ARM cannot be measured on x86; what the compiler made of a tile can. Each kernel's
object is disassembled, and of the innermost loops (a backward branch around no other) that do
a tile's number of vector multiply-adds the shortest is counted:

    fma     fmla instructions, four floats each
    load    vectors or floats loaded, two by ldp
    stack   vectors loaded from or stored to the stack: sums that did not fit the registers
    store   vectors stored elsewhere
    move    from register to register, and zeros
    other   addresses, counting, branches, bias and activation

"ideal" is the tile's: its multiply-adds, each float of its window and weights loaded once for
each turn of the loop, the stores, and two instructions to count and branch; nothing else.

A core that starts two multiply-adds and four instructions in a cycle is kept busy by its
multiply-adds if there are at most two instructions for each.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
INSTRUCTION = re.compile(r"^\s+([0-9a-f]+):\s+(\S+)\s*(.*)$")
TARGET = re.compile(r"\b([0-9a-f]+) <")
LOADS = {"ldr": 1, "ldur": 1, "ld1": 1, "ld1r": 1, "ldp": 2}
STORES = {"str": 1, "stur": 1, "st1": 1, "stp": 2}
VECTOR = re.compile(r"^\{?[qvds]\d")
STACK = re.compile(r"\[(sp|x29)\b")


@dataclass(frozen=True)
class Instruction:
    address: int
    name: str
    operands: str


@dataclass(frozen=True)
class Counts:
    total: int
    fma: int
    load: int
    stack: int
    store: int
    move: int
    memory: int  # instructions that load or store, of which ldp and stp move two

    @property
    def other(self) -> int:
        return self.total - self.fma - self.move - self.memory


@dataclass(frozen=True)
class Tile:
    """One inner loop: where it is, and what a turn of it must do at least."""

    name: str
    function: str  # a pattern for the whole name
    fma: int
    load: int
    store: int = 0

    @property
    def ideal(self) -> int:
        return self.fma + self.load + self.store + 2


def pointwise(pixels: int, vectors: int) -> Tile:
    """Four input channels: a load for each pixel, one for each vector of weights."""
    fma, load = 4 * pixels * vectors, pixels + 4 * vectors
    return Tile(f"pointwise {pixels} x {4 * vectors}", r"dfn_pw_.*", fma, load)


def depthwise(kernel: int, stride: int) -> Tile:
    """2 x 4 pixels: window, weights, bias; each pixel is stored. Not counted among the least:
    the sums for squeeze-excite, and bias and activation, 2 instructions a pixel or more."""
    window = (stride + kernel) * (3 * stride + kernel)
    taps = kernel * kernel
    name = f"depthwise {kernel}x{kernel} stride {stride}, 2 x 4"
    return Tile(name, rf"dfn_dw_k{kernel}_s{stride}", 8 * taps, window + taps + 1, 8)


# What is written in kernels/arm/, object by object.
TILES = {
    "pointwise_neon": [pointwise(6, 4), pointwise(5, 4), pointwise(4, 4), pointwise(8, 2),
                       pointwise(7, 2)],
    "conv_neon": [Tile("dense 6 x 16", r".*", 96, 22)],
    "dwconv_neon": [depthwise(3, 1), depthwise(3, 2), depthwise(5, 1), depthwise(5, 2)],
    "reduce_neon": [Tile("fully connected 4 x 16", r"dfn_fc_any.*", 16, 20)],
}  # fmt: skip
# No vector of a loop may go over the stack more often than this, and no loop may be longer
# than so many times its ideal: a tenth above what gcc 12 makes of the worst.
STACK_LIMIT = 4
LENGTH_LIMIT = {"pointwise_neon": 1.25, "conv_neon": 1.2, "dwconv_neon": 1.9, "reduce_neon": 1.2}


def functions(listing: str) -> Iterator[tuple[str, list[Instruction]]]:
    """Name and instructions of each function that objdump -d listed."""
    name, body = "", []
    for line in listing.splitlines():
        if found := FUNCTION.match(line):
            if body:
                yield name, body
            name, body = found[1], []
        elif found := INSTRUCTION.match(line):
            body.append(Instruction(int(found[1], 16), found[2], found[3]))
    if body:
        yield name, body


def innermost(body: list[Instruction]) -> Iterator[list[Instruction]]:
    """The loops that hold no other."""
    loops = set()
    for at in body:
        if at.name == "b" or at.name.startswith(("b.", "cb", "tb")):
            found = TARGET.search(at.operands)
            if found and body[0].address <= int(found[1], 16) <= at.address:
                loops.add((int(found[1], 16), at.address))
    for first, last in sorted(loops):
        if not any(first <= a and b <= last and (a, b) != (first, last) for a, b in loops):
            yield [i for i in body if first <= i.address <= last]


def count(loop: Iterable[Instruction]) -> Counts:
    total = fma = load = stack = store = move = memory = 0
    for i in loop:
        total += 1
        vector = VECTOR.match(i.operands) is not None
        vectors = LOADS.get(i.name, 0) + STORES.get(i.name, 0) if vector else 0
        memory += vectors > 0
        if i.name == "fmla":
            fma += 1
        elif vectors and STACK.search(i.operands):
            stack += vectors
        elif vectors and i.name in LOADS:
            load += vectors
        elif vectors:
            store += vectors
        elif i.name in ("mov", "movi") and vector:
            move += 1
    return Counts(total, fma, load, stack, store, move, memory)


def best_loop(listing: str, tile: Tile) -> Counts | None:
    """The shortest loop that can be the tile's; None if there is none."""
    loops = [
        count(loop)
        for name, body in functions(listing)
        if re.fullmatch(tile.function, name)
        for loop in innermost(body)
    ]
    fitting = [c for c in loops if c.fma == tile.fma and c.load >= tile.load]
    return min(fitting, key=lambda c: c.total, default=None)


def row(tile: Tile, c: Counts) -> str:
    return (
        f"{tile.name:<32}{c.fma:>5}{c.load:>6}{c.stack:>7}{c.store:>7}{c.move:>6}{c.other:>7}"
        f"{c.total / c.fma:>10.2f}{tile.ideal / tile.fma:>7.2f}{c.total / tile.ideal:>8.2f}"
    )


HEAD = (
    f"{'loop':<32}{'fma':>5}{'load':>6}{'stack':>7}{'store':>7}{'move':>6}{'other':>7}"
    f"{'per fma':>10}{'ideal':>7}{'times':>8}"
)


def problems(part: str, tile: Tile, c: Counts | None) -> Iterator[str]:
    if c is None:
        yield f"{tile.name}: no loop of {tile.fma} multiply-adds and {tile.load} loads"
        return
    if c.stack > STACK_LIMIT:
        yield f"{tile.name}: {c.stack} vectors go over the stack, {STACK_LIMIT} may"
    if c.total > LENGTH_LIMIT[part] * tile.ideal:
        yield f"{tile.name}: {c.total} instructions, {LENGTH_LIMIT[part]} x {tile.ideal} may be"


def disassemble(build: Path, part: str, tool: str) -> str:
    found = sorted(build.glob(f"kernels/**/arm_{part}.c.o"))
    if not found:
        sys.exit(f"count_fma: no object of {part} in {build}: is it a build for AArch64?")
    command = [tool, "-d", "--no-show-raw-insn", str(found[0])]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("build", type=Path, metavar="BUILD")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--objdump", default="aarch64-linux-gnu-objdump", metavar="PROGRAM")
    options = parser.parse_args(arguments)
    bad: list[str] = []
    print(HEAD)
    for part, tiles in TILES.items():
        listing = disassemble(options.build, part, options.objdump)
        for tile in tiles:
            c = best_loop(listing, tile)
            bad += problems(part, tile, c)
            if c:
                print(row(tile, c))
    print("\n".join(bad), file=sys.stderr, end="\n" if bad else "")
    return 1 if bad and options.check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
