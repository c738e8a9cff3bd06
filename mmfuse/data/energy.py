"""Take most of the energy out of images: a PCA basis fitted on training images, and its projection.

AV-MNIST's images keep a quarter of their variance (MFAS, Pérez-Rúa et al. 2019, arXiv 1903.06496, section 4). Where we
differ: the published generators fit a second basis on the test images, and one of them reads "75 %" as a count of
components; here one basis, fitted on train, serves every split, and the mean is added back so that pictures stay
pictures.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROWS = 8192


@dataclass(frozen=True)
class Basis:
    """Mean (P,) and strongest directions (k, P) of images of P pixels; ``kept`` is their share of the variance."""

    mean: NDArray[np.float64]
    directions: NDArray[np.float64]
    kept: float

    @property
    def sha256(self) -> str:
        """Hash of the projection matrix, rounded so that signs and the last bits of the solver do not matter."""
        projection = np.rint(self.directions.T @ self.directions * 1e6).astype(np.int64)
        return hashlib.sha256(projection.tobytes() + np.rint(self.mean * 1e3).astype(np.int64).tobytes()).hexdigest()

    def project(self, images: NDArray[np.float64], *, add_mean: bool = True) -> NDArray[np.float64]:
        """What the basis keeps of ``images`` (N, P), with or without the mean."""
        kept = (images - self.mean) @ self.directions.T @ self.directions
        return np.asarray(kept + self.mean if add_mean else kept)


def fit_basis(images: NDArray[np.generic], *, energy: float) -> Basis:
    """The fewest directions that explain at least the share ``energy`` of the variance of ``images`` (N, P)."""
    count, pixels = images.shape
    total, products = np.zeros(pixels), np.zeros((pixels, pixels))
    for start in range(0, count, _ROWS):
        rows = images[start : start + _ROWS].astype(np.float64)
        total += rows.sum(axis=0)
        products += rows.T @ rows
    mean = total / count
    values, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
    share = np.cumsum(values[::-1]) / values.sum()
    components = int(np.searchsorted(share, energy - 1e-9)) + 1
    return Basis(mean, np.ascontiguousarray(vectors.T[::-1][:components]), float(share[components - 1]))
