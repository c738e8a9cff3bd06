"""The gradient of a loss over a large batch, with the activations of a small part of it in memory.

Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup" (arXiv 2101.06983): embed all
parts and drop their graphs, take the loss and its gradient at the embeddings, then embed each part again and hand it
its share. The numbers are those of one large backward pass; the price is a second forward pass. Adding up the
gradients of small batches is something else: their losses know only the negatives among themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

Part = Callable[[], Mapping[str, Tensor]]
"""Embeds one part of the batch, (b, D) by name. Called twice, it must draw the same random numbers (seed it inside)."""


def cached_backward(parts: Sequence[Part], objective: Callable[[Mapping[str, Tensor]], Tensor]) -> Tensor:
    """Add the gradient of ``objective`` of all embeddings (B, D) to the parameters' and return its value, detached."""
    if len(parts) == 1:
        loss = objective(parts[0]())
        loss.backward()
        return loss.detach()
    # Not under no_grad: a compiled part would become another kernel there, which draws dropout in another order.
    pieces = [{name: values.detach() for name, values in part().items()} for part in parts]
    leaves = {name: torch.cat([piece[name] for piece in pieces]).requires_grad_() for name in pieces[0]}
    loss = objective(leaves)
    loss.backward()
    start = 0
    for part, piece in zip(parts, pieces, strict=True):
        stop = start + len(next(iter(piece.values())))
        made = part()
        torch.autograd.backward(list(made.values()), [_gradient(leaves[name])[start:stop] for name in made])
        start = stop
    return loss.detach()


def _gradient(leaf: Tensor) -> Tensor:
    return leaf.grad if leaf.grad is not None else torch.zeros_like(leaf)
