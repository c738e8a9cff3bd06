"""MFAS on NTU RGB+D: the published arrays over the published backbones have the published sizes."""

from __future__ import annotations

import pytest
import torch

from mmfuse.backbones import choose_backbones
from mmfuse.models.cost import count_parameters
from mmfuse.models.mfas import FusionChain, Params, layout_of
from mmfuse.registry import DATASETS

TASK = DATASETS.declaration("ntu").TASK
# Columns skeleton, video, activation.
PUBLISHED = [
    [[2, 2, 0], [1, 0, 1], [3, 2, 0], [3, 1, 1]],
    [[3, 0, 0], [1, 3, 0], [1, 1, 1], [3, 3, 0]],
    [[3, 2, 0], [2, 3, 1], [0, 1, 1], [3, 0, 0]],
    [[1, 1, 1], [3, 2, 0], [0, 1, 1], [3, 0, 0]],
    [[3, 1, 1], [1, 3, 0], [1, 1, 1], [3, 3, 0]],
]
CELLS = {
    16: (127_808, 115_520, 125_760, 97_088, 123_712),
    128: (1_065_472, 967_168, 1_049_088, 819_712, 1_032_704),
    256: (2_229_248, 2_032_640, 2_196_480, 1_737_728, 2_163_712),
}
# Classifier and four alphas, which the released code counts even where they are off, included.
CENTRAL = {
    16: (128_832, 116_544, 126_784, 98_112, 124_736),
    128: (1_073_216, 974_912, 1_056_832, 827_456, 1_040_448),
    256: (2_244_672, 2_048_064, 2_211_904, 1_753_152, 2_179_136),
}


def chain(number: int, width: int, *, batchnorm: bool = False, alphas: bool = False) -> FusionChain:
    params = Params(
        modalities=["skeleton", "video"], layers=PUBLISHED[number], width=width, batchnorm=batchnorm, alphas=alphas
    )
    with torch.device("meta"):
        return FusionChain(params, layout=layout_of(params, TASK), outputs=TASK.outputs)


def test_the_dataset_names_the_published_backbones_with_their_7552_features() -> None:
    layout = layout_of(Params(modalities=["skeleton", "video"]), TASK)

    assert {name: choice.family for name, choice in choose_backbones(TASK, {}).items()} == {
        "skeleton": "hcn",
        "video": "inflated_resnet",
    }
    assert layout.widths == ((128, 256, 1024, 512), (512, 1024, 2048, 2048))
    assert layout.total == 7_552


@pytest.mark.parametrize("width", CELLS)
@pytest.mark.parametrize("number", range(len(PUBLISHED)))
def test_the_published_arrays_have_the_published_sizes(number: int, width: int) -> None:
    plain, weighed = chain(number, width), chain(number, width, alphas=True)

    assert count_parameters(plain.cells) == CELLS[width][number]
    assert count_parameters(plain.classifier) == 60 * (width + 1)
    assert count_parameters(weighed) == CENTRAL[width][number]


@pytest.mark.parametrize(("width", "more"), [(16, 128), (128, 1_024), (256, 2_048)])
def test_batch_norm_adds_two_parameters_per_output_and_layer(width: int, more: int) -> None:
    for number in range(len(PUBLISHED)):
        normed = count_parameters(chain(number, width, batchnorm=True))
        assert normed == count_parameters(chain(number, width)) + more
