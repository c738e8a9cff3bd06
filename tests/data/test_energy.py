"""The PCA basis that takes energy out of images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfuse.data.energy import fit_basis


def _images(count: int = 60, pixels: int = 12) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(100.0, 1.0, (count, pixels)) * np.arange(1, pixels + 1)


@given(st.floats(0.05, 0.99))
def test_the_basis_has_the_fewest_directions_that_keep_the_share(energy: float) -> None:
    images = _images()

    basis = fit_basis(images, energy=energy)

    variances = np.linalg.eigvalsh(np.cov(images.T, bias=True))[::-1]
    shares = np.cumsum(variances) / variances.sum()
    assert shares[len(basis.directions) - 1] >= energy - 1e-9
    assert len(basis.directions) == 1 or shares[len(basis.directions) - 2] < energy
    assert basis.kept == pytest.approx(shares[len(basis.directions) - 1])


def test_what_is_kept_of_the_training_images_has_the_share_of_their_variance() -> None:
    images = _images()
    basis = fit_basis(images, energy=0.5)

    kept = basis.project(images)

    assert kept.var(axis=0).sum() / images.var(axis=0).sum() == pytest.approx(basis.kept)


def test_projecting_twice_changes_nothing() -> None:
    images = _images()
    basis = fit_basis(images, energy=0.4)

    once = basis.project(images)

    assert basis.project(once) == pytest.approx(once)


def test_the_mean_is_added_back_unless_it_is_not_wanted() -> None:
    images = _images()
    basis = fit_basis(images, energy=0.4)

    assert basis.project(images).mean(axis=0) == pytest.approx(images.mean(axis=0))
    assert basis.project(images, add_mean=False).mean(axis=0) == pytest.approx(np.zeros(12), abs=1e-9)


def test_the_hash_of_a_basis_ignores_signs_and_knows_other_data() -> None:
    basis = fit_basis(_images(), energy=0.4)
    flipped = type(basis)(basis.mean, -basis.directions, basis.kept)

    assert flipped.sha256 == basis.sha256
    assert fit_basis(_images(count=50), energy=0.4).sha256 != basis.sha256
