"""Tiny, randomly initialised models of the published classes, saved as their authors save the large ones."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import torch

WORDS = ("a", "the", "dog", "cat", "runs", "sits", "on", "grass", "red", "blue", "query", ":", "two", "men", "play")


def transformers() -> Any:
    import transformers as library

    library.logging.set_verbosity_error()
    return library


def dinov2(folder: Path) -> Path:
    torch.manual_seed(0)
    config = transformers().Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=28, patch_size=14
    )
    transformers().Dinov2Model(config).save_pretrained(folder)
    return folder


def bert(folder: Path) -> Path:
    torch.manual_seed(0)
    library = transformers()
    config = library.BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, vocab_size=100
    )
    library.BertModel(config).save_pretrained(folder)
    marks = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    vocabulary = {word: number for number, word in enumerate((*marks, *WORDS))}
    library.BertTokenizer(vocab=vocabulary).save_pretrained(folder)
    return folder


def whisper(folder: Path) -> Path:
    torch.manual_seed(0)
    config = transformers().WhisperConfig(
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_mel_bins=8,
        vocab_size=50,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    transformers().WhisperModel(config).save_pretrained(folder)
    return folder


def ast(folder: Path) -> Path:
    torch.manual_seed(0)
    config = transformers().ASTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_length=64,
        num_mel_bins=32,
    )
    transformers().ASTModel(config).save_pretrained(folder)
    return folder


def clap(folder: Path) -> Path:
    torch.manual_seed(0)
    library = transformers()
    audio = {
        "patch_embeds_hidden_size": 16,
        "hidden_size": 128,
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [2, 2, 2, 2],
        "projection_dim": 16,
    }
    text = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "vocab_size": 50,
        "projection_dim": 16,
    }
    library.ClapModel(library.ClapConfig(audio_config=audio, text_config=text, projection_dim=16)).save_pretrained(
        folder
    )
    return folder


def picture(path: Path, *, width: int = 40, height: int = 30, seed: int = 0) -> str:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


def sound(path: Path, *, seconds: float = 1.0, rate: int = 16_000, seed: int = 0) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).integers(-20_000, 20_000, int(seconds * rate), dtype=np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return str(path)
