"""benchmarks/count_fma.py, on listings written here."""

from __future__ import annotations

import pytest

from benchmarks import count_fma
from benchmarks.count_fma import Tile

TILE = Tile("two", r"two_.*", fma=2, load=3)


def listing(*names: str, function: str = "two_loops") -> str:
    """An outer loop around one of these instructions, as objdump prints them."""
    body = ["mov x0, #0x0", *names, "add x0, x0, #0x4", "b.ne 4 <f+0x4>", "b.cc 0 <f>", "ret"]
    lines = [f"   {4 * i:x}:\t{text.replace(' ', chr(9), 1)}" for i, text in enumerate(body)]
    return "\n".join([f"0000000000000000 <{function}>:", *lines])


GOOD = ("ldp q0, q1, [x1]", "ldr q2, [x2], #16", "fmla v3.4s, v0.4s, v2.s[0]",
        "fmla v4.4s, v1.4s, v2.s[1]")  # fmt: skip


def test_counts_the_innermost_loop_only() -> None:
    c = count_fma.best_loop(listing(*GOOD), TILE)
    assert c is not None
    assert (c.total, c.fma, c.load, c.stack, c.store, c.move, c.other) == (6, 2, 3, 0, 0, 0, 2)
    assert list(count_fma.problems("pointwise_neon", TILE, c)) == []


def test_stack_moves_and_stores_are_told_apart() -> None:
    more = ("str q3, [sp, #16]", "mov v5.16b, v3.16b", "movi v6.4s, #0x0", "stp q3, q4, [x3]")
    c = count_fma.best_loop(listing(*GOOD, *more), TILE)
    assert c is not None
    assert (c.stack, c.move, c.store, c.other) == (1, 2, 2, 2)


@pytest.mark.parametrize(
    "names",
    [
        GOOD[:-1],  # a multiply-add is missing
        GOOD[1:],  # loads are missing
        (),
    ],
)
def test_a_loop_of_another_tile_is_a_problem(names: tuple[str, ...]) -> None:
    c = count_fma.best_loop(listing(*names), TILE)
    assert c is None
    assert list(count_fma.problems("pointwise_neon", TILE, c))


def test_other_functions_do_not_count() -> None:
    assert count_fma.best_loop(listing(*GOOD, function="three_loops"), TILE) is None


def test_spilled_sums_and_long_loops_are_problems() -> None:
    spilled = count_fma.best_loop(listing(*GOOD, *["ldr q3, [sp, #16]"] * 5), TILE)
    long = count_fma.best_loop(listing(*GOOD, *["add x5, x5, #0x1"] * 3), TILE)
    assert len(list(count_fma.problems("pointwise_neon", TILE, spilled))) == 2
    assert len(list(count_fma.problems("pointwise_neon", TILE, long))) == 1


def test_the_shortest_of_several_loops_counts() -> None:
    both = listing(*GOOD, "add x5, x5, #0x1") + "\n\n" + listing(*GOOD, function="two_again")
    c = count_fma.best_loop(both, TILE)
    assert c is not None and c.total == 6
