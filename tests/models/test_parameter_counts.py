"""Parameter counts of every published configuration, as found by running the original code."""

from typing import Any

import pytest
import torch

from mmfuse.architecture import Architecture
from mmfuse.models.assemble import build_model
from mmfuse.models.cost import count_parameters
from mmfuse.registry import BLOCKS, DATASETS, MODELS
from mmfuse.task import Modality, Task

IMAGE, AUDIO = (1, 28, 28), (1, 112, 112)
AVMNIST = Task(
    "avmnist", "multiclass", (Modality("image", "grid", IMAGE), Modality("audio", "grid", AUDIO)), 10, "accuracy"
)
MIMIC = Task(
    "mimic_iii",
    "multiclass",
    (Modality("static", "vector", (5,)), Modality("timeseries", "sequence", (24, 12))),
    6,
    "accuracy",
)


def _mm_imdb(image: tuple[int, ...], text: tuple[int, ...]) -> Task:
    modalities = (Modality("image", "grid", image), Modality("text", "sequence", text))
    return Task("mm_imdb", "multilabel", modalities, 23, "f1_weighted")


def _build(family: str, params: dict[str, Any], task: Task) -> Any:
    params = {key: value for key, value in params.items() if key != "data"}
    with torch.device("meta"):
        return build_model(Architecture(family, params), task)


def _encoder(block: str, shape: tuple[int, ...], **params: Any) -> Any:
    module = BLOCKS.get(block)
    with torch.device("meta"):
        return module.build(module.Params(**params), shape=shape)


M2_MIXERS = [
    ("avmnist_b", AVMNIST, 8_339_354, {"image": 3_187_216, "audio": 3_563_536}, 1_584_732, 3 * 1_290),
    ("avmnist_b_3072", AVMNIST, 8_336_270, {"image": 3_187_216, "audio": 3_563_536}, 1_581_648, 3 * 1_290),
    ("avmnist_m", AVMNIST, 878_662, {"image": 277_864, "audio": 466_024}, 132_824, 3 * 650),
    ("avmnist_s", AVMNIST, 192_742, {"image": 40_264, "audio": 134_344}, 17_144, 3 * 330),
    ("avmnist_m_single_head", AVMNIST, 877_362, {"image": 277_864, "audio": 466_024}, 132_824, 650),
    ("mimic_iii_h", MIMIC, 29_355, {"timeseries": 10_344, "static": 8_704}, 9_137, 3 * 390),
    ("mimic_iii_lc", MIMIC, 29_355, {"timeseries": 10_344, "static": 8_704}, 9_137, 3 * 390),
    (
        "mm_imdb_small",
        DATASETS.declaration("mm_imdb").TASK,
        135_727,
        {"image": 85_152, "text": 27_993},
        18_097,
        4_485,
    ),
    (
        "mm_imdb",
        _mm_imdb((3, 256, 256), (512, 768)),
        16_484_997,
        {"image": 6_572_928, "text": 6_639_488},
        3_254_848,
        17_733,
    ),
    (
        "mm_imdb_pnlp",
        _mm_imdb((3, 160, 256), (160, 1024)),
        12_263_301,
        {"image": 6_547_968, "text": 2_500_992},
        3_196_608,
        17_733,
    ),
]


@pytest.mark.parametrize(("preset", "task", "total", "encoders", "fusion", "heads"), M2_MIXERS)
def test_an_m2_mixer_preset_has_the_published_size_in_every_part(
    preset: str, task: Task, total: int, encoders: dict[str, int], fusion: int, heads: int
) -> None:
    model = _build("m2_mixer", MODELS.declaration("m2_mixer").PRESETS[preset], task)

    assert {name: count_parameters(encoder) for name, encoder in model.encoders.items()} == encoders
    assert count_parameters(model.network) == fusion
    assert count_parameters(model.heads) == heads
    assert count_parameters(model) == total


def test_every_m2_mixer_preset_is_counted() -> None:
    assert {case[0] for case in M2_MIXERS} == set(MODELS.declaration("m2_mixer").PRESETS)


@pytest.mark.parametrize(
    ("image", "text", "total"),
    [
        ((3, 224, 224), (512, 768), 16_461_597),
        ((3, 160, 256), (512, 768), 16_447_557),
        ((3, 256, 256), (512, 1536), 16_681_605),
    ],
)
def test_the_mm_imdb_preset_grows_with_image_and_text_as_published(
    image: tuple[int, ...], text: tuple[int, ...], total: int
) -> None:
    model = _build("m2_mixer", MODELS.declaration("m2_mixer").PRESETS["mm_imdb"], _mm_imdb(image, text))

    assert count_parameters(model) == total


def test_mimic_with_the_token_width_of_the_papers_table_is_larger_than_the_table_says() -> None:
    params = MODELS.declaration("m2_mixer").PRESETS["mimic_iii_h"]
    wide = params | {"network": params["network"] | {"token_hidden": 16}}

    model = _build("m2_mixer", wide, MIMIC)

    assert (count_parameters(model), count_parameters(model.network)) == (29_763, 9_545)


IMAGENET = (3, 224, 224)
IMAGENET_MIXER = {"dim": 512, "patch": 16, "depth": 9, "channel_hidden": 2048}
TEXTS = [(512, 768), (301, 768), (24, 12), (24, 64)]
TEXT_MLP = {"dim": None, "depth": 22, "channel_hidden": 2048, "variant": "reference"}
TEXT_HYPER = {"dim": None, "depth": 7, "channel_hidden": 1900, "variant": "reference"}
TEXT_MONARCH = {"dim": None, "depth": 45, "variant": "reference"}
ENCODERS = [
    ("mlp", IMAGE, {}, 3_187_216, (4, 128)),
    ("mlp", AUDIO, {"patch": 56}, 3_563_536, (4, 128)),
    ("hyper", IMAGE, {"variant": "reference"}, 3_190_304, (4, 128)),
    ("hyper", AUDIO, {"patch": 56, "variant": "reference"}, 3_566_624, (4, 128)),
    ("ramlp", IMAGE, {"variant": "reference"}, 19_520_583, (1, 512)),
    ("ramlp", AUDIO, {"variant": "reference", "regions": (7, 7, 7, 1)}, 25_118_583, (4, 512)),
    ("mlp", IMAGENET, IMAGENET_MIXER | {"token_hidden": 256}, 20_217_828, (196, 512)),
    ("hyper", IMAGENET, IMAGENET_MIXER | {"heads": 2, "variant": "reference"}, 20_563_032, (196, 512)),
    ("ramlp", IMAGENET, {"regions": (8, 4, 2, 1)}, 19_531_940, (49, 512)),
    ("ramlp", IMAGENET, {"regions": (8, 4, 2, 1), "depths": (2, 2, 6, 2)}, 13_541_528, (49, 512)),
    ("wave", IMAGENET, {"variant": "reference"}, 16_680_160, (1, 512)),
    ("wave", IMAGENET, {"phase": "depthwise"}, 14_773_472, (49, 512)),
    ("wave", IMAGENET, {"depths": (2, 3, 10, 3)}, 30_195_040, (49, 512)),
    *[
        ("mlp", shape, TEXT_MLP, count, shape)
        for shape, count in zip(TEXTS, (46_313_494, 27_295_220, 2_210_166, 2_218_278), strict=True)
    ],
    *[
        ("hyper", shape, TEXT_HYPER, count, shape)
        for shape, count in zip(TEXTS, (29_652_724, 24_979_496, 345_376, 1_747_972), strict=True)
    ],
    *[
        ("monarch", shape, TEXT_MONARCH, count, trimmed)
        for shape, count, trimmed in zip(
            TEXTS,
            (21_435_615, 14_006_340, 24_075, 158_400),
            ((484, 729), (289, 729), (16, 9), (16, 64)),
            strict=True,
        )
    ],
]


@pytest.mark.parametrize(("block", "shape", "params", "count", "tokens"), ENCODERS)
def test_an_encoder_has_the_published_size_and_output(
    block: str, shape: tuple[int, ...], params: dict[str, Any], count: int, tokens: tuple[int, int]
) -> None:
    encoder = _encoder(block, shape, **params)

    assert (count_parameters(encoder), (encoder.tokens, encoder.dim)) == (count, tokens)


NETWORKS = [
    ((8, 512), 6_304_848, 12_639_808),
    ((8, 128), 1_581_648, 3_169_600),
    ((768, 768), 9_552_448, 28_346_880),
    ((25, 64), 796_658, 1_604_560),
]


@pytest.mark.parametrize(("shape", "mlp", "hyper"), NETWORKS)
def test_a_fusion_network_has_the_published_size(shape: tuple[int, int], mlp: int, hyper: int) -> None:
    counts = {}
    for name, changes in {"mlp": {"depth": 2}, "hyper": {"depth": 4, "variant": "reference"}}.items():
        block = BLOCKS.get(name)
        with torch.device("meta"):
            network = block.network(block.Params(**changes), tokens=shape[0], dim=shape[1])
        counts[name] = count_parameters(network)

    assert counts == {"mlp": mlp, "hyper": hyper}


UNIMODALS = [
    ("image", {"block": "mlp"}, 3_258_394),
    ("image", {"block": "hyper", "variant": "reference"}, 3_261_482),
    ("image", {"block": "ramlp"}, 19_788_369),
    ("audio", {"block": "mlp", "patch": 56}, 3_634_714),
    ("audio", {"block": "hyper", "patch": 56, "variant": "reference"}, 3_637_802),
    ("audio", {"block": "ramlp", "regions": (7, 7, 7, 1)}, 25_386_369),
]


@pytest.mark.parametrize(("modality", "encoder", "count"), UNIMODALS)
def test_a_micro_benchmark_model_has_the_published_size(modality: str, encoder: dict[str, Any], count: int) -> None:
    model = _build("unimodal", {"modality": modality, "encoder": encoder}, AVMNIST)

    assert count_parameters(model) == count


def test_the_micro_benchmark_head_has_the_published_size() -> None:
    sizes = []
    for encoder in ({"block": "mlp"}, {"block": "ramlp"}):
        sizes.append(count_parameters(_build("unimodal", {"encoder": encoder}, AVMNIST).head))

    assert sizes == [71_178, 267_786]


def test_a_mixmas_model_of_mlp_mixers_is_as_large_as_m2_mixer_b() -> None:
    encoders = {"image": {"block": "mlp"}, "audio": {"block": "mlp", "patch": 56}}

    assert count_parameters(_build("mixmas", {"encoders": encoders}, AVMNIST)) == 8_336_270


@pytest.mark.parametrize(
    ("image", "audio", "network", "count"),
    [
        ({"block": "mlp"}, {"block": "ramlp", "regions": (7, 7, 7, 1)}, {"block": "mlp", "depth": 2}, 6_309_978),
        ({"block": "ramlp"}, {"block": "ramlp", "regions": (7, 7, 7, 1)}, {"block": "mlp", "depth": 2}, 6_309_588),
        (
            {"block": "mlp"},
            {"block": "ramlp", "regions": (7, 7, 7, 1)},
            {"block": "hyper", "depth": 4, "variant": "reference"},
            12_644_938,
        ),
        (
            {"block": "ramlp"},
            {"block": "ramlp", "regions": (7, 7, 7, 1)},
            {"block": "hyper", "depth": 4, "variant": "reference"},
            12_632_314,
        ),
    ],
)
def test_a_published_mixmas_fusion_part_has_the_published_size(
    image: dict[str, Any], audio: dict[str, Any], network: dict[str, Any], count: int
) -> None:
    encoders = {"image": image | {"variant": "reference"}, "audio": audio | {"variant": "reference"}}

    model = _build("mixmas", {"encoders": encoders, "network": network, "align": "pad"}, AVMNIST)

    assert count_parameters(model.network) + count_parameters(model.heads["fusion"]) == count


@pytest.mark.parametrize(("side", "mixing", "block"), [(7, 108_600, 273_720)])
def test_strip_blocks_have_the_published_size(side: int, mixing: int, block: int) -> None:
    strip: Any = BLOCKS.get("strip")

    with torch.device("meta"):
        parts = strip.StripBlock(160, side=side), strip.StripMixerBlock(160, side=side, ratio=3, drop_path=0.1)

    assert tuple(count_parameters(part) for part in parts) == (mixing, block)


@pytest.mark.parametrize("dim", [16, 64, 320])
def test_phase_aware_mixing_has_the_published_size(dim: int) -> None:
    wave: Any = BLOCKS.get("wave")

    with torch.device("meta"):
        fc, depthwise = (wave.PhaseAwareMixing(dim, phase=phase, pairs_parts=True) for phase in ("fc", "depthwise"))

    assert count_parameters(fc) == 7 * dim**2 + 38.25 * dim
    assert count_parameters(depthwise) == 5 * dim**2 + 54.25 * dim


@pytest.mark.parametrize(("dim", "tokens", "hidden", "heads"), [(12, 5, 6, 1), (12, 9, 6, 3)])
def test_hyper_mixing_does_not_grow_with_the_tokens(dim: int, tokens: int, hidden: int, heads: int) -> None:
    hyper: Any = BLOCKS.get("hyper")

    mixing = hyper.HyperMixing(dim, hidden=hidden, heads=heads, positions=hyper.position_table(tokens, dim))

    assert count_parameters(mixing) == 2 * (dim**2 + dim * hidden) // heads + 2 * dim
