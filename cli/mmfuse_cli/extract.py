"""`mmfuse extract`: one modality of a collection or dataset through a frozen encoder, into a file of latents."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmfuse.errors import DataMissing, UnknownName
from mmfuse_cli import complete
from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import DataRoot, Detach, Device, DryRun, Home, Json, Name, Notify, Settings, Tags

if TYPE_CHECKING:
    from mmfuse_runs.store import RunStore


class Storage(StrEnum):
    """How vectors are stored."""

    FLOAT16 = "float16"
    INT8 = "int8"


@examples(
    "mmfuse extract coco --modality image --encoder dinov2-small",
    "mmfuse extract coco --modality text --encoder bge-large --set data.folder=/scratch/coco",
    "mmfuse extract avmnist --modality audio --encoder 7f3a   (the encoder that this run trained)",
    "mmfuse zoo encoders                                      (lists the published encoders)",
)
def extract(
    source: Annotated[
        str,
        typer.Argument(
            help="A collection of captioned media (mmfuse zoo collections) or a dataset.",
            metavar="DATASET",
            autocompletion=complete.extractable,
        ),
    ],
    modality: Annotated[
        str, typer.Option("--modality", help="What is encoded: image, text, audio ...", metavar="NAME")
    ],
    encoder: Annotated[
        str,
        typer.Option(
            "--encoder",
            help="A published encoder (mmfuse zoo encoders), or the run or checkpoint file of one you trained.",
            metavar="ENCODER|RUN|PATH",
            autocompletion=complete.encoders,
        ),
    ],
    settings: Settings = None,
    storage: Annotated[Storage, typer.Option("--storage", help="Two bytes a value, or one.")] = Storage.FLOAT16,
    class_paired: Annotated[
        bool | None,
        typer.Option(
            "--class-paired/--instance-paired",
            help="Whether pairs share nothing but their class [as the dataset declares].",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file [DATA/latents/DATASET/MODALITY.ENCODER.h5].", metavar="FILE"),
    ] = None,
    device: Device = "auto",
    name: Name = "",
    tags: Tags = None,
    detach: Detach = False,
    notify: Notify = None,
    dry_run: DryRun = False,
    json: Json = False,
    home: Home = None,
    data_root: DataRoot = None,
) -> None:
    """Encode a modality once and keep the latents.

    The run can be stopped, killed and resumed; the file is the same in the end. Items that cannot be read are skipped,
    counted and named.
    """
    from mmfuse.encoding import modalities_of, resolve_extract
    from mmfuse_cli.starting import Label, Manner, Placement, start_and_follow

    store = open_store(home)
    modalities_of(source)  # an unknown source is told before an encoder that nothing can be looked up for
    spec = resolve_extract(
        source,
        modality,
        encoder,
        settings=settings or (),
        storage=storage.value,
        class_paired=class_paired,
        output=str(output.expanduser().resolve()) if output is not None else None,
        **_trained(store, source, encoder),
    )
    start_and_follow(
        store,
        spec,
        placement=Placement(device, data_root),
        label=Label(name, tags or ()),
        manner=Manner(detach, dry_run, json, notify),
    )


def _trained(store: RunStore, source: str, encoder: str) -> dict[str, Any]:
    """The checkpoint, the run and its dataset's options, where ``encoder`` is no published one but a run or a file.

    Raises:
        UnknownName: when it is none of these.
    """
    from mmfuse.encoding import encoder_names
    from mmfuse_runs.origin import resolve_checkpoint

    if encoder in encoder_names():
        return {}
    try:
        found = resolve_checkpoint(store, encoder, dataset=source, split="val", settings=())
    except (UnknownName, DataMissing) as error:
        known = f"{', '.join(encoder_names())}; or a run or checkpoint file of yours"
        raise UnknownName(f"no encoder, run or checkpoint file named '{encoder}'", f"known: {known}") from error
    return {"checkpoint": found.checkpoint, "run": found.source, "data": found.data}
