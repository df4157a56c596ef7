"""A recipe: everything that decides how a model is trained, read from one TOML file.

Called by the commands in __main__.py. An unknown key is an error, so that a misspelt setting
cannot be ignored.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..arch import MAX_MAPS


class RecipeError(ValueError):
    """A recipe that cannot be followed; the message names the key."""


@dataclass(frozen=True)
class Phase:
    """A stretch of the run: `steps` batches of pictures of `size`; the learning rate goes from
    `rate` to `rate_end` along a half cosine. `kinds`, if there are any, replace the recipe's.
    `harsh`: pictures are also damaged as hard as the bench does it (augment.History.draw).
    `average`: the moving average's memory in this phase, 0: the recipe's. A short last phase
    needs a short one, or its average is still that of the phase before."""

    size: int
    steps: int
    rate: float
    rate_end: float
    kinds: dict[str, float] = field(default_factory=dict)
    harsh: bool = False
    average: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """See the fields; `pairs` is the number of real-fake pairs of a batch; `validate_every` 0
    is never. `attention` is the share of batches with a second, cropped or dropped pass.

    `maps` above 0 makes the network a WS-DAN (wsdan.py) with so many attention maps; `centre` is
    then the weight of the loss that draws a class together, `head_rate` the classifier's
    learning rate in parts of the others'."""

    name: str
    phases: tuple[Phase, ...]
    network: str = "lite0"
    seed: int = 1
    pairs: int = 16
    warmup: int = 200
    weight_decay: float = 0.02
    label_smoothing: float = 0.02
    drop_path: float = 0.05
    dropout: float = 0.2
    average: float = 0.998
    clip: float = 2.0
    strength: float = 1.0
    mixup: float = 0.0
    attention: float = 0.0
    attention_maps: int = 8
    maps: int = 0
    centre: float = 1.0
    head_rate: float = 1.0
    validate_every: int = 400
    kinds: dict[str, float] = field(default_factory=dict)
    reals: dict[str, float] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Of all phases."""
        return sum(p.steps for p in self.phases)

    def phase(self, step: int) -> tuple[int, int]:
        """(number of the phase that `step` is in, its first step)."""
        first = 0
        for number, phase in enumerate(self.phases):
            if step < first + phase.steps:
                return number, first
            first += phase.steps
        raise RecipeError(f"step {step} is behind the last of {self.steps}")


def parse(text: str) -> Recipe:
    """A recipe from TOML text; RecipeError says what is wrong."""
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"is not TOML: {error}") from error
    phases = table.pop("phases", [])
    try:
        made = tuple(Phase(**p) for p in phases)
    except TypeError as error:
        raise RecipeError(f"phases: {error}") from error
    known = {f.name for f in fields(Recipe)}
    for key in table:
        if key not in known:
            raise RecipeError(f"key {key!r} is not known; known are {', '.join(sorted(known))}")
    if not made or "name" not in table:
        raise RecipeError("name and at least one [[phases]] are needed")
    recipe = Recipe(phases=made, **table)
    if not recipe.kinds or min(recipe.kinds.values()) < 0 or not sum(recipe.kinds.values()):
        raise RecipeError("kinds: no share is above 0, or one is below")
    if not 0 <= recipe.maps <= MAX_MAPS:
        raise RecipeError(f"maps: is {recipe.maps}, allowed are 0 to {MAX_MAPS}")
    for phase in made:
        if phase.size % 32 or not 64 <= phase.size <= 512 or phase.steps < 1:
            raise RecipeError("phases: size is a multiple of 32, 64 to 512, and steps 1 or more")
    return recipe


def read(path: Path) -> Recipe:
    """The recipe in a file."""
    try:
        return parse(path.read_text())
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
