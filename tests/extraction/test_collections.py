"""Annotation files of the published collections, tiny ones of the same format: items, pairs, splits, oddities."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from mmfuse.errors import DataInvalid, DataMissing
from mmfuse.extraction.collection import Collection
from mmfuse.registry import COLLECTIONS


def _read(name: str, root: Path, **options: object) -> Collection:
    module: ModuleType = COLLECTIONS.get(name)
    collection: Collection = module.read(root, module.Options(**options))
    collection.table.check(name)
    return collection


def _put(root: Path, name: str, content: object) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def _five(image: str) -> list[str]:
    return [f"caption {n} of {image}" for n in range(5)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    train = [
        {"image": f"train2014/{n}.jpg", "image_id": f"coco_{n}", "caption": text}
        for n in range(3)
        for text in _five(str(n))
    ]
    _put(tmp_path, "coco/coco_karpathy_train.json", [*train, {"image": "train2014/9.jpg", "caption": "caption 0 of 0"}])
    for split, image in (("val", "val2014/7.jpg"), ("test", "val2014/8.jpg")):
        _put(tmp_path, f"coco/coco_karpathy_{split}.json", [{"image": image, "caption": [*_five(image), "a sixth"]}])
        _put(tmp_path, f"flickr30k/flickr30k_{split}.json", [{"image": image, "caption": _five(image)}])
    listed = [{"image": f"{n}.jpg", "caption": f"caption {n}", "url": "http://example.org"} for n in range(4)]
    for name in ("visual_genome/vg_caption.json", "sbu/sbu.json", "cc3m/cc3m.json"):
        _put(tmp_path, name, listed)
    for split in ("train", "val", "test"):
        captions = 1 if split == "train" else 5
        rows = [f"{n},video{split},{n // captions},sound {n}" for n in range(2 * captions)]
        _put(tmp_path, f"audiocaps/{split}.csv", "\n".join(["audiocap_id,youtube_id,start_time,caption", *rows]))
    header = ",".join(["file_name", *(f"caption_{n}" for n in range(1, 6))])
    for part in ("development", "validation", "evaluation"):
        rows = [f'"{part}, {n}.wav",' + ",".join(f'"A {n}, {k}."' for k in range(5)) for n in range(3)]
        _put(tmp_path, f"clotho/clotho_captions_{part}.csv", "\n".join([header, *rows]))
    return tmp_path


SIZES = {
    "coco": ({"image": 6, "text": 15 + 12}, {"train": 16, "val": 6, "test": 6}),
    "flickr30k": ({"image": 2, "text": 10}, {"val": 5, "test": 5}),
    "visual_genome": ({"image": 4, "text": 4}, {"train": 4}),
    "sbu": ({"image": 4, "text": 4}, {"train": 4}),
    "cc3m": ({"image": 4, "text": 4}, {"train": 4}),
    "audiocaps": ({"audio": 6, "text": 22}, {"train": 2, "val": 10, "test": 10}),
    "clotho": ({"audio": 9, "text": 15 + 30}, {"train": 15, "val": 15, "test": 15}),
}


def test_every_collection_is_tested_here() -> None:
    assert set(SIZES) == set(COLLECTIONS.names())


@pytest.mark.parametrize("name", SIZES)
def test_items_and_pairs_are_counted_right(root: Path, name: str) -> None:
    collection = _read(name, root)
    items, pairs = SIZES[name]

    assert {modality: len(ids) for modality, ids in collection.table.ids.items()} == items
    assert {split: len(rows) for split, rows in collection.table.splits.items()} == pairs
    assert {modality: len(found) for modality, found in collection.items.items()} == items
    assert collection.complaints == ()


@pytest.mark.parametrize("name", SIZES)
def test_a_declaration_stands_alone_and_reading_twice_gives_the_same_table(root: Path, name: str) -> None:
    declaration = COLLECTIONS.declaration(name)

    assert COLLECTIONS.summary(name).endswith(".")
    assert tuple(SIZES[name][0]) == declaration.MODALITIES
    assert all(field.description for field in declaration.Options.model_fields.values())
    assert _read(name, root).table.digest == _read(name, root).table.digest


def test_each_medium_is_one_item_and_pairs_point_at_its_captions(root: Path) -> None:
    collection = _read("coco", root)
    paths, texts = collection.items["image"], collection.items["text"]

    pairs = [(paths[image], texts[text]) for image, text in collection.table.splits["val"].tolist()]

    place = str(root / "coco/images/val2014/7.jpg")
    assert pairs == [(place, text) for text in [*_five("val2014/7.jpg"), "a sixth"]]


def test_equal_training_captions_are_one_item_and_other_captions_another_table(root: Path) -> None:
    collection = _read("coco", root)
    pairs = collection.table.splits["train"].tolist()
    assert pairs[0][1] == pairs[-1][1]
    assert pairs[0][0] != pairs[-1][0]

    rows = json.loads((root / "coco/coco_karpathy_train.json").read_text())
    rows[3]["caption"] = "something else"
    _put(root, "coco/coco_karpathy_train.json", rows)

    assert _read("coco", root).table.digest != collection.table.digest


@pytest.mark.parametrize("name", ["coco", "flickr30k"])
def test_karpathys_own_file_is_read_and_restval_is_trained_on(tmp_path: Path, name: str) -> None:
    images = [
        {
            "filepath": "val2014",
            "filename": f"{n}.jpg",
            "split": split,
            "sentences": [{"raw": t} for t in _five(str(n))],
        }
        for n, split in enumerate(("train", "restval", "val", "test"))
    ]
    _put(tmp_path, f"{name}/dataset_{name}.json", {"images": images, "dataset": name})

    collection = _read(name, tmp_path)

    assert {split: len(rows) for split, rows in collection.table.splits.items()} == {"train": 10, "val": 5, "test": 5}
    assert collection.table.ids["image"] == tuple(f"val2014/{n}.jpg" for n in range(4))


def test_a_limit_takes_the_first_media_of_each_split(root: Path) -> None:
    collection = _read("clotho", root, limit=2)

    assert {split: len(rows) for split, rows in collection.table.splits.items()} == {"train": 10, "val": 10, "test": 10}


def test_a_folder_elsewhere_is_read(root: Path) -> None:
    assert _read("sbu", root / "nowhere", folder=root / "sbu").items["image"][0] == str(root / "sbu/images/0.jpg")


def test_clips_have_the_names_they_are_saved_under(root: Path) -> None:
    assert _read("audiocaps", root).items["audio"][0] == str(root / "audiocaps/audio/videotrain_0.wav")
    assert _read("clotho", root).items["audio"][0] == str(root / "clotho/development/development, 0.wav")


def test_odd_entries_are_left_out_counted_and_named(tmp_path: Path) -> None:
    entries: list[dict[str, object]] = [{"image": f"{n}.jpg", "caption": "  "} for n in range(5)]
    _put(tmp_path, "sbu/sbu.json", [*entries, {"image": None, "caption": "x"}, {"image": "9.jpg", "caption": "good"}])

    collection = _read("sbu", tmp_path)

    assert collection.table.ids["image"] == ("9.jpg",)
    assert collection.complaints == (
        "5 image entries of train with an empty caption or none: 0.jpg, 1.jpg, 2.jpg and 2 more",
        "1 entries of train without a file name: None",
    )


@pytest.mark.parametrize(
    ("name", "file", "content", "sentence"),
    [
        ("sbu", "sbu/sbu.json", "[{", "is not complete JSON"),
        ("sbu", "sbu/sbu.json", {"images": []}, "is not a JSON list of objects"),
        ("sbu", "sbu/sbu.json", [], "hold no caption of any image"),
        ("coco", "coco/dataset_coco.json", [], "has no list 'images'"),
        ("clotho", "clotho/clotho_captions_development.csv", "a,b\n1,2\n", "has no column file_name, it has a, b"),
        ("audiocaps", "audiocaps/train.csv", "", "has no column youtube_id, it has none"),
    ],
)
def test_a_file_that_is_not_right_is_refused_in_one_sentence(
    tmp_path: Path, name: str, file: str, content: object, sentence: str
) -> None:
    _put(tmp_path, file, content)

    with pytest.raises(DataInvalid, match=sentence) as caught:
        _read(name, tmp_path)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", SIZES)
def test_absent_annotations_are_named_with_the_place_they_belong_in(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataMissing, match=rf"{name} is not in .*{name}: it needs .+\.(json|csv)"):
        _read(name, tmp_path)


def _karpathy(*images: object) -> dict[str, object]:
    return {"images": list(images)}


SOUND = {"filename": "a.jpg", "split": "train", "sentences": [{"raw": "a dog"}]}


@pytest.mark.parametrize(
    "odd",
    [
        {"filename": "b.jpg", "split": "train", "sentences": ["no object"]},
        {"filename": "b.jpg", "split": "train", "sentences": None},
        {"filename": 7, "split": "train", "sentences": [{"raw": "a cat"}]},
        {"split": "train", "sentences": [{"raw": "a cat"}]},
        {"filename": "b.jpg", "split": ["train"], "sentences": [{"raw": "a cat"}]},
    ],
    ids=str,
)
def test_odd_entries_of_karpathys_file_are_left_out(tmp_path: Path, odd: object) -> None:
    _put(tmp_path, "coco/dataset_coco.json", _karpathy(odd, SOUND))

    assert {modality: len(found) for modality, found in _read("coco", tmp_path).items.items()} == {
        "image": 1,
        "text": 1,
    }


@pytest.mark.parametrize("content", [_karpathy("a", None), "[" * 100_000], ids=["no objects", "too deep"])
def test_a_file_that_is_not_karpathys_is_refused_in_one_sentence(tmp_path: Path, content: object) -> None:
    _put(tmp_path, "coco/dataset_coco.json", content)

    with pytest.raises(DataInvalid):
        _read("coco", tmp_path)


def test_a_limit_counts_media_and_keeps_all_their_captions(root: Path) -> None:
    table = _read("coco", root, limit=2).table

    assert len(table.splits["train"]) == 10
    assert len(set(table.splits["train"][:, 0].tolist())) == 2


@pytest.mark.parametrize(
    ("name", "file", "rows"),
    [
        ("audiocaps", "train.csv", "youtube_id,start_time,caption\n,30,nobody's\na,,nobody's\na,30,a bell"),
        (
            "clotho",
            "clotho_captions_development.csv",
            "file_name,caption_1,caption_2,caption_3,caption_4,caption_5\n,a,b,c,d,e\nx.wav,a bell,,,,",
        ),
    ],
)
def test_rows_that_name_no_clip_are_left_out(tmp_path: Path, name: str, file: str, rows: str) -> None:
    _put(tmp_path, f"{name}/{file}", rows)

    collection = _read(name, tmp_path)

    assert list(collection.items["text"]) == ["a bell"]
    assert any("without a file name" in complaint for complaint in collection.complaints)
