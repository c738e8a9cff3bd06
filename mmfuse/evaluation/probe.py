"""A linear probe: what logistic regression reads from frozen embeddings (Alain and Bengio, arXiv 1610.01644)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

DECAY = 1e-3
"""Weight of the squared length of the weights; embeddings have length 1 per modality."""
ITERATIONS = 200


def probe_accuracy(seen: Tensor, seen_class: Tensor, shown: Tensor, shown_class: Tensor) -> float:
    """Share of ``shown`` (N, D) that a logistic regression fitted to ``seen`` (S, D) puts into the right class."""
    outputs = int(torch.maximum(seen_class.max(), shown_class.max())) + 1
    mean, deviation = seen.mean(0), seen.std(0).clamp(min=1e-6)
    seen, shown = (seen - mean) / deviation, (shown - mean) / deviation
    weight = torch.zeros(outputs, seen.shape[1], device=seen.device, requires_grad=True)
    bias = torch.zeros(outputs, device=seen.device, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimiser.zero_grad()
        loss = cross_entropy(seen @ weight.T + bias, seen_class) + DECAY * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(objective)
    with torch.no_grad():
        return float(((shown @ weight.T + bias).argmax(1) == shown_class).double().mean())
