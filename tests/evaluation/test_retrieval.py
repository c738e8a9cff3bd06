"""Ranks with ties against the model, several right answers, classes; measured on checkpoints, with intervals."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import mmfuse.retrieval
from mmfuse.architecture import Architecture
from mmfuse.data.latent_world import Options, load
from mmfuse.errors import BadSpec, CheckpointMismatch, DataInvalid, Diverged, UnknownName
from mmfuse.evaluation.probe import probe_accuracy
from mmfuse.evaluation.retrieval import evaluate_retrieval
from mmfuse.evaluation.significance import clustered_difference, clustered_intervals
from mmfuse.models.assemble import build_model
from mmfuse.retrieval import class_hits, class_map, class_metrics, gold_ranks, retrieval_metrics
from mmfuse.task import Modality, Task
from mmfuse.training.checkpoint import Checkpoint

CPU = torch.device("cpu")


def plain_ranks(queries, candidates, gold):
    """The definition, one query at a time."""
    right = {query: {c for q, c in gold if q == query} for query in range(len(queries))}
    ranks = []
    for query, row in enumerate((queries @ candidates.T).tolist()):
        best = max(row[c] for c in right[query])
        ranks.append(1 + sum(value >= best for c, value in enumerate(row) if c not in right[query]))
    return ranks


@settings(deadline=None, max_examples=60)
@given(
    queries=st.integers(1, 8),
    captions=st.integers(1, 4),
    values=st.integers(2, 5),
    block=st.integers(1, 40),
    seed=st.integers(0, 10_000),
)
def test_ranks_follow_the_definition_with_ties_and_several_right_answers(queries, captions, values, block, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(values, (queries, 2), generator=generator).double()
    texts = torch.randint(values, (queries * captions, 2), generator=generator).double()
    gold = torch.stack([torch.arange(queries).repeat_interleave(captions), torch.arange(len(texts))], dim=1)
    gold = gold[torch.randperm(len(gold), generator=generator)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmfuse.retrieval, "BLOCK", block)
        forth, back = gold_ranks(images, texts, gold), gold_ranks(texts, images, gold.flip(1))

    assert forth.tolist() == plain_ranks(images, texts, gold.tolist())
    assert back.tolist() == plain_ranks(texts, images, gold.flip(1).tolist())


def test_a_right_answer_that_is_named_twice_counts_once():
    images, texts = torch.eye(3), torch.eye(3)
    gold = torch.tensor([(0, 0), (1, 1), (2, 2)])

    assert (
        gold_ranks(images, texts, gold.repeat(3, 1)).tolist() == gold_ranks(images, texts, gold).tolist() == [1, 1, 1]
    )


def test_pairs_that_repeat_because_a_third_modality_differs_are_ranked_like_the_others():
    items = {"image": torch.eye(4), "text": torch.eye(4).roll(1, 0), "audio": torch.eye(8)[:, :4]}
    pairs = torch.tensor([(n // 2, n // 2, n) for n in range(8)])

    metrics = retrieval_metrics(items, pairs)

    once = gold_ranks(items["image"], items["text"], pairs[::2, :2])
    assert once.min() > 1 and metrics["image_to_text_r1"] == 0
    assert metrics["image_to_text_median_rank"] == float(once.double().quantile(0.5))


def test_a_collapsed_model_finds_nothing():
    point = F.normalize(torch.ones(200, 16), dim=1)
    pairs = torch.arange(200)[:, None].repeat(1, 2)

    metrics = retrieval_metrics({"image": point, "text": point}, pairs)

    assert metrics["r_mean"] == 0
    assert metrics["image_to_text_median_rank"] == 200


def test_random_embeddings_score_chance():
    generator = torch.Generator().manual_seed(0)
    made = {name: F.normalize(torch.randn(2000, 32, generator=generator), dim=1) for name in ("image", "text")}

    metrics = retrieval_metrics(made, torch.arange(2000)[:, None].repeat(1, 2))

    assert metrics["image_to_text_r10"] == pytest.approx(10 / 2000, abs=0.005)
    assert metrics["text_to_image_median_rank"] == pytest.approx(1000, rel=0.1)


def test_partners_that_agree_are_all_found():
    made = F.normalize(torch.randn(50, 16), dim=1)
    pairs = torch.stack([torch.arange(50), torch.arange(50).flip(0)], dim=1)

    metrics = retrieval_metrics({"image": made, "text": made.flip(0)}, pairs)

    assert metrics["r_mean"] == 1
    assert metrics["text_to_image_median_rank"] == 1


def test_an_embedding_that_is_no_number_is_refused_not_ranked_first():
    bad = torch.full((3, 2), math.nan)

    with pytest.raises(Diverged):
        gold_ranks(bad, bad, torch.arange(3)[:, None].repeat(1, 2))


def test_the_nearest_of_the_same_class_is_a_hit_and_a_tie_is_not():
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    candidates = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])

    hits = class_hits(queries, candidates, torch.tensor([0, 1]), torch.tensor([0, 1, 0]))

    assert hits.tolist() == [1, 0]


def test_average_precision_at_r_of_a_hand_worked_case():
    queries = torch.tensor([[1.0]])
    candidates = torch.tensor([[0.9], [0.8], [0.7], [0.6]])

    found = class_map(queries, candidates, torch.tensor([1]), torch.tensor([1, 0, 1, 1]))

    assert float(found) == pytest.approx((1 / 1 + 2 / 3) / 3)


def test_class_metrics_of_a_collapsed_model_are_zero():
    point = torch.ones(20, 4)

    assert class_metrics({"a": point, "b": point}, torch.arange(20) % 2)["p1_mean"] == 0


def test_a_probe_reads_what_is_linear_and_nothing_else():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(600, 8, generator=generator)
    linear, nonsense = (values[:, 0] > 0).long(), torch.randint(2, (600,), generator=generator)

    read = probe_accuracy(values[:400], linear[:400], values[400:], linear[400:])
    guessed = probe_accuracy(values[:400], nonsense[:400], values[400:], nonsense[400:])

    assert read > 0.95
    assert guessed == pytest.approx(0.5, abs=0.1)


def _splits(**options):
    return load(None, Options(images=40, validation=20, test=60, captions=3, **options))


def _checkpoint(splits, *, seed=0, fingerprint=None, **provenance):
    torch.manual_seed(seed)
    architecture = Architecture("fusemix", {"embed": 8, "depth": 0})
    return Checkpoint(
        architecture=architecture,
        task=splits.task,
        fingerprint=fingerprint or splits.fingerprint,
        dataset=splits.label,
        weights=build_model(architecture, splits.task).state_dict(),
        epoch=1,
        step=1,
        provenance={"encoders": dict(splits.encoders), **provenance},
    )


def test_a_checkpoint_is_measured_both_ways_with_intervals_around_the_recalls():
    splits = _splits()

    measured = evaluate_retrieval(_checkpoint(splits), splits, device=CPU, draws=200)

    assert measured.samples == 180
    assert not measured.zero_shot
    assert len(measured.intervals) == 6
    for name, interval in measured.intervals.items():
        assert interval.low <= measured.metrics[name] <= interval.high


def test_other_pairs_of_the_same_encoders_are_zero_shot():
    splits = _splits()

    assert evaluate_retrieval(_checkpoint(splits, fingerprint="elsewhere"), splits, device=CPU).zero_shot


def test_latents_of_another_encoder_are_refused_and_the_split_stays_closed():
    splits, other = _splits(), _splits(seed=1)
    closed = replace(other, open_test=lambda: pytest.fail("the test split was opened"))

    with pytest.raises(CheckpointMismatch, match="image latents of latent_world image network, seed 0"):
        evaluate_retrieval(_checkpoint(splits), closed, device=CPU)


def test_a_checkpoint_of_a_classifier_is_refused():
    splits = _splits()
    task = Task("toy", "multiclass", (Modality("image", "vector", (4,)),), 3, "accuracy")

    with pytest.raises(BadSpec, match="multiclass"):
        evaluate_retrieval(replace(_checkpoint(splits), task=task), splits, device=CPU)


def test_an_unknown_split_is_named():
    splits = _splits()

    with pytest.raises(UnknownName, match="no split named 'tset'"):
        evaluate_retrieval(_checkpoint(splits), splits, split="tset", device=CPU)


def test_broken_test_latents_are_named():
    splits = _splits()
    test = splits.open_test()
    broken = replace(test, latents={**test.latents, "image": test.latents["image"] * math.inf})

    with pytest.raises(DataInvalid, match="image latent in row 0"):
        evaluate_retrieval(_checkpoint(splits), replace(splits, open_test=lambda: broken), device=CPU)


def test_where_pairs_share_a_class_classes_are_measured():
    splits = _splits()

    def labelled(pairs):
        return replace(pairs, classes=torch.arange(len(pairs)) % 3)

    task = replace(splits.task, metric="p1_mean")
    shared = replace(splits, task=task, train=labelled(splits.train), open_test=lambda: labelled(splits.open_test()))

    measured = evaluate_retrieval(_checkpoint(shared), shared, device=CPU, draws=100)

    assert {"p1_mean", "image_to_text_map_r", "probe_accuracy"} <= measured.metrics.keys()
    assert set(measured.intervals) == {"image_to_text_p1", "text_to_image_p1"}

    untrained = replace(shared, train=shared.train.take(torch.arange(0)))
    without_probe = evaluate_retrieval(_checkpoint(shared), untrained, device=CPU).metrics
    assert without_probe.keys() == measured.metrics.keys() - {"probe_accuracy"}


def test_captions_of_one_image_are_no_independent_samples():
    images = torch.arange(100)
    answers = (torch.arange(100) % 2).double()
    once = {"r1": (answers, images)}
    five_times = {"r1": (answers.repeat_interleave(5), images.repeat_interleave(5))}

    one, five = (clustered_intervals(hits, draws=2000)["r1"] for hits in (once, five_times))

    assert one == five


def test_a_model_does_not_differ_from_itself_and_differs_from_one_that_finds_nothing():
    cluster, found = torch.arange(80), torch.ones(80)

    same = clustered_difference((found, cluster), (found, cluster), draws=500)
    worse = clustered_difference((found, cluster), (torch.zeros(80), cluster), draws=500)

    assert (same.mean, same.p_value) == (0, 1)
    assert worse.mean == 1
    assert worse.p_value < 0.01


def test_different_queries_cannot_be_compared():
    with pytest.raises(BadSpec, match="3 and 4 queries"):
        clustered_difference((torch.ones(3), torch.arange(3)), (torch.ones(4), torch.arange(4)))
