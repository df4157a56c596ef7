"""Short runs with and without each ingredient, everything else alike. Called by `ablate`.

A row changes the recipe in one place; every row gets the same steps, picture size, batch and
seeds, and is tested on the test part. Rows named "without ... (unseen)" leave a source of fakes
out of training: their AUC on that source is the cross-generator or cross-dataset figure.
Written to OUT: ROW-SEED.npz with the scores of every kind's reals and fakes; finished ones are not
run again. The table's intervals come from drawing seeds and pictures anew together.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import torch

from . import heldout, measure, metrics, sets
from .loop import Run
from .network import Network
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
    pictures = heldout.load(cache, sets.TEST, size)
    for seed in seeds:
        for name in only or list(made):
            if _file(out, name, seed).exists():
                continue
            folder = out / "run"
            shutil.rmtree(folder, ignore_errors=True)
            torch.set_num_threads(1)
            short = _short(made[name], name, seed, steps, size)
            trained = Run(short, cache, folder, initial)
            trained.fit(save_every=1e9)
            keep(out, name, seed, trained.average, pictures)
    table(out, list(made))


def _file(out: Path, name: str, seed: int) -> Path:
    return out / f"{name.replace(' ', '_')}-{seed}.npz"


def keep(
    out: Path,
    name: str,
    seed: int,
    network: Network,
    pictures: dict[str, tuple[np.ndarray, np.ndarray]],
) -> None:
    """Write the scores of a row's network."""
    scored = measure.scores(network, pictures, altered=False)
    columns = {}
    for kind, (real, fake) in scored.items():
        columns[f"{kind}/real"], columns[f"{kind}/fake"] = real, fake
    np.savez(_file(out, name, seed), **columns)


def table(out: Path, names: list[str]) -> None:
    """Print a Markdown table of OUT: mean AUC over the seeds with its interval; a * where the
    interval of the difference from the row "all" leaves out 0."""
    runs: dict[str, list[dict[str, np.ndarray]]] = {}
    for name in names:
        files = sorted(out.glob(f"{name.replace(' ', '_')}-[0-9]*.npz"))
        runs[name] = [dict(np.load(file)) for file in files]
    seen = [own[0] for own in runs.values() if own]
    if not seen:
        return
    kinds = [column.removesuffix("/real") for column in seen[0] if column.endswith("/real")]

    def pairs(name: str, kind: str) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(x[f"{kind}/real"], x[f"{kind}/fake"]) for x in runs[name]]

    print("| row | seeds | " + " | ".join(kinds) + " |")
    print("|---|---|" + "---|" * len(kinds))
    for name in names:
        if not runs[name]:
            continue
        cells = []
        for kind in kinds:
            own = pairs(name, kind)
            low, high = metrics.interval_of_runs(own)
            sign = ""
            if name != "all" and runs.get("all"):
                apart = metrics.interval_of_runs(own, pairs("all", kind))
                sign = "*" if apart[0] > 0 or apart[1] < 0 else ""
            mean = float(np.mean([metrics.auc(*pair) for pair in own]))
            cells.append(f"{mean:.3f}{sign} [{low:.3f}, {high:.3f}]")
        print(f"| {name} | {len(runs[name])} | " + " | ".join(cells) + " |")
