"""Extraction: each item once, the same file however often it is interrupted, and what cannot be read told."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import counted_encoder as counted
import pytest
import torch

from mmfuse.data.latents_file import decode, read_unreadable, read_vectors, survey
from mmfuse.errors import BadSpec, DataMissing, Stopped
from mmfuse.extraction import job
from mmfuse.extraction.encoder import Encoder
from mmfuse.extraction.extract import Extracted, extract
from mmfuse.report import NullReporter
from mmfuse.spec import ExtractSpec


def _extract(path: Path, *, size: int = 8, missing: tuple[int, ...] = (), encoder: Encoder | None = None) -> Extracted:
    collection = counted.collection(missing=missing)
    return extract(collection, "image", encoder or counted.encoder(), path, batch_size=size, workers=2)


def test_every_item_is_encoded_into_its_own_row(tmp_path: Path) -> None:
    extracted = _extract(tmp_path / "image.h5")

    stored, scale = read_vectors(extracted.path, survey(extracted.path).columns["image"])
    encoder = counted.encoder()
    wanted = encoder.encode([encoder.prepare(item) for item in counted.collection().items["image"]]).numpy()
    assert abs(decode(stored, scale) - wanted).max() < 2e-3
    assert (extracted.items, extracted.dim, extracted.skipped, extracted.sentence) == (40, 12, (), "")


def test_a_killed_extraction_goes_on_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    script, path = str(Path(__file__).with_name("write_extraction.py")), tmp_path / "image.h5"
    worker = subprocess.Popen([sys.executable, script, str(path), "60"], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "8\n"
    worker.send_signal(signal.SIGKILL)
    worker.wait()

    shown = subprocess.run([sys.executable, script, str(path), "0"], capture_output=True, text=True, check=True).stdout

    assert shown.split() == ["16", "24", "32", "40"]
    assert path.read_bytes() == _extract(tmp_path / "whole.h5").path.read_bytes()


def test_a_stop_is_heard_between_batches_and_loses_nothing(tmp_path: Path) -> None:
    path, asked = tmp_path / "image.h5", iter([False, False, True])

    with pytest.raises(Stopped):
        extract(
            counted.collection(), "image", counted.encoder(), path, batch_size=8, should_stop=lambda: next(asked, True)
        )
    assert not path.exists()

    assert _extract(path).path.read_bytes() == _extract(tmp_path / "whole.h5").path.read_bytes()


def test_items_that_cannot_be_read_are_skipped_counted_and_named(tmp_path: Path) -> None:
    extracted = _extract(tmp_path / "image.h5", missing=(3, 17, 18, 30))

    assert extracted.sentence == "4 of 40 items could not be read: missing 3, missing 17, missing 18 and 1 more"
    assert read_unreadable(extracted.path, "image").nonzero()[0].tolist() == [3, 17, 18, 30]


def test_a_collection_whose_media_are_elsewhere_is_noticed_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="none of the first 8 items of image can be read, such as missing 0"):
        _extract(tmp_path / "image.h5", missing=tuple(range(40)))


def test_what_was_extracted_before_is_found_again(tmp_path: Path) -> None:
    first = _extract(tmp_path / "image.h5", missing=(3,))
    changed = first.path.stat().st_mtime_ns

    again = _extract(tmp_path / "image.h5", missing=(3,))

    assert again.found_again
    assert again.skipped == first.skipped
    assert first.path.stat().st_mtime_ns == changed


def test_a_file_of_another_encoder_or_other_items_is_never_replaced(tmp_path: Path) -> None:
    _extract(tmp_path / "image.h5")

    with pytest.raises(BadSpec, match="is there already, of another encoder"):
        _extract(tmp_path / "image.h5", encoder=counted.encoder("1" * 16))
    with pytest.raises(BadSpec, match="is there already, of other items"):
        _extract(tmp_path / "image.h5", missing=(1,))


def test_the_preprocessing_is_part_of_what_a_file_says_of_its_encoder(tmp_path: Path) -> None:
    path = _extract(tmp_path / "image.h5").path

    identity = survey(path).columns["image"].column.encoder

    assert identity.preprocessing == {"hash": "sha256"}
    assert identity.sha == counted.encoder().identity.sha != counted.encoder("1" * 16).identity.sha


class _Noting(NullReporter):
    def __init__(self) -> None:
        self.told: dict[str, object] = {}

    def note(self, message: str, **facts: object) -> None:
        if "sentence" in facts:
            self.told[message] = facts["sentence"]


def test_what_was_left_out_or_skipped_is_told_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = counted.collection(missing=(3, 9))
    odd = replace(given, odd={"entries of train without a file name": ["None"]})
    monkeypatch.setattr(job, "_collection", lambda *_: odd)
    monkeypatch.setattr(job, "_encoder", lambda *_: counted.encoder())
    spec = ExtractSpec(dataset="coco", data={}, modality="image", encoder="dinov2", size="small", options={})
    reporter = _Noting()

    job.extract_items(
        spec, data_root=tmp_path, device=torch.device("cpu"), workers=1, reporter=reporter, should_stop=lambda: False
    )

    assert reporter.told["skipped"] == "2 of 40 items could not be read: missing 3, missing 9"
    assert reporter.told["left out"] == "1 entries of train without a file name: None"
