"""The embedded regressions of the implicit acceleration: no network, and no luck in the data."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Regression(NamedTuple):
    """Samples X (n, d), targets y (n,) and the end-to-end start W(0) (1, d), all float64."""

    X: np.ndarray
    y: np.ndarray
    start: np.ndarray


def two_point() -> Regression:
    """Σ_i (w_i − y_i)^p/p with y = (10, 1), from .1 along y.

    The mean over the two samples is half that sum. Plain descent decouples: at p = 4 a residual
    obeys r⁺ = r − ηr³, so that the large target caps the rate at η < 2/r², and the small one pays.
    """
    y = np.array([10.0, 1.0])
    return Regression(np.eye(2), y, (0.1 * y / np.linalg.norm(y))[None])


def ill_conditioned(
    seed: int, samples: int = 64, features: int = 8, condition: float = 100.0
) -> Regression:
    """A realizable regression whose covariance has eigenvalues from 1 to 1/condition.

    Every eigendirection carries the same share of the targets' variance, which is 1, so that the
    solution lies mostly where the data are thin: as it does for the gas sensors.
    """
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.normal(size=(samples, features)))[0]
    right = np.linalg.qr(rng.normal(size=(features, features)))[0]
    spread = np.logspace(0, -np.log10(condition) / 2, features)
    X = np.sqrt(samples) * (left * spread) @ right.T
    y = X @ (right @ (1 / spread)) / np.sqrt(features)
    return Regression(X, y, small_start(seed + 1, features))


def small_start(seed: int, features: int) -> np.ndarray:
    """Draw a near-zero W(0) of shape (1, features), entries N(0, 0.01²)."""
    return 0.01 * np.random.default_rng(seed).normal(size=(1, features))
