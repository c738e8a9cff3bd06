"""One training step of a search trial, and of a full training run, beside a bare PyTorch loop on resident tensors."""

from __future__ import annotations

import torch
from sidebyside import Ratio, in_turns
from torch import nn

from mmfuse.architecture import Architecture
from mmfuse.batch import Split
from mmfuse.models.assemble import build_model
from mmfuse.task import Modality, Task
from mmfuse.training.quick import quick_fit

TASK = Task(
    "bench",
    "multiclass",
    (Modality("image", "grid", (1, 28, 28)), Modality("audio", "grid", (1, 112, 112))),
    10,
    "accuracy",
)
CPU = torch.device("cpu")


def measure(*, quick: bool = False) -> list[Ratio]:
    """Seconds per epoch over the same samples, batches and model."""
    torch.set_num_threads(1)
    rounds = 1 if quick else 9
    found = []
    for name, params in _architectures(quick):
        model = Architecture("mixmas", params)
        split = _split(256 if quick else 1024)
        ours, bare = in_turns(
            lambda model=model, split=split: quick_fit(
                build_model(model, TASK), split, epochs=1, batch_size=64, learning_rate=1e-3, seed=0, device=CPU
            ),
            lambda model=model, split=split: _bare(build_model(model, TASK), split),
            rounds=rounds,
        )
        found.append(Ratio(f"search trial step / bare loop, {name}", ours, bare, goal=1.15))
    return found


def _architectures(quick: bool) -> list[tuple[str, dict]]:
    def mixmas(dim: int, patch: tuple[int, int], hidden: int, depth: int) -> dict:
        block = {"block": "mlp", "dim": dim, "depth": depth, "token_hidden": 32, "channel_hidden": hidden}
        network = {"block": "mlp", "depth": 1, "token_hidden": 32, "channel_hidden": hidden}
        encoders = {"image": {**block, "patch": patch[0]}, "audio": {**block, "patch": patch[1]}}
        return {"encoders": encoders, "fusion": "concat", "network": network}

    sizes = [("small size (dim 64)", mixmas(64, (7, 28), 128, 2))]
    if not quick:
        sizes.append(("tiny size (dim 16)", mixmas(16, (14, 56), 32, 1)))
    return sizes


def _split(samples: int) -> Split:
    generator = torch.Generator().manual_seed(0)
    inputs = {m.name: torch.randn(samples, *m.shape, generator=generator) for m in TASK.modalities}
    return Split(inputs, torch.randint(10, (samples,), generator=generator), torch.arange(samples))


def _bare(model: nn.Module, split: Split) -> None:
    """What anybody would write first: shuffle, cut, forward, backward, step."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for index in torch.randperm(len(split)).split(64):
        batch = split.batch(index)
        loss = model.loss(model(batch), batch)["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


if __name__ == "__main__":
    print(*measure(), sep="\n")
