"""FuseMix does what it is for: with few pairs, blending finds more partners than not blending."""

from statistics import mean

import pytest
import torch
from latent_pairs import Listener

from mmfuse.architecture import Architecture
from mmfuse.data.latent_world import Options, load
from mmfuse.evaluation.retrieval import evaluate_retrieval
from mmfuse.spec import FitOptions
from mmfuse.training.contrastive import fit_contrastive

CPU = torch.device("cpu")
STEPS = 300


def recall(folder, seed, blend):
    """R@1 on test pairs, the mean of both directions, after as many steps on 500 pairs in either case."""
    splits = load(None, Options(seed=seed, validation=100))
    steps_per_epoch = {"halves": 1, "none": 2}[blend]
    params = {"embed": 32, "depth": 2, "expansion": 2, "dropout": 0.0, "blend": blend}
    result = fit_contrastive(
        Architecture("fusemix", params),
        splits,
        FitOptions(
            epochs=STEPS // steps_per_epoch,
            batch_size=250,
            schedule="warmup",
            warmup_steps=50,
            weight_decay=0.1,
            early_stopping=None,
            checkpoint_seconds=3600,
        ),
        seed=seed,
        device=CPU,
        folder=folder,
        reporter=Listener(),
        should_stop=lambda: False,
        provenance={},
    )
    metrics = evaluate_retrieval(result.best_checkpoint, splits, device=CPU).metrics
    return (metrics["image_to_text_r1"] + metrics["text_to_image_r1"]) / 2


@pytest.mark.slow
def test_with_500_pairs_it_gains_two_points_of_recall(tmp_path):
    found = {
        blend: [recall(tmp_path / f"{blend}{seed}", seed, blend) for seed in range(3)] for blend in ("halves", "none")
    }

    assert mean(found["halves"]) - mean(found["none"]) >= 0.02, found
