"""The maxout backbone: its published sizes, its taps before batch norm, and what it refuses."""

from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import nn

from mmfuse.architecture import Architecture
from mmfuse.backbones import choose_backbones
from mmfuse.batch import Batch
from mmfuse.errors import BadSpec
from mmfuse.models.assemble import build_model
from mmfuse.models.cost import count_parameters
from mmfuse.models.maxout_text import Maxout
from mmfuse.models.vector_norm import VectorNorm
from mmfuse.task import Modality, Task

TASK = Task("films", "multilabel", (Modality("text", "vector", (300,)),), 23, "f1_weighted")


def maxout(task: Task = TASK, **params: Any) -> Any:
    torch.manual_seed(0)
    return build_model(Architecture("maxout_text", params), task)


def test_it_has_the_published_sizes() -> None:
    model = maxout()

    layers = [count_parameters(layer) for layer in model.layers]
    norms = [count_parameters(norm) for norm in model.norms]
    assert layers == [300 * 64 * 5 + 64 * 5, 64 * 128 * 5 + 128 * 5]
    assert norms == [2 * 64, 2 * 128]
    assert count_parameters(model) == 141_271


def test_a_unit_is_the_largest_of_adjacent_pieces() -> None:
    layer, inputs = Maxout(3, 4, pieces=5), torch.randn(2, 3)

    units = layer(inputs)

    pieces = (inputs @ layer.linear.weight.T + layer.linear.bias).tolist()
    assert units.tolist() == [[pytest.approx(max(row[5 * k : 5 * k + 5])) for k in range(4)] for row in pieces]


def test_taps_come_before_batch_norm_and_dropout() -> None:
    model = maxout().train()
    inputs = 10.0 + torch.randn(8, 300)

    first, second = model.taps(inputs)

    torch.testing.assert_close(first, model.layers[0](inputs))
    assert (first.shape, second.shape) == ((8, 64), (8, 128))


def test_the_head_reads_the_last_tap_through_its_norm() -> None:
    model = maxout().eval()
    taps = model.taps(torch.randn(4, 300))
    head = cast(nn.Linear, model.head)

    torch.testing.assert_close(model.predict(taps), head(model.norms[-1][0](taps[-1])))


def test_token_vectors_are_averaged_first() -> None:
    tokens = replace(TASK, modalities=(Modality("text", "sequence", (7, 300)),))
    vectors, averaged = maxout(tokens).eval(), maxout().eval()
    inputs = torch.randn(3, 7, 300)

    for one, other in zip(vectors.taps(inputs), averaged.taps(inputs.mean(1)), strict=True):
        torch.testing.assert_close(one, other)


def test_labels_can_be_weighed() -> None:
    weights = [2.0] * 22 + [9.0]
    plain, weighed = maxout(), maxout(pos_weight=weights)
    missed = Batch({"text": torch.zeros(1, 300)}, torch.eye(23)[22:], torch.arange(1))
    outputs = {"logits": torch.zeros(1, 23)}

    ratio = weighed.loss(outputs, missed)["total"] / plain.loss(outputs, missed)["total"]

    assert float(ratio) == pytest.approx((22 + 9) / 23)
    assert set(weighed.state_dict()) == set(plain.state_dict())


def test_wrong_weights_and_modalities_are_refused_with_their_numbers() -> None:
    with pytest.raises(BadSpec, match="pos_weight has 2 values, films has 23 labels"):
        maxout(pos_weight=[1.0, 2.0])
    with pytest.raises(BadSpec, match="films has no modality 'audio'"):
        maxout(modality="audio")
    with pytest.raises(BadSpec, match="multilabel task, films is multiclass"):
        maxout(replace(TASK, kind="multiclass", metric="accuracy"), pos_weight=[1.0] * 23)


def test_the_films_of_mm_imdb_are_read_by_it_and_by_vgg() -> None:
    from mmfuse.data.mm_imdb import TASK as FILMS

    assert {name: choice.family for name, choice in choose_backbones(FILMS, {}).items()} == {
        "image": "vgg",
        "text": "maxout_text",
    }


def test_a_single_sample_is_normalised_by_what_was_seen_before() -> None:
    norm = VectorNorm(3)
    norm(torch.randn(16, 3) * 4 + 7)
    one = torch.randn(1, 3)

    trained = norm(one)

    torch.testing.assert_close(trained, norm.eval()(one))
