"""The stand-in of AV-MNIST: repeatable, fair between splits, and worth fusing."""

import logging
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeClassifier
from torch import Tensor, nn
from torch.nn import functional as F

from mmfuse.batch import Batch, Split
from mmfuse.data import avmnist, avmnist_files
from mmfuse.data.avmnist_standin import Recipe, ensure

TINY = Recipe(train=60, val=10, test=20)


def _bytes(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".hashes.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _small(root: Path) -> Path:
    (folder,) = (root / "avmnist-stand-in").glob("300-*")
    return folder


def test_building_again_gives_the_same_bytes(tmp_path: Path) -> None:
    assert _bytes(ensure(tmp_path / "one", TINY)) == _bytes(ensure(tmp_path / "two", TINY))


def test_another_seed_gives_another_set(tmp_path: Path) -> None:
    one = ensure(tmp_path / "one", TINY)
    two = ensure(tmp_path / "two", Recipe(train=60, val=10, test=20, seed=1))

    assert not np.array_equal(np.load(one / "audio/test_data.npy"), np.load(two / "audio/test_data.npy"))
    assert not np.array_equal(np.load(one / "image/test_data.npy"), np.load(two / "image/test_data.npy"))


def test_the_notice_comes_once_with_progress_to_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[float, float]] = []

    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            ensure(tmp_path / "one", TINY, progress=lambda done, total, *, what: told.append((done, total)))

    assert [record.message for record in caplog.records if "building the stand-in" in record.message] == [
        f"building the stand-in of AV-MNIST in {tmp_path / 'one'} (once; real data: mmfuse data get avmnist)"
    ]
    assert told[-1] == (90, 90)


def test_processes_that_start_at_once_share_one_build(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=ensure, args=(tmp_path / "one", TINY)) for _ in range(3)]

    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert avmnist_files.verified_hashes(avmnist_files.survey(tmp_path / "one"), fresh=True)


def test_files_are_in_the_public_layout_and_say_what_they_are(stand_in_root: Path) -> None:
    folder = _small(stand_in_root)

    surveyed = avmnist_files.survey(folder)

    assert surveyed.stand_in
    assert dict(surveyed.splits) == {"train": 300, "val": 50, "test": 100}
    assert np.load(folder / "image/train_data.npy").dtype == np.float32
    assert np.load(folder / "audio/train_data.npy").dtype == np.uint8


def test_handwriting_and_voices_of_one_split_are_in_no_other(stand_in_root: Path) -> None:
    train, test = (np.load(_small(stand_in_root) / f"{part}_pairs.npy") for part in ("train", "test"))

    for column in (0, 1):
        sources = [set(train[:300, column]), set(train[300:, column]), set(test[:, column])]
        assert not sources[0] & sources[1]
        assert not sources[0] & sources[2]
        assert not sources[1] & sources[2]


def test_each_image_is_drawn_after_a_digit_of_its_label(stand_in_root: Path) -> None:
    from sklearn.datasets import load_digits

    folder, digits = _small(stand_in_root), load_digits()

    for part in ("train", "test"):
        pairs, labels = np.load(folder / f"{part}_pairs.npy"), np.load(folder / f"{part}_labels.npy")
        assert digits.target[pairs[:, 0]].tolist() == labels.tolist()


def test_every_split_has_every_digit_equally_often(stand_in_root: Path) -> None:
    splits = avmnist.load(stand_in_root, avmnist.Options(stand_in_size=300))

    for split, count in ((splits.train, 30), (splits.val, 5), (splits.open_test(), 10)):
        assert torch.bincount(split.target).tolist() == [count] * 10


class _Mixer(nn.Module):
    """One block of MLP-Mixer: (B, N, D) -> (B, N, D)."""

    def __init__(self, tokens: int, dim: int = 64) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.across_tokens = nn.Sequential(nn.Linear(tokens, 32), nn.GELU(), nn.Dropout(0.1), nn.Linear(32, tokens))
        self.across_channels = nn.Sequential(nn.Linear(dim, 128), nn.GELU(), nn.Dropout(0.1), nn.Linear(128, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.across_tokens(self.first(x).transpose(1, 2)).transpose(1, 2)
        return x + self.across_channels(self.second(x))


class _Net(nn.Module):
    """A small mixer per modality (4 tokens each), one over both, and a head for each and for all."""

    def __init__(self, modalities: tuple[str, ...]) -> None:
        super().__init__()
        patch = {"image": 14, "audio": 56}
        self.encoders = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Conv2d(1, 64, patch[name], patch[name]), nn.Flatten(2), _Swap(), *_mixers(4))
                for name in modalities
            }
        )
        self.fusion = nn.Sequential(*_mixers(4 * len(modalities)))
        self.heads = nn.ModuleDict({name: nn.Linear(64, 10) for name in (*modalities, "all")})

    def forward(self, batch: Batch) -> list[Tensor]:
        tokens = {name: encoder(batch.inputs[name]) for name, encoder in self.encoders.items()}
        fused = self.fusion(torch.cat(list(tokens.values()), dim=1))
        return [self.heads[name](values.mean(dim=1)) for name, values in {**tokens, "all": fused}.items()]


class _Swap(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


def _mixers(tokens: int) -> list[nn.Module]:
    return [_Mixer(tokens), _Mixer(tokens), nn.LayerNorm(64)]


def _accuracy(model: _Net, split: Split) -> float:
    model.eval()
    with torch.no_grad():
        return float((model(split.all())[-1].argmax(dim=1) == split.target).float().mean())


def _trained(modalities: tuple[str, ...], train: Split, val: Split, test: Split, *, epochs: int = 5) -> float:
    """Test accuracy at the epoch that is best on validation."""
    torch.manual_seed(0)
    model = _Net(modalities)
    steps = epochs * (len(train) // 64)
    optimiser = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    best = (0.0, 0.0)
    for _ in range(epochs):
        model.train()
        for index in torch.randperm(len(train))[: 64 * (len(train) // 64)].split(64):
            batch = train.batch(index)
            loss = torch.stack([F.cross_entropy(logits, batch.target) for logits in model(batch)]).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        best = max(best, (_accuracy(model, val), _accuracy(model, test)))
    return best[1]


def _linear(train: Split, val: Split, test: Split) -> float:
    """Test accuracy of a linear model on all pixels, its penalty chosen on validation."""
    pixels = [
        torch.cat([values.flatten(1) for values in split.all().inputs.values()], dim=1).numpy()
        for split in (train, val, test)
    ]
    best = (0.0, 0.0)
    for penalty in (1e4, 1e5):
        model = RidgeClassifier(penalty).fit(pixels[0], train.target)
        best = max(best, (model.score(pixels[1], val.target), model.score(pixels[2], test.target)))
    return best[1]


@pytest.mark.slow
def test_fusion_beats_each_modality_and_a_linear_model_clearly(tmp_path: Path) -> None:
    loaded = avmnist.load(tmp_path, avmnist.Options())
    splits = loaded.train.materialise(), loaded.val.materialise(), loaded.open_test().materialise()

    image, audio = _trained(("image",), *splits), _trained(("audio",), *splits)
    fusion, linear = _trained(("image", "audio"), *splits), _linear(*splits)

    assert 0.4 < image < 0.85
    assert 0.4 < audio < 0.85
    assert fusion > max(image, audio) + 0.05
    assert fusion > linear + 0.10
