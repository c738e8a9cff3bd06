"""What every family of encoders and every collection promises before anything is opened."""

import subprocess
import sys

import pytest

from mmfuse.encoding import CHECKPOINT, EncoderOptions, check_extraction, choose_encoder, encoder_names, modalities_of
from mmfuse.registry import COLLECTIONS, DATASETS, ENCODERS

every_family = pytest.mark.parametrize("name", ENCODERS.names())


@every_family
def test_a_families_declaration_stands_alone(name: str) -> None:
    declaration = ENCODERS.declaration(name)

    assert ENCODERS.summary(name).endswith(".")
    assert declaration.READS in ("files", "tensors")
    assert issubclass(declaration.Options, EncoderOptions)
    assert all(field.description for field in declaration.Options.model_fields.values())
    assert bool(declaration.SIZES) == (name != CHECKPOINT)


def test_declarations_need_no_heavy_library() -> None:
    code = (
        "import sys; from mmfuse.registry import COLLECTIONS, ENCODERS; "
        "[each.declaration(name) for each in (COLLECTIONS, ENCODERS) for name in each.names()]; "
        "assert not {'torch', 'numpy', 'h5py', 'transformers', 'PIL'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_families_needs_no_extra() -> None:
    code = (
        "import sys; sys.modules['transformers'] = None; "
        "from mmfuse.registry import ENCODERS; [ENCODERS.get(name) for name in ENCODERS.names()]"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", encoder_names())
def test_a_published_encoder_fits_some_collection(name: str) -> None:
    family = name.partition("-")[0]
    modality = ENCODERS.declaration(family).MODALITY
    sources = [source for source in COLLECTIONS.names() if modality in modalities_of(source)]

    assert choose_encoder(name, modality=modality).name == name
    assert sources
    for source in sources:
        check_extraction(source, modality=modality, family=family)


def test_no_collection_has_the_name_of_a_dataset() -> None:
    assert not set(COLLECTIONS.names()) & set(DATASETS.names())
