"""What is best of a search's trials: whole models, as soon as there are some."""

from __future__ import annotations

from mmfuse.architecture import Architecture
from mmfuse.report import TrialRecord
from mmfuse_runs.measured import measured_alike


def trial(number, stage, score, status="done"):
    return TrialRecord(number, Architecture("mixmas", {}, stage), 0, status, score)


def test_an_encoder_alone_is_the_best_only_while_there_is_no_whole_model():
    encoders = [trial(0, "encoder/image", 0.6), trial(1, "encoder/audio", 0.3)]
    waiting = trial(2, "fusion", None)
    models = [trial(3, "fusion", 0.5), trial(4, "network", 0.55)]

    assert measured_alike([*encoders, waiting]) == [*encoders, waiting]
    assert measured_alike([*encoders, waiting, *models]) == [waiting, *models]


def test_scores_on_held_out_rows_are_never_the_best():
    searched, chosen = trial(0, "random", 0.7), trial(1, "choice", 0.9)

    assert measured_alike([searched, chosen]) == [searched]
    assert measured_alike([chosen]) == []


def test_the_score_of_a_shorter_training_is_never_the_best():
    dropped, trained = trial(0, "fusion", 0.9, "pruned"), trial(1, "fusion", 0.6)

    assert measured_alike([dropped, trained]) == [trained]
