"""MIMIC-III: the published pickle and its conversion, targets, splits, and a stand-in that rewards fusion."""

import pickle
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from mmfuse.data import mimic_files, mimic_iii, mimic_standin
from mmfuse.errors import DataInvalid, DataMissing


def _content(count: int = 50) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    content = {
        "ep_tdata": rng.normal(5.0, 3.0, (count, 24, 12)),
        "adm_features_all": rng.normal(50.0, 10.0, (count, 5)),
        "adm_labels_all": (rng.random((count, 8)) < 0.2).astype(float),
        "y_icd9": rng.integers(0, 2, (count, 20)),
    }
    content["ep_tdata"][0, 3, 2] = np.nan
    content["adm_features_all"][1, 4] = -np.inf
    return content


def _write(root: Path, content: object) -> Path:
    (root / "mimic_iii").mkdir(parents=True, exist_ok=True)
    (root / "mimic_iii" / "im.pk").write_bytes(pickle.dumps(content))
    return root


def test_the_pickle_and_its_conversion_are_the_same_data(tmp_path: Path) -> None:
    _write(tmp_path, _content())
    before = mimic_iii.load(tmp_path, mimic_iii.Options())

    path = mimic_iii.prepare(tmp_path)
    (tmp_path / "mimic_iii" / "im.pk").unlink()
    after = mimic_iii.load(tmp_path, mimic_iii.Options())

    assert path.name == "mimic_iii.npz"
    assert not before.stand_in
    assert before.fingerprint == after.fingerprint
    assert torch.equal(before.train.inputs["timeseries"], after.train.inputs["timeseries"])


def test_gaps_and_infinities_become_0_before_anything_else(tmp_path: Path) -> None:
    splits = mimic_iii.load(_write(tmp_path, _content()), mimic_iii.Options(scaling="none"))

    everything = [splits.train, splits.val, splits.open_test()]
    rows = {int(row): (split, place) for split in everything for place, row in enumerate(split.ids)}
    first, second = rows[0], rows[1]
    assert first[0].inputs["timeseries"][first[1], 3, 2] == 0
    assert second[0].inputs["static"][second[1], 4] == 0


def test_statistics_are_those_of_the_training_rows_alone(tmp_path: Path) -> None:
    content = _content()
    before = mimic_iii.load(_write(tmp_path / "one", content), mimic_iii.Options())
    rows = torch.cat([before.val.ids, before.open_test().ids]).numpy()
    content["ep_tdata"][rows] += 1e6
    content["adm_features_all"][rows] += 1e6

    after = mimic_iii.load(_write(tmp_path / "two", content), mimic_iii.Options())

    for name, scale in before.train.scales.items():
        assert torch.equal(scale.mean, after.train.scales[name].mean)
        assert torch.equal(scale.std, after.train.scales[name].std)


def test_mortality_is_the_first_of_five_flags_that_is_set() -> None:
    died = np.array([[1, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1]])
    stays = mimic_files.Stays(np.zeros((4, 5)), np.zeros((4, 24, 12)), died, np.eye(4, 20, dtype=np.int64))

    assert mimic_files.target(stays, "mortality").tolist() == [0, 2, 1, 5]
    assert mimic_files.target(stays, 2).tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("published", [True, False])
@pytest.mark.parametrize("count", [10, 99, 32_616])
def test_splits_are_tenths_of_all_rows_and_share_none(count: int, published: bool) -> None:
    rows = mimic_files.split_rows(count, published=published)

    assert sorted(np.concatenate(list(rows.values()))) == list(range(count))
    assert (len(rows["val"]), len(rows["test"])) == (count // 10, count // 5 - count // 10)


def test_the_published_split_is_pythons_shuffle_of_seed_10() -> None:
    order = list(range(32_616))
    random.seed(10)
    random.shuffle(order)

    rows = mimic_files.split_rows(32_616, published=True)

    assert rows["val"].tolist() == order[:3261]
    assert len(rows["train"]) == 26_093


def test_a_diagnosis_group_is_a_task_of_two_classes(tmp_path: Path) -> None:
    options = mimic_iii.Options(target=7)

    splits = mimic_iii.load(tmp_path, options)

    assert splits.task == mimic_iii.task(options)
    assert splits.task.outputs == 2
    assert set(splits.train.target.tolist()) == {0, 1}


def _without(name: str) -> Callable[[dict[str, np.ndarray]], object]:
    return lambda content: {key: value for key, value in content.items() if key != name}


def _with(name: str, value: object) -> Callable[[dict[str, np.ndarray]], object]:
    return lambda content: content | {name: value}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_without("y_icd9"), "expected adm_features_all, ep_tdata, adm_labels_all, y_icd9"),
        (list, "holds list, expected"),
        (_with("ep_tdata", np.zeros((50, 12, 24))), r"ep_tdata has shape \(50, 12, 24\), expected \(n, 24, 12\)"),
        (_with("adm_labels_all", np.zeros((50, 5))), r"adm_labels_all has shape \(50, 5\), expected \(n, 6 or more\)"),
        (_with("y_icd9", np.zeros((49, 20))), "different or too few numbers of stays: .* y_icd9 49"),
        (_with("y_icd9", "words"), "y_icd9 is no array of numbers"),
        (lambda content: {name: value[:5] for name, value in content.items()}, "too few numbers of stays"),
        (_with("more", print), "asks for builtins.print"),
        (_with("ep_tdata", np.full((50, 24, 12), -1e300)), r"ep_tdata holds -1e\+300, which is no measurement"),
        (_with("y_icd9", np.full((50, 20), 1e19)), r"y_icd9 holds 1e\+19, which is no measurement"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(
    tmp_path: Path, change: Callable[[dict[str, np.ndarray]], object], sentence: str
) -> None:
    root = _write(tmp_path, change(_content()))

    with pytest.raises(DataInvalid, match=sentence) as caught:
        mimic_iii.load(root, mimic_iii.Options())

    assert "\n" not in caught.value.message
    with pytest.raises(DataInvalid):
        mimic_iii.prepare(root)
    assert [path.name for path in (root / "mimic_iii").iterdir()] == ["im.pk"]


def test_a_damaged_conversion_is_refused(tmp_path: Path) -> None:
    mimic_iii.prepare(_write(tmp_path, _content()))
    path = tmp_path / "mimic_iii" / "mimic_iii.npz"
    path.write_bytes(path.read_bytes()[:-3000])

    with pytest.raises(DataInvalid, match=r"mimic_iii.npz is not a complete archive of arrays"):
        mimic_iii.load(tmp_path, mimic_iii.Options())


def test_data_that_cannot_be_downloaded_says_where_it_comes_from_and_goes_to(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="needs an agreement with PhysioNet") as caught:
        mimic_iii.prepare(tmp_path)
    with pytest.raises(DataMissing, match=r"neither mimic_iii.npz nor im.pk"):
        mimic_iii.load(tmp_path, mimic_iii.Options(source="real"))

    assert str(tmp_path / "mimic_iii" / "im.pk") in caught.value.hint
    assert mimic_iii.status(tmp_path, mimic_iii.Options(source="real")).source == "unusable"


def test_the_stand_ins_modalities_are_worth_more_together() -> None:
    stays = mimic_standin.make(4000, seed=0)
    target = mimic_files.target(stays, "mortality")
    series = stays.timeseries.reshape(len(stays), -1)

    scores = {}
    for name, values in {"static": stays.static, "series": series, "both": np.hstack([stays.static, series])}.items():
        model = HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=8).fit(values[:3000], target[:3000])
        scores[name] = model.score(values[3000:], target[3000:])

    assert scores["both"] > max(scores["static"], scores["series"]) + 0.02


def test_every_class_and_every_diagnosis_occurs_in_the_stand_in() -> None:
    stays = mimic_standin.make(2000, seed=3)

    assert set(mimic_files.target(stays, "mortality")) == set(range(6))
    assert stays.diagnoses.mean(axis=0).min() > 0.02
    assert stays.diagnoses.mean(axis=0).max() < 0.98
