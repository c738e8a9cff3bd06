"""The form that starts runs, without a screen: its fields from registries and option models, and the spec they make."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Literal

from mmfuse.errors import BadSpec, MmfuseError
from mmfuse.registry import DATASETS, MODELS, SEARCHES, Registry
from mmfuse.spec import EvalSpec, ExtractSpec, FitOptions, SearchSpec, resolve_search, resolve_train
from mmfuse_runs.begin import usual_preset
from mmfuse_runs.declared import DeclaredOption, declared_options, options_model
from mmfuse_runs.specs import Spec, command_of, preset_and_settings
from mmfuse_runs.sweeping import combinations, seeds_of, with_prefix

if TYPE_CHECKING:
    from pydantic import BaseModel

    from mmfuse_runs.store import RunStore

Kind = Literal["search", "train", "eval"]
KINDS: tuple[Kind, ...] = ("search", "train", "eval")
USUAL, NONE = "(usual)", "(none)"
OVER = "over"
"""Name of the field that makes a sweep."""
MORE = "more settings"
"""Name of the field that takes any KEY=VALUE, for options of options that have no field of their own."""


@dataclass(frozen=True)
class Field:
    """One line of the form: its value, what it takes, what it means; ``choices`` are all there are, if few.

    ``changed``: the user gave it another value than the one it has by itself.
    """

    name: str
    value: str
    takes: str = ""
    meaning: str = ""
    choices: tuple[str, ...] = ()
    changed: bool = False


@dataclass(frozen=True)
class Form:
    """What the user filled in so far; ``settings`` holds only options that differ from preset and default."""

    kind: Kind = "search"
    subject: str = "mixmas"
    dataset: str = "avmnist"
    preset: str = USUAL
    seed: str = "0"
    device: str = "auto"
    name: str = ""
    tags: str = ""
    full: str = "yes"
    test: str = "yes"
    split: str = "test"
    more: str = ""
    over: str = ""
    source: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    def fields(self) -> tuple[Field, ...]:
        """Every line of the form as it is filled in now."""
        if self.kind == "eval":
            return tuple(self._measurement_fields())
        return (*self._head_fields(), *self._option_fields())

    def with_value(self, name: str, value: str) -> Form:
        """The form after one line was changed; choosing another kind, subject or dataset drops what belonged to it."""
        if name == "kind":
            kind: Kind = next((kind for kind in KINDS if kind == value), self.kind)
            subject = {"search": "mixmas", "train": "m2_mixer", "eval": ""}[kind]
            preset = USUAL if kind == "search" else NONE
            changed = replace(self, kind=kind, subject=subject, preset=preset, settings={}, source=self.source)
            return changed._on_data_that_fit()
        if name == "what":
            kept = {key: text for key, text in self.settings.items() if key.startswith(("fit.", "data."))}
            changed = replace(self, subject=value, preset=USUAL if self.kind == "search" else NONE, settings=kept)
            return changed._on_data_that_fit()
        if name == "dataset":
            kept = {key: text for key, text in self.settings.items() if not key.startswith("data.")}
            return replace(self, dataset=value, settings=kept)
        own = {"preset", "seed", "device", "name", "tags", "full", "test", "split", "source", "over"}
        if name in own or name == MORE:
            return replace(self, **{"more" if name == MORE else name: value})  # type: ignore[arg-type]
        if value == self._default(name):
            return self.without(name)
        return replace(self, settings={**self.settings, name: value})

    def without(self, key: str) -> Form:
        """The form with one option as preset and default have it."""
        return replace(self, settings={name: text for name, text in self.settings.items() if name != key})

    def _on_data_that_fit(self) -> Form:
        """The form with another dataset where this one is not for the search or model, and others are."""
        fitting = fitting_datasets(self.kind, self.subject) if self.kind != "eval" else ()
        return self if not fitting or self.dataset in fitting else self.with_value("dataset", fitting[0])

    def chosen_preset(self) -> str | None:
        """The preset that the command line would take."""
        if self.preset == USUAL:
            return usual_preset(self.subject, self.device) if self.kind == "search" else None
        return None if self.preset == NONE else self.preset

    def assignments(self) -> list[str]:
        """What ``--set`` would be given.

        Raises:
            BadSpec: the line of more settings has an open quote.
        """
        try:
            more = shlex.split(self.more)
        except ValueError as error:
            raise BadSpec(f"{MORE}: {error}", "write KEY=VALUE, quoted where there are blanks") from error
        return [*(f"{key}={text}" for key, text in self.settings.items()), *more]

    def spec(self, store: RunStore) -> Spec:
        """What would be started; the store knows the checkpoints of runs.

        Raises:
            BadSpec, UnknownName: every mistake at once, as the command line tells them.
        """
        if self.kind == "eval":
            from mmfuse_runs.origin import resolve_checkpoint

            split = next(split for split in ("train", "val", "test") if split == self.split)
            return resolve_checkpoint(store, self.source, dataset=None, split=split, settings=self.assignments())
        preset, seed, settings = self.chosen_preset(), self._seed(), self.assignments()
        if self.kind == "search":
            train, test = self.full == "yes", self.test == "yes"
            return resolve_search(
                self.subject, self.dataset, preset=preset, settings=settings, seed=seed, train=train, test=test
            )
        return resolve_train(
            self.subject,
            self.dataset,
            preset=preset,
            settings=settings,
            seed=seed,
            test=self.test == "yes",
            source=self.source,
        )

    @property
    def is_sweep(self) -> bool:
        """Whether more than one run is asked for."""
        return self.kind != "eval" and bool(self.over.strip() or "," in self.seed)

    def specs(self, store: RunStore) -> list[tuple[str, Spec]]:
        """What would be started: of a sweep every run, with the settings that are its own.

        Raises:
            BadSpec, UnknownName: as `spec`, of the first run that has a mistake.
        """
        if not self.is_sweep:
            return [("", self.spec(store))]
        if self.kind == "search" and self.full != "yes":
            raise BadSpec("a sweep of searches trains what each of them finds", "full: yes")
        axes = [with_prefix(word, self.subject, self.dataset, search=self.kind == "search") for word in self._axes()]
        found = []
        for chosen, seed in itertools.product(combinations(axes), seeds_of(self.seed)):
            more = " ".join([self.more, shlex.join(chosen)]).strip()
            found.append((" ".join(chosen), replace(self, over="", seed=str(seed), more=more).spec(store)))
        return found

    def command(self, store: RunStore) -> str:
        """The command line that starts the same.

        Raises:
            BadSpec, UnknownName: as `specs`.
        """
        found = self.specs(store)
        if not self.is_sweep:
            return command_of(found[0][1])
        words = ["mmfuse", "sweep", self.subject, *(["--search"] if self.kind == "search" else [])]
        words += ["--dataset", self.dataset]
        preset = self.chosen_preset()
        words += ["--preset", preset] if preset else []
        words += [word for axis in self._axes() for word in ("--over", axis)]
        words += ["--seeds", self.seed.replace(" ", "")]
        words += [word for setting in self.assignments() for word in ("--set", setting)]
        return shlex.join([*words, *(["--no-test"] if self.test != "yes" else [])])

    def _axes(self) -> list[str]:
        try:
            return shlex.split(self.over)
        except ValueError as error:
            raise BadSpec(f"{OVER}: {error}", "write KEY=V1,V2, quoted where there are blanks") from error

    def _seed(self) -> int:
        try:
            return int(self.seed)
        except ValueError:
            raise BadSpec(f"the seed '{self.seed}' is not a whole number", "for example 0") from None

    def _registry(self) -> Registry:
        return SEARCHES if self.kind == "search" else MODELS

    def _head_fields(self) -> Iterator[Field]:
        declaration = self._registry().declaration(self.subject)
        presets = (*((USUAL,) if self.kind == "search" else ()), NONE, *getattr(declaration, "PRESETS", {}))
        yield Field("kind", self.kind, "", "What to start.", KINDS)
        meaning = self._registry().summary(self.subject)
        usable = [name for name in self._registry().names() if fitting_datasets(self.kind, name)]
        yield Field("what", self.subject, "", meaning, _with(self.subject, usable))
        yield self._dataset_field()
        told = f"A named set of options; the usual one here is {self.chosen_preset() or 'none'}."
        yield Field("preset", self.preset, "", told, presets)
        yield Field("seed", self.seed, "int", "Root of all random numbers of the run; of several, 0,1,2, a run each.")
        meaning = "A sweep: settings and the values they go through, a run for every combination."
        yield Field(OVER, self.over, "KEY=V1,V2 …", meaning)
        yield Field("device", self.device, "auto | cpu | cuda | cuda:N", "Where it computes.", ("auto", "cpu", "cuda"))
        yield Field("name", self.name, "text", "A name to find the run by.")
        yield Field("tags", self.tags, "words", "Tags, separated by blanks.")
        if self.kind == "search":
            yield Field("full", self.full, "", "Train the architecture found in full.", ("yes", "no"))
        yield Field("test", self.test, "", "Measure once on the test split at the end.", ("yes", "no"))
        yield Field(MORE, self.more, "KEY=VALUE …", "Options below these, such as space.network_params.mlp.depth=2.")

    def _dataset_field(self) -> Field:
        """Datasets that fit; the others are named, and can be typed for settings with which they do."""
        fitting = fitting_datasets(self.kind, self.subject)
        others = ", ".join(name for name in DATASETS.names() if name not in fitting)
        summary = DATASETS.summary(self.dataset) if self.dataset in DATASETS.names() else ""
        meaning = f"{summary} Enter types a name; without further settings these do not fit: {others}."
        return Field("dataset", self.dataset, "", meaning if others else summary, _with(self.dataset, fitting))

    def _measurement_fields(self) -> Iterator[Field]:
        yield Field("kind", self.kind, "", "What to start.", KINDS)
        yield Field("source", self.source, "run or path", "A run (its best checkpoint is taken) or a checkpoint file.")
        yield Field("split", self.split, "", "What to measure on.", ("train", "val", "test"))
        yield Field("device", self.device, "auto | cpu | cuda | cuda:N", "Where it computes.", ("auto", "cpu", "cuda"))
        yield Field("name", self.name, "text", "A name to find the run by.")
        yield Field("tags", self.tags, "words", "Tags, separated by blanks.")
        yield Field(MORE, self.more, "KEY=VALUE …", "Options of the dataset, such as data.limit=1000.")

    def _option_fields(self) -> Iterator[Field]:
        for option in self._options():
            value = self.settings.get(option.key, option.default)
            yield Field(option.key, value, option.takes, option.meaning, _choices(option), option.key in self.settings)

    def _options(self) -> Iterator[DeclaredOption]:
        """All options with the values that preset and defaults give them."""
        given = _flat(self._preset_values())
        models: list[tuple[str, type[BaseModel]]]
        models = [("", options_model(self._registry().declaration(self.subject))), ("fit.", FitOptions)]
        if self.dataset in DATASETS.names():
            models.append(("data.", options_model(DATASETS.declaration(self.dataset))))
        for prefix, model in models:
            for option in declared_options(model, prefix=prefix):
                yield replace(option, default=given.get(option.key, option.default))

    def _preset_values(self) -> Mapping[str, object]:
        presets: Mapping[str, Mapping[str, object]] = getattr(self._registry().declaration(self.subject), "PRESETS", {})
        return presets.get(self.chosen_preset() or "", {})

    def _default(self, key: str) -> str | None:
        return next((option.default for option in self._options() if option.key == key), None)


@cache
def fitting_datasets(kind: Kind, subject: str) -> tuple[str, ...]:
    """The datasets that a search or model takes as it is, without a setting."""
    preset = USUAL if kind == "search" else NONE
    return tuple(name for name in DATASETS.names() if _fits(Form(kind, subject, name, preset)))


def _fits(form: Form) -> bool:
    try:
        resolve = resolve_search if form.kind == "search" else resolve_train
        resolve(form.subject, form.dataset, preset=form.chosen_preset(), settings=[], seed=0)
    except MmfuseError:
        return False
    return True


def _with(value: str, others: Sequence[str]) -> tuple[str, ...]:
    """All there is to choose from, with what is chosen now."""
    return tuple(others) if value in others else (value, *others)


def form_of(spec: Spec, *, name: str = "", tags: str = "", device: str = "auto") -> Form:
    """The form that starts a run of ``spec`` again: what a clone begins with.

    Raises:
        BadSpec: settings cannot spell the spec, or it extracts latents, which the form does not start.
    """
    if isinstance(spec, ExtractSpec):
        raise BadSpec(
            f"The form starts no extraction of {spec.encoder}'s latents.",
            "Type `mmfuse extract --help`.",
        )
    preset, assignments = preset_and_settings(spec)
    settings = {key: text for key, _, text in (one.partition("=") for one in assignments)}
    if isinstance(spec, EvalSpec):
        source = spec.source or spec.checkpoint
        more = shlex.join(assignments)
        return Form("eval", "", spec.dataset, split=spec.split, source=source, name=name, tags=tags, more=more)
    subject, kind = (spec.search, KINDS[0]) if isinstance(spec, SearchSpec) else (spec.family, KINDS[1])
    form = Form(
        kind,
        subject,
        spec.dataset,
        preset or NONE,
        str(spec.seed),
        device,
        name,
        tags,
        full="no" if isinstance(spec, SearchSpec) and not spec.train else "yes",
        test="yes" if spec.test else "no",
        source="" if isinstance(spec, SearchSpec) else spec.source,
    )
    known = {option.name for option in form.fields()}
    beyond = [f"{key}={text}" for key, text in settings.items() if key not in known]
    return replace(
        form, settings={key: text for key, text in settings.items() if key in known}, more=shlex.join(beyond)
    )


def _choices(option: DeclaredOption) -> tuple[str, ...]:
    """The values of an option that has few: a choice of words, or yes and no."""
    if option.takes == "bool":
        return ("true", "false")
    parts = option.takes.split(" | ")
    types = {"int", "float", "str", "list", "object", "null", "bool", ""}
    return tuple(parts) if len(parts) > 1 and not any(part.split(" ")[0] in types for part in parts) else ()


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """A preset's groups as dotted keys, values as they are typed; lists and objects of one option stay whole."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value)
    return flat
