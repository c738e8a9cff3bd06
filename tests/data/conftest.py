"""Makes the support modules of these tests importable, and builds the small stand-in they share once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def stand_in_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a stand-in of 300 training pairs; tests that change files copy it first."""
    from mmfuse.data import avmnist

    root = tmp_path_factory.mktemp("data")
    avmnist.load(root, avmnist.Options(stand_in_size=300))
    return root
