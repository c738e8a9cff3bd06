"""Text that is no UTF-8 (a name typed as bytes, an escape in a file) harms neither its run nor the others."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse_runs.atomic import write_json
from mmfuse_runs.folder import RunFolder
from mmfuse_runs.journal import decode_row, encode_row
from mmfuse_runs.store import RunStore
from mmfuse_runs.wellformed import well_formed_json

LONE = "a\udcffb"
MENDED = "a\N{REPLACEMENT CHARACTER}b"
ANY_TEXT = st.text(st.characters())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "home")


def create(store: RunStore, **label: Any) -> RunFolder:
    spec = {"format": 1, "kind": "search", "search": "mixmas", "dataset": "toy", "seed": 0}
    return store.create(spec, kind="search", subject="mixmas", dataset="toy", **label)


@given(JSON)
def test_well_formed_json_can_be_encoded_and_keeps_what_could_be_before(value: Any) -> None:
    mended = well_formed_json(value)

    encoded = json.dumps(mended, ensure_ascii=False).encode()

    assert well_formed_json(mended) == mended
    if json.loads(encoded) != value:
        with pytest.raises(UnicodeEncodeError):
            json.dumps(value, ensure_ascii=False).encode()


def test_a_name_and_tags_that_are_no_text_are_mended_when_they_are_given(store: RunStore) -> None:
    folder = create(store, name=LONE, tags=[LONE])
    store.set_meta(folder.id, notes=LONE)

    (record,) = store.records()

    assert (record.name, record.tags, record.notes) == (MENDED, (MENDED,), MENDED)
    assert store.find(MENDED) == folder.id


@pytest.mark.parametrize("name", ["meta.json", "config.json", "state.json", "exit.json"])
def test_an_escaped_surrogate_in_a_file_of_one_run_hides_no_other(store: RunStore, name: str) -> None:
    healthy, odd = create(store), create(store)
    record = odd.state() if name == "state.json" else {"format": 1, "kind": "search", "dataset": "toy"}
    record |= {"notes": LONE, "search": LONE, "reason": LONE, "result": {"dataset_label": LONE, "metrics": {LONE: 1.0}}}
    (odd.path / name).write_text(json.dumps(record))
    os.utime(odd.path / "state.json")

    listed = store.records()
    store.rebuild()

    assert {record.id for record in listed} == {healthy.id, odd.id}
    assert store.records() == listed
    orjson.dumps([record.to_json() for record in listed])


def test_a_listing_does_not_write_the_same_odd_run_into_the_index_again_and_again(store: RunStore) -> None:
    odd = create(store)
    (odd.path / "meta.json").write_text(json.dumps({"notes": LONE}))
    os.utime(odd.path / "state.json")
    store.records()
    version = store.index_version

    store.records()

    assert store.index_version == version


def test_a_path_that_is_no_text_survives_in_the_file_of_its_run(tmp_path: Path) -> None:
    path = tmp_path / "launch.json"

    write_json(path, {"data_root": f"/data/{LONE}"})

    assert json.loads(path.read_bytes()) == {"data_root": f"/data/{LONE}"}


def test_a_journal_row_with_such_text_is_written_mended() -> None:
    assert decode_row(encode_row({"message": LONE, "score": float("inf")})) == {
        "message": MENDED,
        "score": float("inf"),
    }


def test_blank_tags_are_no_tags(store: RunStore) -> None:
    folder = create(store, tags=["", " ", "paper", " paper"])

    assert folder.meta()["tags"] == ["paper"]
