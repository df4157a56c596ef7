"""Short runs with and without each ingredient, everything else alike. Called by `ablate`.

A row changes the recipe in one place; every row gets the same steps, picture size, batch and
seeds, and is tested on the test part. Rows named "without ... (unseen)" leave a source of fakes
out of training: their AUC on that source is the cross-generator or cross-dataset figure.
Written to OUT: results.jsonl, a line for each row and seed; finished ones are not run again.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import torch

from . import heldout, measure, metrics, sets
from .loop import Run
from .recipe import Phase, Recipe, RecipeError

_SWAPS = ("swap", "poisson")


def _without(recipe: Recipe, *kinds: str) -> Recipe:
    return dataclasses.replace(
        recipe, kinds={k: v for k, v in recipe.kinds.items() if k not in kinds}
    )


def rows(recipe: Recipe) -> dict[str, Recipe]:
    """Row name -> the recipe with one thing changed."""
    return {
        "all": recipe,
        "without attention cropping and dropping": dataclasses.replace(recipe, attention=0.0),
        "without self-blended faces": _without(recipe, "blend"),
        "without mixing": dataclasses.replace(recipe, mixup=0.0),
        "without own swaps (unseen)": _without(recipe, *_SWAPS),
        "without composites (unseen)": _without(recipe, "composite"),
        "without portraits (unseen)": _without(recipe, "portrait"),
        "without reconstructions (unseen)": _without(recipe, "recon", "fine"),
    }


def _short(recipe: Recipe, name: str, seed: int, steps: int, size: int) -> Recipe:
    phase = Phase(size=size, steps=steps, rate=recipe.phases[0].rate, rate_end=1e-5)
    return dataclasses.replace(
        recipe,
        name=name,
        seed=seed,
        phases=(phase,),
        warmup=max(1, steps // 10),
        average=0.98,  # a short run needs a short memory
        validate_every=0,
    )


def run(
    recipe: Recipe,
    cache: Path,
    out: Path,
    initial: Path,
    *,
    steps: int,
    size: int,
    seeds: list[int],
    only: list[str] | None = None,
) -> None:
    """Run what is missing, then print the table."""
    out.mkdir(parents=True, exist_ok=True)
    made = rows(recipe)
    unknown = [name for name in only or [] if name not in made]
    if unknown:
        raise RecipeError(f"{unknown[0]!r} is no row: {'; '.join(made)}")
    results = out / "results.jsonl"
    lines = [json.loads(x) for x in results.read_text().splitlines()] if results.exists() else []
    done = {(x["row"], x["seed"]) for x in lines}
    pictures = heldout.load(cache, sets.TEST, size)
    for seed in seeds:
        for name in only or list(made):
            if (name, seed) in done:
                continue
            folder = out / "run"
            shutil.rmtree(folder, ignore_errors=True)
            torch.set_num_threads(1)
            short = _short(made[name], name, seed, steps, size)
            trained = Run(short, cache, folder, initial)
            trained.fit(save_every=1e9)
            line = {"row": name, "seed": seed, "steps": steps, "size": size}
            scored = measure.scores(trained.average, pictures, altered=False)
            for kind, (real, fake) in scored.items():
                line[kind] = round(metrics.auc(real, fake), 4)
            lines.append(line)
            with results.open("a") as file:
                file.write(json.dumps(line) + "\n")
    _table(lines, list(made))


def _table(lines: list[dict[str, object]], names: list[str]) -> None:
    """A Markdown table: mean over the seeds and, behind the sign, half of their range."""
    if not lines:
        return
    kinds = [k for k in lines[0] if k not in ("row", "seed", "steps", "size")]
    print("| row | seeds | " + " | ".join(kinds) + " |")
    print("|---|---|" + "---|" * len(kinds))
    for name in names:
        own = [x for x in lines if x["row"] == name]
        if not own:
            continue
        cells = []
        for kind in kinds:
            values = np.array([float(str(x[kind])) for x in own])
            cells.append(f"{values.mean():.3f} ± {(values.max() - values.min()) / 2:.3f}")
        print(f"| {name} | {len(own)} | " + " | ".join(cells) + " |")
