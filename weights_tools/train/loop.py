"""The training run: batches, loss, average, schedule, validation, checkpoints.

Called by the commands `fit` and `ablate`. A run has a folder:

    checkpoint.pth   network, optimiser, average, step: written whole, every `save_every` seconds
    history.jsonl    a line for each validation: step, seconds, loss, AUC of every kind
    best.pth, last.pth   the averaged weights, efficientnet_pytorch's names

A killed run goes on at its last checkpoint with the batches that it would have seen. Seconds and
weights of a resumed run differ from an uninterrupted one's in the last bits only where torch's
own sums depend on the number of threads.

Several processes of one thread each share a run (`world`): each takes its part of every batch,
and the gradients are averaged once a step. On a busy machine this is far faster than threads
inside the operators, which wait for each other hundreds of times a step. Batch normalisation
sees a process's own part; the first process's statistics are kept.
"""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.distributed as distributed
import torch.nn.functional as functional
from tqdm import tqdm

from . import attention, heldout, metrics, sets, wsdan
from .augment import MEAN, STD
from .data import Pairs
from .network import Network, initial_weights, start_from
from .recipe import Recipe, read
from .wsdan import WsDan

_CROP_WEIGHT, _DROP_WEIGHT = 1 / 3, 1 / 2  # of the raw pictures' loss; spec: WS-DAN as by WM
#: Validation kinds whose mean AUC chooses best.pth.
_CHOSEN_BY = ("composite", "portrait-matched", "fine", "graft")


def build(recipe: Recipe, initial: Path) -> Network | WsDan:
    """The recipe's network with the initial weights."""
    settings = {"drop_path": recipe.drop_path, "dropout": recipe.dropout}
    weights = initial_weights(initial)
    if recipe.maps:
        attending = WsDan(recipe.network, recipe.maps, **settings)
        wsdan.start(attending, weights)
        return attending.to(memory_format=torch.channels_last)
    network = Network(recipe.network, **settings)
    start_from(network, weights)
    return network.to(memory_format=torch.channels_last)


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Bytes [n, h, w, 3] to the network's input [n, 3, h, w], channels last in memory."""
    x = images.permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


def logits(
    network: Network | WsDan, images: np.ndarray, *, flip: bool = False, twice: bool = False
) -> np.ndarray:
    """Scores [n] of uint8 [n, h, w, 3]; with `flip` the mean with the mirror images', with
    `twice` (WS-DAN only) of two looks each."""
    network.eval()
    score = network.look_twice if twice else network
    result = []
    with torch.inference_mode():
        for first in range(0, len(images), 32):
            x = normalise(torch.from_numpy(images[first : first + 32]))
            y = score(x)
            result.append((y + score(x.flip(3))) / 2 if flip else y)
    return torch.cat(result).numpy()


def rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step."""
    number, first = recipe.phase(step)
    phase = recipe.phases[number]
    done = (step - first) / phase.steps
    value = phase.rate_end + (phase.rate - phase.rate_end) * (1 + math.cos(math.pi * done)) / 2
    return value * min(1.0, (step + 1) / recipe.warmup)


def _one_thread(_worker: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


class Run:
    """One run in one folder; `fit()` goes on from where it stopped."""

    def __init__(
        self,
        recipe: Recipe,
        cache: Path,
        folder: Path,
        initial: Path,
        *,
        workers: int = 1,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if recipe.pairs % world:
            raise ValueError(f"{recipe.pairs} pairs cannot be shared by {world} processes")
        self.rank, self.world = rank, world
        self.recipe, self.cache, self.folder, self.workers = recipe, cache, folder, workers
        torch.manual_seed(recipe.seed)
        self.network = build(recipe, initial)
        self.average = copy.deepcopy(self.network).eval()
        # WS-DAN's only: where its classes' vectors gather; changed in place.
        self.centres = wsdan.centres_of(self.network) if recipe.maps else None
        head = {self.network.fc.weight} if recipe.maps else set()
        others = [p for p in self.network.parameters() if p not in head]
        decayed = [p for p in others if p.ndim > 1]
        plain = [p for p in others if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": recipe.weight_decay, "share": 1.0},
            {"params": plain, "weight_decay": 0.0, "share": 1.0},
        ]
        if head:
            decay = {"weight_decay": recipe.weight_decay, "share": recipe.head_rate}
            groups.append({"params": list(head), **decay})
        self.optimiser = torch.optim.AdamW(groups)
        self.step, self.seconds, self.best = 0, 0.0, 0.0
        self.losses: list[float] = []
        self._resume()

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pth"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.centres is not None:
            self.centres.copy_(state["centres"])
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]

    def save(self) -> None:
        """Write checkpoint.pth beside its place, then rename."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
        }
        if self.centres is not None:
            state["centres"] = self.centres
        path = self.folder / "checkpoint.pth"
        torch.save(state, path.with_suffix(".new"))
        os.replace(path.with_suffix(".new"), path)

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        r = self.recipe
        while self.step < r.steps:
            number, first = r.phase(self.step)
            phase = r.phases[number]
            pairs = Pairs(
                self.cache,
                phase.kinds or r.kinds,
                r.reals,
                seed=(r.seed, self.rank),
                pairs=r.pairs // self.world,
                size=phase.size,
                steps=range(self.step, first + phase.steps),
                mixup=r.mixup,
                strength=r.strength,
                harsh=phase.harsh,
            )
            loader = torch.utils.data.DataLoader(
                pairs,
                batch_size=None,
                num_workers=self.workers,
                worker_init_fn=_one_thread,
                # Spawned ones would be sent gigabytes of pictures.
                multiprocessing_context="fork" if self.workers else None,
                prefetch_factor=4 if self.workers else None,
            )
            yield from loader

    def fit(self, *, save_every: float = 180.0) -> None:
        """Train to the recipe's last step."""
        started, saved = time.monotonic() - self.seconds, time.monotonic()
        bar = tqdm(total=self.recipe.steps, initial=self.step, mininterval=10, desc="fit")
        bar.disable = bar.disable or self.rank > 0
        for images, targets, kinds in self._batches():
            self.losses.append(self._train(images, targets, kinds))
            self.step += 1
            self.seconds = time.monotonic() - started
            bar.update()
            if self.step % 20 == 0:
                bar.set_postfix(loss=f"{np.mean(self.losses[-100:]):.3f}")
            if self.rank:
                continue
            last = self.step == self.recipe.steps
            every = self.recipe.validate_every
            if every and (last or self.step % every == 0):
                self.validate()
            if last or time.monotonic() - saved > save_every:
                self.save()
                saved = time.monotonic()
        bar.close()
        if self.rank == 0:
            torch.save(self.average.state_dict(), self.folder / "last.pth")

    def _train(self, images: torch.Tensor, targets: torch.Tensor, kinds: torch.Tensor) -> float:
        r = self.recipe
        # The same draws whether the run was interrupted or not.
        torch.manual_seed((r.seed * 1_000_003 + self.step) * self.world + self.rank)
        generator = torch.Generator().manual_seed(r.seed * 7_919 + self.step)
        self.network.train()
        for group in self.optimiser.param_groups:
            group["lr"] = rate(r, self.step) * group.get("share", 1.0)
        x = normalise(images)
        smooth = targets * (1 - r.label_smoothing) + r.label_smoothing / 2
        self.optimiser.zero_grad()
        if self.centres is not None:
            second = bool(r.attention) and float(torch.rand((), generator=generator)) < r.attention
            draws = (x, targets, smooth, generator)
            loss = wsdan.backward(
                self.network, self.centres, *draws, second=second, centre=r.centre
            )
        else:
            loss = self._backward(x, smooth, generator)
        if self.world > 1:
            self._share_gradients()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), r.clip)
        self.optimiser.step()
        self._update_average()
        return loss

    def _backward(
        self, x: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> float:
        features = self.network.features(x)
        raw = functional.binary_cross_entropy_with_logits(self.network.classify(features), targets)
        raw.backward()
        share = self.recipe.attention
        if share and float(torch.rand((), generator=generator)) < share:
            self._attend(x, features.detach(), targets, generator)
        return float(raw.detach())

    def _share_gradients(self) -> None:
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        distributed.all_reduce(flat)
        flat /= self.world
        for g, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            g.copy_(part.view_as(g))

    def _attend(
        self,
        x: torch.Tensor,
        features: torch.Tensor,
        targets: torch.Tensor,
        generator: torch.Generator,
    ) -> None:
        """A second pass over the batch with attention cropping or dropping, by a coin."""
        maps = attention.maps_of(features, self.network._fc.weight[0], self.recipe.attention_maps)
        crops = float(torch.rand((), generator=generator)) < 0.5
        step = attention.crop if crops else attention.drop
        seen = step(x, maps, generator).contiguous(memory_format=torch.channels_last)
        loss = functional.binary_cross_entropy_with_logits(self.network(seen), targets)
        ((_CROP_WEIGHT if crops else _DROP_WEIGHT) * loss).backward()

    @torch.no_grad()
    def _update_average(self) -> None:
        phase = self.recipe.phases[self.recipe.phase(self.step)[0]]
        most = phase.average or self.recipe.average
        keep = min(most, (1 + self.step) / (10 + self.step))
        own = self.network.state_dict()
        for name, value in self.average.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(own[name], 1 - keep)
            else:
                value.copy_(own[name])

    def validate(self) -> dict[str, float]:
        """AUC of the averaged weights for each kind; writes a line and perhaps best.pth."""
        size = self.recipe.phases[self.recipe.phase(self.step - 1)[0]].size
        kept = getattr(self, "_kept", None)
        if kept is None or kept[0] != size:
            kept = self._kept = (size, heldout.load(self.cache, sets.VALIDATION, size))
        line: dict[str, float] = {
            "step": self.step,
            "seconds": round(self.seconds, 1),
            "size": size,
            "rate": rate(self.recipe, self.step - 1),
            "loss": round(float(np.mean(self.losses[-self.recipe.validate_every :])), 4),
        }
        for name, (real, fake) in kept[1].items():
            a, b = logits(self.average, real), logits(self.average, fake)
            line[name] = round(metrics.auc(a, b), 4)
            if name == "composite":
                line["composite-log-loss"] = round(metrics.log_loss(a, b), 4)
        chosen = float(np.mean([line[k] for k in _CHOSEN_BY if k in line]))
        if chosen > self.best:
            self.best = chosen
            torch.save(self.average.state_dict(), self.folder / "best.pth")
        with (self.folder / "history.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        tqdm.write(json.dumps(line))
        return line


def _work(
    rank: int, processes: int, recipe: Path, cache: Path, folder: Path, initial: Path
) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    if processes > 1:
        distributed.init_process_group(
            "gloo",
            init_method=f"file://{folder}/rendezvous-{os.getppid()}",
            rank=rank,
            world_size=processes,
            timeout=timedelta(hours=6),  # validation, or a stopped process, may take long
        )
    Run(read(recipe), cache, folder, initial, rank=rank, world=processes).fit()


def fit_shared(recipe: Path, cache: Path, folder: Path, initial: Path, *, processes: int) -> None:
    """Follow a recipe's file in so many processes of one thread each, to its last step.

    Here and not in __main__.py, which new processes cannot import a function from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("rendezvous-*"):
        old.unlink()
    torch.multiprocessing.spawn(
        _work, (processes, recipe, cache, folder, initial), nprocs=processes
    )
