"""What a run does: search, train or evaluate, from a spec, in a folder, reporting as it goes.

This is the one door through which a run manager (or a notebook) sets the library to work.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmfuse import __version__
from mmfuse.architecture import Architecture
from mmfuse.batch import Splits
from mmfuse.errors import BadSpec, CheckpointMismatch, Stopped
from mmfuse.evaluation.evaluate import Evaluation, evaluate
from mmfuse.evaluation.retrieval import RetrievalEvaluation, evaluate_retrieval
from mmfuse.evaluation.significance import clustered_difference
from mmfuse.extraction.job import extract_items
from mmfuse.latents import LatentSplits
from mmfuse.models.assemble import build_model
from mmfuse.models.cost import count_macs, count_parameters, measure_latency
from mmfuse.options import parse_options
from mmfuse.registry import DATASETS, MODELS, SEARCHES
from mmfuse.report import Reporter, TrialRecord
from mmfuse.search.drive import Outcome, drive
from mmfuse.spec import CHOICE_STAGE, EvalSpec, ExtractSpec, SearchSpec, TrainSpec
from mmfuse.training.backbones import BackboneLibrary
from mmfuse.training.checkpoint import Checkpoint, load_checkpoint
from mmfuse.training.contrastive import fit_contrastive
from mmfuse.training.device import choose_device, use_threads
from mmfuse.training.fit import FitResult, fit
from mmfuse.training.microbench import MicroBenchmark
from mmfuse.training.seeding import derive_seed
from mmfuse.training.tapbench import TapBenchmark
from mmfuse.training.two_stage import fit_fusion

Result = dict[str, Any]
AnySplits = Splits | LatentSplits


@dataclass(frozen=True)
class Workspace:
    """Where a job works and whom it answers to.

    ``history`` are the ended trials and ``fingerprint`` the data of earlier attempts at the same spec. ``threads`` is
    what a training on the CPU computes with, and how many search trials run side by side there (whose numbers do not
    depend on it). ``spent`` are the seconds that earlier attempts worked.
    """

    folder: Path
    data_root: Path
    reporter: Reporter
    should_stop: Callable[[], bool]
    device: str = "auto"
    threads: int = 1
    history: tuple[TrialRecord, ...] = ()
    fingerprint: str | None = None
    run: str = ""
    attempt: int = 1
    spent: float = 0.0


def run(spec: SearchSpec | TrainSpec | EvalSpec | ExtractSpec, workspace: Workspace) -> Result:
    """Do what ``spec`` says and return the run's result as plain JSON.

    Raises:
        Stopped: at a safe point after ``workspace.should_stop()`` became true; calling again goes on from there.
        MmfuseError: when the spec, the data or the training fails.
    """
    began = time.monotonic()
    use_threads(workspace.threads)
    if isinstance(spec, ExtractSpec):
        return _extract(spec, workspace) | {"seconds": time.monotonic() - began}
    splits = _load(spec, workspace)
    if isinstance(spec, SearchSpec):
        result = _search(spec, splits, workspace)
    elif isinstance(spec, TrainSpec):
        result = _train(spec.architecture, spec, splits, workspace)
    else:
        result = _measure(spec, splits, workspace)
    return {
        "dataset_label": splits.label,
        "fingerprint": splits.fingerprint,
        "stand_in": splits.stand_in,
        "maximize": splits.task.maximize,
        "seconds": workspace.spent + time.monotonic() - began,
        **result,
    }


def _load(spec: SearchSpec | TrainSpec | EvalSpec, workspace: Workspace) -> AnySplits:
    if workspace.should_stop():
        raise Stopped
    module = DATASETS.get(spec.dataset)
    options = parse_options(module.Options, spec.data, what=f"dataset {spec.dataset}")
    splits: AnySplits = module.load(workspace.data_root, options, progress=workspace.reporter.progress)
    if workspace.fingerprint is not None and workspace.fingerprint != splits.fingerprint:
        raise CheckpointMismatch(
            f"this run began on data {workspace.fingerprint}, but {splits.label} is now {splits.fingerprint}",
            "put the earlier files back, or start a new run",
        )
    workspace.reporter.note(
        "dataset",
        metric=f"val/{splits.task.metric}",
        maximize=splits.task.maximize,
        fingerprint=splits.fingerprint,
        label=splits.label,
        stand_in=splits.stand_in,
        train=len(splits.train),
        val=len(splits.val),
        provenance=dict(splits.provenance),
    )
    return splits


def _search(spec: SearchSpec, splits: AnySplits, workspace: Workspace) -> Result:
    assert isinstance(splits, Splits), "no search declares that it is for retrieval"
    module = SEARCHES.get(spec.search)
    options = parse_options(module.Options, spec.options, what=f"search {spec.search}")
    began = time.monotonic()
    evaluator = EVALUATORS[getattr(module, "EVALUATOR", "microbench")](options.benchmark, spec, splits, workspace)
    # A search that tells what it thinks between its questions declares an observer.
    hears = "observe" in inspect.signature(module.search).parameters
    rng = np.random.default_rng(derive_seed(spec.seed, "search"))
    outcome = drive(
        module.search(splits.task, options, rng, **({"observe": workspace.reporter.note} if hears else {})),
        evaluator=evaluator,
        reporter=workspace.reporter,
        seed_of=lambda number: derive_seed(spec.seed, "trial", number),
        finished={record.number: record for record in workspace.history},
        expected=getattr(module, "expected_work", module.expected_trials)(splits.task, options),
        work_of=getattr(module, "work", None),
    )
    artefact = workspace.folder / "artefacts" / "search.json"
    # An attempt that only trains what an earlier one found answers its questions from the history at once.
    seconds = _searched(artefact) or workspace.spent + time.monotonic() - began
    found = _describe(outcome, splits, seconds, choose_device(workspace.device))
    _write_json(artefact, found | {"stages": _by_stage(outcome)})
    workspace.reporter.note("found", architecture=outcome.architecture.to_json(), key=outcome.architecture.key)
    if isinstance(evaluator, TapBenchmark):
        found["full_training"] = evaluator.full_training(outcome.architecture)
    if not spec.train:
        return found
    architecture, warm = outcome.architecture, None
    if isinstance(evaluator, TapBenchmark):
        architecture = evaluator.finalist(outcome.architecture)
    elif getattr(options, "final", "fresh") == "warm":
        warm = evaluator.encoder_weights(outcome.architecture)
    trained = _train(architecture, spec, splits, workspace, warm=warm)
    return found | trained


def _micro_benchmark(options: Any, spec: SearchSpec, splits: Splits, workspace: Workspace) -> MicroBenchmark:
    return MicroBenchmark(
        splits,
        options,
        seed=spec.seed,
        device=choose_device(workspace.device),
        folder=workspace.folder / "trials",
        reporter=workspace.reporter,
        should_stop=workspace.should_stop,
        workers=workspace.threads,
        history=workspace.history,
    )


def _tap_benchmark(options: Any, spec: SearchSpec, splits: Splits, workspace: Workspace) -> TapBenchmark:
    return TapBenchmark(
        splits,
        options,
        seed=spec.seed,
        device=choose_device(workspace.device),
        folder=workspace.folder / "backbones",
        data_root=workspace.data_root,
        reporter=workspace.reporter,
        should_stop=workspace.should_stop,
        workers=workspace.threads,
    )


EVALUATORS: dict[str, Callable[[Any, SearchSpec, Splits, Workspace], MicroBenchmark | TapBenchmark]] = {
    "microbench": _micro_benchmark,
    "taps": _tap_benchmark,
}
"""How searches have their candidates trained, by the name that a search's file declares as ``EVALUATOR``."""


def _describe(outcome: Outcome, splits: Splits, seconds: float, device: torch.device) -> Result:
    """The search's own result: the winner, and the mean score of its trials in the stage that chose it."""
    stage = outcome.architecture.stage
    scores = [
        record.score
        for record in outcome.trials
        if record.architecture == outcome.architecture
        and record.architecture.stage == stage
        and record.status == "done"
        and record.score is not None
    ]
    score = sum(scores) / len(scores) if scores else None
    return {
        "architecture": outcome.architecture.to_json(),
        "architecture_key": outcome.architecture.key,
        "score": score,
        "metric": f"{'choice' if stage == CHOICE_STAGE else 'val'}/{splits.task.metric}",
        "metrics": {},
        "found": {"score": score, "key": outcome.architecture.key},
        "trials": len(outcome.trials),
        "trial_seconds": sum(record.seconds for record in outcome.trials),
        "search_seconds": seconds,
        **_size(outcome.architecture, splits, device),
    }


def _searched(artefact: Path) -> float | None:
    """What the search cost, where an earlier attempt finished it."""
    if not artefact.is_file():
        return None
    return float(json.loads(artefact.read_text())["search_seconds"])


def _by_stage(outcome: Outcome) -> dict[str, list[dict[str, Any]]]:
    """The trials of each question of the search, by number."""
    stages: dict[str, list[dict[str, Any]]] = {}
    for record in outcome.trials:
        stages.setdefault(record.architecture.stage, []).append(record.to_json())
    return stages


TRAINERS: dict[str, Callable[..., FitResult]] = {
    "fit": fit,
    "two_stage": fit_fusion,
    "contrastive": fit_contrastive,
}
"""How models are trained in full, by the name that a family's file declares as ``TRAINER``."""


def _train(
    architecture: Architecture,
    spec: SearchSpec | TrainSpec,
    splits: AnySplits,
    workspace: Workspace,
    *,
    warm: dict[str, Any] | None = None,
) -> Result:
    family = MODELS.get(architecture.family)
    train = TRAINERS[getattr(family, "TRAINER", "fit")]
    special = {"warm": warm, "data_root": workspace.data_root, "workers": workspace.threads}
    fitted = train(
        architecture,
        splits,
        spec.fit,
        seed=derive_seed(spec.seed, "fit"),
        device=choose_device(workspace.device),
        folder=workspace.folder,
        reporter=workspace.reporter,
        should_stop=workspace.should_stop,
        provenance={"run": workspace.run, "attempt": workspace.attempt, "mmfuse": __version__},
        **{name: special[name] for name in inspect.signature(train).parameters.keys() & special.keys()},
    )
    if hasattr(family, "tap_widths"):
        key = BackboneLibrary(workspace.data_root).add(load_checkpoint(fitted.best_checkpoint))
        workspace.reporter.note("backbone kept", weights=key, family=architecture.family)
    result: Result = {
        "architecture": architecture.to_json(),
        "architecture_key": architecture.key,
        "score": fitted.metrics[f"val/{splits.task.metric}"],
        "metric": f"val/{splits.task.metric}",
        "metrics": dict(fitted.metrics),
        "checkpoint": str(fitted.best_checkpoint.relative_to(workspace.folder)),
        "best_epoch": fitted.best_epoch,
        "epochs": fitted.epochs,
        "steps": fitted.steps,
        "fit_seconds": fitted.seconds,
        **_size(architecture, splits, choose_device(workspace.device)),
    }
    if spec.test:
        measured = _evaluate(fitted.best_checkpoint, "test", splits, workspace)
        result["metrics"] |= measured["metrics"]
    return result


def _measure(spec: EvalSpec, splits: AnySplits, workspace: Workspace) -> Result:
    """A checkpoint's metrics; of retrieval also intervals and, where asked for, what sets another one apart."""
    if spec.measure == "checkpoint":
        return _evaluate(Path(spec.checkpoint), spec.split, splits, workspace)
    if not isinstance(splits, LatentSplits):
        raise BadSpec(
            f"{splits.label} is a {splits.task.kind} task, not pairs of latents", "mmfuse eval checkpoint measures it"
        )
    checkpoint, device = load_checkpoint(Path(spec.checkpoint)), choose_device(workspace.device)
    ours = evaluate_retrieval(checkpoint, splits, split=spec.split, device=device, draws=spec.draws)
    result = _tell(ours, checkpoint, splits, workspace)
    result["intervals"] = {f"{spec.split}/{name}": [at.low, at.high] for name, at in ours.intervals.items()}
    result["zero_shot"] = ours.zero_shot
    if spec.against:
        theirs = evaluate_retrieval(Path(spec.against), splits, split=spec.split, device=device)
        result["differences"] = {
            f"{spec.split}/{name}": vars(clustered_difference(hits, theirs.hits[name], draws=spec.draws))
            for name, hits in ours.hits.items()
        }
    _write_json(workspace.folder / "artefacts" / "retrieval.json", result)
    return result


def _evaluate(path: Path, split: str, splits: AnySplits, workspace: Workspace) -> Result:
    workspace.reporter.progress(0, 1, what=f"evaluate/{split}")
    checkpoint = load_checkpoint(path)
    measure: Callable[..., Evaluation | RetrievalEvaluation] = (
        evaluate_retrieval if isinstance(splits, LatentSplits) else evaluate
    )
    measured = measure(checkpoint, splits, split=split, device=choose_device(workspace.device))
    return _tell(measured, checkpoint, splits, workspace)


def _tell(
    measured: Evaluation | RetrievalEvaluation, checkpoint: Checkpoint, splits: AnySplits, workspace: Workspace
) -> Result:
    """Report what was measured, and give it as a result."""
    split = measured.split
    metrics = {f"{split}/{name}": value for name, value in measured.metrics.items()}
    workspace.reporter.metrics(metrics, step=checkpoint.step)
    workspace.reporter.progress(1, 1, what=f"evaluate/{split}")
    return {
        "architecture": checkpoint.architecture.to_json(),
        "architecture_key": checkpoint.architecture.key,
        "score": metrics[f"{split}/{splits.task.metric}"],
        "metric": f"{split}/{splits.task.metric}",
        "metrics": metrics,
        "samples": measured.samples,
        **_size(checkpoint.architecture, splits, choose_device(workspace.device)),
    }


def _extract(spec: ExtractSpec, workspace: Workspace) -> Result:
    if workspace.should_stop():
        raise Stopped
    return extract_items(
        spec,
        data_root=workspace.data_root,
        device=choose_device(workspace.device),
        workers=workspace.threads,
        reporter=workspace.reporter,
        should_stop=workspace.should_stop,
    )


def _size(architecture: Architecture, splits: AnySplits, device: torch.device) -> Result:
    """Parameters; multiply-accumulates and milliseconds of one sample, untrained: neither depends on the weights."""
    model = build_model(architecture, splits.task).eval()
    sample = splits.val.batch(torch.zeros(1, dtype=torch.long))
    size = {"parameters": count_parameters(model), "macs": count_macs(model, sample)}
    return size | {"latency_ms": 1e3 * measure_latency(model.to(device), sample.to(device))}


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
    temporary.replace(path)
