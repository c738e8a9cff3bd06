"""Options and arguments that several commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from mmfuse.errors import BadSpec
from mmfuse_cli import complete

DeviceName = TypeVar("DeviceName", bound=str | None)


def _known_device(device: DeviceName) -> DeviceName:
    """Refuse a misspelled device before there is a run of it."""
    from mmfuse_runs.slots import NoSuchDevice, check_device

    if device is not None:
        try:
            check_device(device)
        except NoSuchDevice as error:
            sentence, _, hint = str(error).partition("; ")
            raise BadSpec(sentence, hint) from error
    return device


Home = Annotated[
    str | None,
    typer.Option(
        "--home", help="Folder of the run store [MMFUSE_HOME, else ./.mmfuse, else your data folder].", metavar="DIR"
    ),
]
DataRoot = Annotated[
    str | None, typer.Option("--data-root", help="Folder of the datasets [MMFUSE_DATA, else HOME/data].", metavar="DIR")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with a schema version instead of text.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Detach = Annotated[bool, typer.Option("--detach", help="Print the run's id and return at once; the run goes on.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done and do nothing.")]

Notify = Annotated[
    str | None,
    typer.Option(
        "--notify",
        help="A shell command to call, or an address to post to, when the run has ended [MMFUSE_NOTIFY].",
        metavar="COMMAND|URL",
    ),
]

Dataset = Annotated[
    str,
    typer.Option(
        "--dataset", help="Name of the dataset (mmfuse data ls).", metavar="NAME", autocompletion=complete.datasets
    ),
]
OptionalDataset = Annotated[
    str | None,
    typer.Option(
        "--dataset", help="Name of the dataset (mmfuse data ls).", metavar="NAME", autocompletion=complete.datasets
    ),
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", help="Start from these settings (mmfuse zoo).", autocompletion=complete.presets),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Set one option; dots reach into groups, VALUE is JSON or text. May be repeated.",
        metavar="KEY=VALUE",
        autocompletion=complete.settings,
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Root of all random numbers of the run.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.", callback=_known_device)]
NextDevice = Annotated[
    str | None,
    typer.Option("--device", help="auto, cpu, cuda or cuda:N [as before].", callback=_known_device),
]
Name = Annotated[str, typer.Option("--name", help="A name to find the run by.")]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", help="A tag; may be repeated.", metavar="TAG", autocompletion=complete.tags)
]
Test = Annotated[bool, typer.Option("--test/--no-test", help="Measure the trained model once on the test split.")]

Run = Annotated[
    str,
    typer.Argument(
        help="Run id, a unique beginning or end of one, a name, or latest.", autocompletion=complete.runs, metavar="RUN"
    ),
]
Runs = Annotated[
    list[str],
    typer.Argument(
        help="Runs: ids, beginnings, endings, names or latest.", autocompletion=complete.runs, metavar="RUN..."
    ),
]
Plots = Annotated[
    list[str] | None,
    typer.Option(
        "--plot",
        help="Draw this metric, such as val/accuracy, or the score of a search by trial; may be repeated.",
        metavar="METRIC|score",
        autocompletion=complete.metrics,
    ),
]
Picture = Annotated[
    Path | None,
    typer.Option(
        "--save",
        help="Save the drawn metrics as a picture (.svg, .png or .pdf) instead.",
        metavar="FILE",
        dir_okay=False,
    ),
]
Selection = Annotated[
    list[str],
    typer.Argument(
        help="Runs, or conditions that choose them, such as state:running subject:mixmas age>2d.",
        autocompletion=complete.selection,
        metavar="RUN|CONDITION...",
    ),
]
InLine = Annotated[
    list[str],
    typer.Argument(
        help="Runs that wait for their slot, or conditions that choose among those.",
        autocompletion=complete.queued,
        metavar="RUN|CONDITION...",
    ),
]
Conditions = Annotated[
    list[str] | None,
    typer.Argument(
        help="Only runs for which all hold: kind:search tag:x or tag:y 'best(val/accuracy)>0.7' age<2d, or text.",
        metavar="[CONDITION]...",
        autocompletion=complete.conditions,
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write to this file instead of stdout.", metavar="FILE")
]
