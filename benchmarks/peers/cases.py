"""What is compared, and the figures that samples make. Pure: needs nothing installed.

Called by every module of the package and tested by benchmarks/tests/test_peers.py.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from weights_tools.arch import Architecture, variant

#: Torchvision's padding. Asymmetric padding would cost some peers an operator of its own.
PADDING = "sym"
OUTPUTS = 1000
SEED = 1

#: Largest difference of a logit from float64, relative to the largest logit (FORMAT.md,
#: section 6, allows the same).
TOLERANCE = 1e-4

DEFAULT_NETS = "b0@224,b4@380,b7@380,lite0@224"


@dataclass(frozen=True)
class Net:
    """A network of the family at one square input size, with random weights."""

    name: str
    size: int

    def __str__(self) -> str:
        return f"{self.name}@{self.size}"

    @staticmethod
    def parse(text: str) -> Net:
        """`b0@224`; ValueError if it is not that or the network is unknown."""
        match = re.fullmatch(r"([a-z0-9-]+)@(\d{2,4})", text)
        if not match or not 32 <= int(match[2]) <= 4096:
            raise ValueError(f"{text!r} is not NET@SIZE, for example b0@224")
        net = Net(match[1], int(match[2]))
        if any(stage.type != "mb" for stage in net.arch().stages):
            raise ValueError(f"{text!r}: the peers' networks have no fused blocks")
        return net

    def arch(self) -> Architecture:
        """ArchitectureError (a ValueError) for a name that does not exist."""
        return variant(self.name, OUTPUTS)

    def macs(self) -> int:
        """Multiply-adds of one picture."""
        return self.arch().macs(self.size, self.size, PADDING)

    def folder(self, root: Path) -> Path:
        """Where its files are kept; other weights are another folder."""
        return root / f"{self.name}-{self.size}-{PADDING}{SEED}"


@dataclass(frozen=True)
class Case:
    """One comparison: every engine runs this."""

    net: Net
    threads: int
    batch: int

    def __str__(self) -> str:
        plural = "" if self.threads == 1 else "s"
        return f"{self.net}, {self.threads} thread{plural}, batch {self.batch}"

    @property
    def macs(self) -> int:
        """Multiply-adds of one run."""
        return self.net.macs() * self.batch


def cases(
    nets: Sequence[Net], threads: Sequence[int], batches: Sequence[int], every: bool
) -> list[Case]:
    """All cases. Batches above 1 are only for the first network, unless `every`."""
    return [
        Case(net, t, batch)
        for batch in batches
        for net in nets
        for t in threads
        if batch == 1 or every or net == nets[0]
    ]


def turn(order: Sequence[str], number: int) -> list[str]:
    """Engines of round `number`: rotated, so that each is first, and last, equally often."""
    shift = number % len(order) if order else 0
    return [*order[shift:], *order[:shift]]


def runs_a_turn(seconds: float, one_run: float) -> int:
    """How many runs fill a turn; at least 1, at most 200."""
    return max(1, min(200, round(seconds / one_run))) if one_run > 0 else 1


def agrees(difference: float, largest: float) -> bool:
    """Whether logits are within the tolerance of the float64 ones; NaN never is."""
    return difference <= TOLERANCE * largest


@dataclass
class Row:
    """One engine in one case. Times in ns of one run (all of the batch), memory in bytes."""

    engine: str
    version: str
    threads_used: float = 0.0  # CPU time by wall time of the timed runs
    difference: float = 0.0  # of a logit from float64, absolute
    largest: float = 0.0  # logit of the reference
    samples: list[int] = field(default_factory=list)
    first: list[int] = field(default_factory=list)  # load to first result, one a start
    memory: int = 0  # resident, loaded and run, less what the import alone takes
    memory_peak: int = 0  # the same, at the highest moment
    library: int = 0  # size of the engine's own shared libraries that were loaded
    error: str = ""  # why there are no figures

    @property
    def best(self) -> float:
        """Fastest run."""
        return min(self.samples)

    @property
    def median(self) -> float:
        """Middle run; shows the noise."""
        return statistics.median(self.samples)

    def as_json(self, case: Case, peak: float) -> dict[str, object]:
        """Everything, and what follows from it. peak: FLOP/s of as many threads."""
        result = asdict(self)
        if self.samples:
            result |= {
                "min_ms": self.best / 1e6,
                "median_ms": self.median / 1e6,
                "images_per_second": case.batch / self.best * 1e9,
                "gflops": gflops(case.macs, self.best),
                "share_of_peak": share(case.macs, self.best, peak),
            }
        if self.first:
            result["load_to_first_ms"] = min(self.first) / 1e6
        return result


def gflops(macs: int, ns: float) -> float:
    """Rate of a run; a multiply-add is two operations."""
    return 2 * macs / ns


def share(macs: int, ns: float, peak: float) -> float:
    """Part of `peak` GFLOP/s that a run reached; 0 if the peak is not known."""
    return gflops(macs, ns) / peak if peak > 0 else 0.0


def busy(case: Case, rows: Sequence[Row]) -> bool:
    """Whether something else had the processors: an engine of one thread that is alone uses
    all of one processor in its best turn."""
    used = [row.threads_used for row in rows if row.samples and not row.error]
    return case.threads == 1 and bool(used) and min(used) < 0.9


def fastest(rows: Sequence[Row], own: str = "dfnet") -> Row | None:
    """The fastest engine that is not this library's."""
    peers = [r for r in rows if r.samples and not r.error and not r.engine.startswith(own)]
    return min(peers, key=lambda row: row.best, default=None)
