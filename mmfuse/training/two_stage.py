"""Full training of a found fusion, in the two stages of MFAS: the fusion on frozen backbones, then everything.

The first stage runs on cached taps and costs next to nothing, so it lasts longer than the published single epoch and
has one cosine cycle; the release lowers its step size tenfold and overwrites that with the first batch. The second
stage is the ordinary full training, started from what the first left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch

from mmfuse.architecture import Architecture
from mmfuse.backbones import choose_backbones
from mmfuse.batch import Splits
from mmfuse.errors import Diverged
from mmfuse.models.assemble import build_model
from mmfuse.models.mfas import Mfas, Params
from mmfuse.options import parse_options
from mmfuse.report import Reporter
from mmfuse.spec import FitOptions, PretrainOptions
from mmfuse.training.backbones import obtain_backbones
from mmfuse.training.batched import Candidate, Regime, train_group
from mmfuse.training.fit import FitResult, fit_model
from mmfuse.training.optimiser import Cycles
from mmfuse.training.resident import steps_per_epoch
from mmfuse.training.seeding import derive_seed, seeded
from mmfuse.training.taps import TapTable, cached_taps, layout_of


def fit_fusion(
    architecture: Architecture,
    splits: Splits,
    options: FitOptions,
    *,
    seed: int,
    device: torch.device,
    folder: Path,
    data_root: Path,
    reporter: Reporter,
    should_stop: Callable[[], bool],
    provenance: Mapping[str, Any],
    workers: int = 1,
) -> FitResult:
    """Train an architecture of family mfas in both stages, or go on where an earlier attempt was.

    Backbones whose weights the architecture does not name are found again or pretrained with the default recipe.

    Raises:
        Stopped, Diverged, CheckpointMismatch, StoreError, BadSpec: as `fit_model`.
        DataMissing, DataInvalid: when named backbones are absent or damaged.
    """
    with seeded(derive_seed(seed, "weights")):
        model = cast(Mfas, build_model(architecture, splits.task))
    # A second stage that has begun holds everything in its own checkpoint.
    if not (folder / "checkpoints" / "last.ckpt").exists():
        _first_stage(
            model,
            parse_options(Params, architecture.params, what="model mfas"),
            splits,
            options,
            seed=seed,
            device=device,
            folder=folder,
            data_root=data_root,
            reporter=reporter,
            should_stop=should_stop,
            workers=workers,
        )
    return fit_model(
        model,
        splits,
        options,
        architecture=architecture,
        seed=seed,
        device=device,
        folder=folder,
        reporter=reporter,
        should_stop=should_stop,
        provenance=provenance,
    )


def _first_stage(
    model: Mfas,
    params: Params,
    splits: Splits,
    options: FitOptions,
    *,
    seed: int,
    device: torch.device,
    folder: Path,
    data_root: Path,
    reporter: Reporter,
    should_stop: Callable[[], bool],
    workers: int,
) -> None:
    """Give ``model`` its backbones, and a fusion that is trained on their taps."""
    backbones = obtain_backbones(
        choose_backbones(splits.task, params.backbones, modalities=params.modalities),
        splits,
        pretrain=PretrainOptions(),
        device=device,
        folder=folder / "backbones",
        data_root=data_root,
        reporter=reporter,
        should_stop=should_stop,
        workers=workers,
    )
    table = cached_taps(
        backbones,
        splits,
        data_root=data_root,
        device=device,
        reporter=reporter,
        should_stop=should_stop,
        workers=workers,
    )
    weights = {name: backbone.weights for name, backbone in backbones.items()}
    model.install(weights, mean=table.mean, std=table.std, of=layout_of(backbones, splits.task))
    if options.fusion_epochs:
        _train_chain(
            model, params, table, splits, options, seed=seed, device=device, reporter=reporter, should_stop=should_stop
        )


def _train_chain(
    model: Mfas,
    params: Params,
    table: TapTable,
    splits: Splits,
    options: FitOptions,
    *,
    seed: int,
    device: torch.device,
    reporter: Reporter,
    should_stop: Callable[[], bool],
) -> None:
    epochs = options.fusion_epochs
    cycles = Cycles(
        highest=options.learning_rate,
        lowest=options.minimum_rate,
        first=epochs,
        factor=1,
        steps_per_epoch=steps_per_epoch(len(table.train), batch_size=options.batch_size),
    )
    (trained,) = train_group(
        [Candidate(params, derive_seed(seed, "fusion"))],
        table.train.to(device),
        table.val.to(device),
        layout=table.layout,
        task=splits.task,
        regime=Regime(
            epochs=epochs,
            batch_size=options.batch_size,
            cycles=cycles,
            weight_decay=options.weight_decay,
            order_seed=derive_seed(seed, "fusion order"),
        ),
        on_epoch=lambda epoch, losses, scores: reporter.progress(
            epoch, epochs, what=f"fusion/epoch {epoch} of {epochs}"
        ),
        should_stop=should_stop,
    )
    if trained.reason:
        raise Diverged(f"{trained.reason} of the fusion stage", "a smaller learning rate may help (fit.learning_rate)")
    model.chain.load_state_dict(trained.state)
    reporter.note(
        "fusion stage",
        epochs=epochs,
        best_epoch=trained.best_epoch,
        scores=list(trained.scores),
        metric=f"val/{splits.task.metric}",
    )
