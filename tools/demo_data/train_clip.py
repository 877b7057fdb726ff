"""Trains the demo encoder on scenes drawn on the fly, one rendering held out.

The loss is CLIP's, with every fitting caption of the batch as a positive: a picture
fits a caption when it has every attribute that the caption states.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch.nn import functional
from torch.utils.data import DataLoader

from tools.demo_data import bpe, evaluate, sources, tower
from tools.demo_data.batches import Batches, Catalogue, caption_corpus
from tools.demo_data.catalogue import catalogue
from tools.demo_data.prompts import NOT_STATED

# Seed and number of the scenes on which the error is measured.
EVALUATION = (7, 4000)


@dataclass(frozen=True)
class Training:
    """A training run; the same values give the same weights on the same machine."""

    seed: int = 20260
    steps: int = 2400
    batch: int = 256
    peak_rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.05
    threads: int = 2
    size: tower.TowerSize = field(default_factory=tower.TowerSize)


def fits(facts: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """(images, captions) -> True where the image has all that the caption states."""
    stated = states[None, :, :] != NOT_STATED
    equal = facts[:, None, :] == states[None, :, :]
    return (equal | ~stated).all(dim=-1)


def loss_of(
    image: torch.Tensor, text: torch.Tensor, scale: torch.Tensor, fit: torch.Tensor
) -> torch.Tensor:
    """Cross entropy to the uniform distribution over fitting partners, both ways."""
    logits = scale * image @ text.T
    weight = fit.float()
    by_image = weight / weight.sum(dim=1, keepdim=True)
    by_text = (weight / weight.sum(dim=0, keepdim=True)).T
    return (
        functional.cross_entropy(logits, by_image) + functional.cross_entropy(logits.T, by_text)
    ) / 2


def rate_at(step: int, plan: Training) -> float:
    if step < plan.warmup:
        return plan.peak_rate * (step + 1) / plan.warmup
    progress = (step - plan.warmup) / max(1, plan.steps - plan.warmup)
    return plan.peak_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


def train(plan: Training, catalogue: Catalogue, packages: dict[str, Path], folder: Path) -> None:
    """Learns merges and weights and writes the checkpoint to `folder`."""
    torch.set_num_threads(plan.threads)
    tower.seed_everything(plan.seed)
    folder.mkdir(parents=True, exist_ok=True)
    merges = bpe.learn(caption_corpus(plan.seed, catalogue, 40_000), plan.size.n_merges)
    bpe.write(merges, folder / tower.BPE_FILE)
    text = json.dumps(tower.config(plan.size, len(merges)), indent=2) + "\n"
    (folder / tower.CONFIG_FILE).write_text(text, "utf-8")
    model = tower.build(plan.size, len(merges))
    n_parameters = sum(value.numel() for value in model.parameters())
    print(f"{plan.size.image_tower}: {n_parameters} parameters, {len(merges)} merges", flush=True)
    decayed = [p for n, p in model.named_parameters() if p.ndim >= 2 and "embedding" not in n]
    spared = [p for n, p in model.named_parameters() if p.ndim < 2 or "embedding" in n]
    optimiser = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": plan.weight_decay},
            {"params": spared, "weight_decay": 0.0},
        ],
        lr=plan.peak_rate,
        betas=(0.9, 0.98),
    )
    batches = Batches(
        catalogue, packages, tower.tokenizer(folder), (plan.seed, plan.steps, plan.batch)
    )
    loader = DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=4)
    started = time.monotonic()
    log: list[dict[str, float]] = []
    model.train()
    for step, (pixels, tokens, facts, states) in enumerate(loader):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, plan)
        images = pixels.float().div_(127.5).sub_(1.0).contiguous(memory_format=torch.channels_last)
        image, words, scale = model(images, tokens)
        loss = loss_of(image, words, scale, fits(facts, states))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        if step % 50 == 0 or step == plan.steps - 1:
            seconds = time.monotonic() - started
            log.append({"step": step, "loss": round(loss.item(), 4)})
            print(f"step {step} loss {loss.item():.4f} {seconds:.0f} s", flush=True)
        if step and step % 500 == 0:
            tower.save(model, plan.size, len(merges), folder)
    tower.save(model, plan.size, len(merges), folder)
    record = {"training": asdict(plan), "n_parameters": n_parameters, "log": log}
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def main() -> None:
    """Trains, then measures the error of what was saved."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo_data.train_clip")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    packages = sources.fetch_all(options.cache)
    drawn_from = catalogue(packages, options.out / "monk_by_drawing.csv")
    folder = options.out / "clip"
    train(Training(seed=options.seed), drawn_from, packages, folder)
    report = evaluate.evaluate(folder, drawn_from, packages, EVALUATION)
    evaluate.write(report, folder / "error.json")
    print(evaluate.headline(report))


if __name__ == "__main__":
    main()
