"""Published encoders, in tiny untrained models of the same classes: what goes in, what is pooled, what is refused."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny
import torch
from torch import Tensor

from mmfuse.errors import DataInvalid, DataMissing
from mmfuse.extraction.encoder import Encoder, UnreadableItem
from mmfuse.registry import ENCODERS

pytest.importorskip("transformers", reason="published encoders need the extra: pip install mmfuse[extract]")
pytest.importorskip("PIL", reason="image files need the extra: pip install mmfuse[extract]")

CPU = torch.device("cpu")
CAPTIONS = ["the dog runs", "a red cat sits on the blue grass", "two men play", "a"]


@pytest.fixture(scope="module", autouse=True)
def _no_network() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def _open(family: str, weights: Path, size: str | None = None, **values: object) -> Encoder:
    module = ENCODERS.get(family)
    encoder: Encoder = module.open_encoder(
        size or next(iter(module.SIZES)), module.Options(weights=weights, **values), device=CPU
    )
    return encoder


@pytest.fixture(scope="module")
def world(folder: Path) -> dict[str, tuple[Encoder, list[str]]]:
    """An encoder and four items of each family."""
    pictures = [tiny.picture(folder / f"{n}.png", width=40 + 9 * n, height=50 - 3 * n, seed=n) for n in range(4)]
    sounds = [tiny.sound(folder / f"{n}.wav", seconds=0.3 + 0.4 * n, seed=n) for n in range(4)]
    bert = tiny.bert(folder / "bert")
    return {
        "dinov2": (_open("dinov2", tiny.dinov2(folder / "dinov2"), image_size=28), pictures),
        "bge": (_open("bge", bert), CAPTIONS),
        "e5": (_open("e5", bert), CAPTIONS),
        "whisper": (_open("whisper", tiny.whisper(folder / "whisper")), sounds),
        "ast": (_open("ast", tiny.ast(folder / "ast")), sounds),
        "htsat": (_open("htsat", tiny.clap(folder / "clap")), sounds),
    }


every_family = pytest.mark.parametrize("family", ["ast", "bge", "dinov2", "e5", "htsat", "whisper"])


def _encode(encoder: Encoder, items: list[str], size: int) -> Tensor:
    prepared = [encoder.prepare(item) for item in items]
    return torch.cat([encoder.encode(prepared[first : first + size]) for first in range(0, len(items), size)])


@every_family
def test_a_vector_does_not_depend_on_its_batch(world: dict[str, tuple[Encoder, list[str]]], family: str) -> None:
    encoder, items = world[family]

    together, apart = _encode(encoder, items, 4), _encode(encoder, items, 1)

    assert together.shape == (4, encoder.dim)
    assert together.dtype == torch.float32
    assert torch.allclose(together, apart, atol=1e-5)
    assert len({tuple(row.tolist()) for row in together}) == 4


@every_family
def test_the_identity_names_weights_pooling_and_preprocessing(
    world: dict[str, tuple[Encoder, list[str]]], family: str
) -> None:
    identity = world[family][0].identity

    assert identity.name.startswith(f"{family}-")
    assert len(identity.weights) == 16
    assert identity.pooling
    assert identity.preprocessing
    assert not identity.normalised


@every_family
def test_an_encoder_of_no_items_gives_no_vectors(world: dict[str, tuple[Encoder, list[str]]], family: str) -> None:
    encoder, _ = world[family]

    assert encoder.encode([]).shape == (0, encoder.dim)


def test_dinov2_gives_the_class_token_after_the_last_norm(world: dict[str, tuple[Encoder, list[str]]]) -> None:
    vectors = _encode(*world["dinov2"], 4)

    assert vectors.mean(1).abs().max() < 1e-5
    assert (vectors.var(1, unbiased=False) - 1).abs().max() < 1e-2


def test_pictures_are_resized_on_the_shorter_side_and_cropped_in_the_middle(tmp_path: Path) -> None:
    from PIL import Image

    from mmfuse.extraction.pictures import MEAN, STD, read_picture

    wide = Image.new("RGB", (120, 40), (255, 0, 0))
    wide.paste((0, 255, 0), (40, 0, 80, 40))
    wide.save(tmp_path / "wide.png")

    pixels = read_picture(str(tmp_path / "wide.png"), size=28)

    restored = pixels * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    assert pixels.shape == (3, 28, 28)
    assert torch.allclose(restored[:, 14, 14], torch.tensor([0.0, 1.0, 0.0]), atol=1e-5)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_pictures_of_any_colours_are_read(tmp_path: Path, mode: str) -> None:
    from PIL import Image

    from mmfuse.extraction.pictures import read_picture

    path = tmp_path / ("picture.jpg" if mode == "CMYK" else "picture.png")
    Image.new(mode, (40, 40)).save(path)

    assert read_picture(str(path), size=28).shape == (3, 28, 28)


@pytest.mark.parametrize("content", [None, b"", b"\x89PNG\r\n\x1a\n and no more"])
def test_absent_and_damaged_pictures_are_unreadable(
    world: dict[str, tuple[Encoder, list[str]]], tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "damaged.png"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(UnreadableItem, match=r"damaged\.png"):
        world["dinov2"][0].prepare(str(path))


def _tokens(world: dict[str, Any], family: str, caption: str) -> Tensor:
    """All tokens of one caption, computed from the library's parts."""
    encoder, folder = world[family][0], world["folder"]
    library = tiny.transformers()
    model = library.BertModel.from_pretrained(folder / "bert").eval()
    fed = library.AutoTokenizer.from_pretrained(folder / "bert")(encoder.prepare(caption), return_tensors="pt")
    with torch.no_grad():
        return model(**fed).last_hidden_state[0]


def test_bge_takes_the_first_token_and_not_the_tanh_pooler(world: dict[str, Any], folder: Path) -> None:
    tokens = _tokens({**world, "folder": folder}, "bge", CAPTIONS[1])

    assert torch.allclose(_encode(world["bge"][0], CAPTIONS, 4)[1], tokens[0], atol=1e-5)


def test_e5_takes_the_mean_of_the_real_tokens_after_its_prompt(world: dict[str, Any], folder: Path) -> None:
    encoder = world["e5"][0]
    tokens = _tokens({**world, "folder": folder}, "e5", CAPTIONS[0])

    assert encoder.prepare("The Dog runs.") == "query: the dog runs"
    assert torch.allclose(_encode(encoder, CAPTIONS, 4)[0], tokens.mean(0), atol=1e-5)


def test_vectors_get_length_1_if_that_is_asked_for(folder: Path) -> None:
    encoder = _open("bge", tiny.bert(folder / "unit"), normalise=True)

    assert torch.allclose(_encode(encoder, CAPTIONS, 4).norm(dim=1), torch.ones(4))
    assert encoder.identity.normalised


def test_text_beyond_the_token_limit_is_cut_off(folder: Path) -> None:
    encoder = _open("bge", tiny.bert(folder / "short"), clean=False, tokens=8)

    long, longer = (_encode(encoder, ["the dog runs on the grass " * times], 1) for times in (5, 50))

    assert long.equal(longer)


def test_whisper_leaves_out_the_silence_behind_a_clip(world: dict[str, tuple[Encoder, list[str]]]) -> None:
    encoder, sounds = world["whisper"]

    assert [encoder.prepare(sound)[1] for sound in sounds] == [15, 35, 55, 75]
    assert encoder.prepare(sounds[0])[0].shape == (8, 3000)


def test_a_long_clip_gives_htsat_the_same_vector_each_time(
    world: dict[str, tuple[Encoder, list[str]]], tmp_path: Path
) -> None:
    encoder = world["htsat"][0]
    path = tiny.sound(tmp_path / "long.wav", seconds=12)

    assert encoder.encode([encoder.prepare(path)]).equal(encoder.encode([encoder.prepare(path)]))


def test_other_weights_are_another_identity(folder: Path, world: dict[str, tuple[Encoder, list[str]]]) -> None:
    library = tiny.transformers()
    model = library.Dinov2Model.from_pretrained(folder / "dinov2")
    with torch.no_grad():
        model.layernorm.bias += 1e-3
    model.save_pretrained(folder / "touched")

    first, second = world["dinov2"][0].identity, _open("dinov2", folder / "touched", image_size=28).identity

    assert first.weights != second.weights
    assert first.sha != second.sha


def _another_class(folder: Path) -> Path:
    return tiny.dinov2(folder / "not-bert")


def _nothing(folder: Path) -> Path:
    (folder / "empty").mkdir(exist_ok=True)
    return folder / "empty"


@pytest.mark.parametrize(("make", "error"), [(_another_class, (DataInvalid, DataMissing)), (_nothing, DataMissing)])
def test_weights_that_are_not_the_models_are_refused(folder: Path, make: Callable[[Path], Path], error: Any) -> None:
    with pytest.raises(error) as caught:
        _open("bge", make(folder))

    assert "\n" not in caught.value.message


def test_incomplete_weights_are_refused_rather_than_left_random(folder: Path) -> None:
    library = tiny.transformers()
    model = library.Dinov2Model.from_pretrained(tiny.dinov2(folder / "whole"))
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith("layernorm")}
    model.save_pretrained(folder / "half", state_dict=weights)

    with pytest.raises(DataInvalid, match=r"lacks 2 of the weights of Dinov2Model, such as layernorm\.bias"):
        _open("dinov2", folder / "half", image_size=28)


def test_absent_published_weights_say_how_to_have_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    module = ENCODERS.get("dinov2")

    with pytest.raises(DataMissing, match=r"facebook/dinov2-small are neither") as caught:
        module.open_encoder("small", module.Options(), device=CPU)
    assert "--set weights=DIR" in caught.value.hint
