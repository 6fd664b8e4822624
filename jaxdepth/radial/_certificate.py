"""What a certificate says, and what a way to certify must offer."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdepth.radial._targets import AbstractTarget

_RESOLVED = 1e-6  # slack, relative to sup|g|², up to which a floor counts as sharp
_TOLD = 1e-2  # and relative to ‖g‖²


def is_sharp(slack: Any, bound: Any, norm_squared: Any) -> Any:
    """Tell whether a slack says something about g: small beside sup|g|² and ‖g‖²."""
    return (slack <= _RESOLVED * bound**2) & (slack <= _TOLD * norm_squared)


class CertificateResult(eqx.Enumeration):
    """How a floor was proven.

    Example:
        >>> CertificateResult[CertificateResult.certified]
        'proven: all errors, those of rounding included, by ball arithmetic'
    """

    bounded: Any = "quadrature errors are proven, rounding errors bounded under a stated model"
    certified: Any = "proven: all errors, those of rounding included, by ball arithmetic"
    unresolved: Any = (
        "the floor holds but is weak: the quadrature is too coarse, raise the method's panels"
    )


class Certificate(eqx.Module):
    """A lower bound on the error of every 2-layer network.

    Attributes:
        floor: E_μ(f − g)² ≥ floor, for every 2-layer f with that many directions; at least 0.
        norm_squared: ‖g‖²_{L2(μ)}, the error of f = 0.
        slack: what was subtracted from the computed floor for quadrature and rounding.
        trusted: whether every slack is below 1e-6 of sup|g|² and a hundredth of ‖g‖². (A floor
            holds in any case.)
        result: a `CertificateResult`.

    Example:
        >>> from jaxdepth.radial import Ball, certify
        >>> certificate = certify(Ball(2.0), 3, 35.0)
        >>> bool(certificate.floor < certificate.norm_squared), bool(certificate.trusted)
        (True, True)
    """

    floor: Float[Array | np.ndarray | np.generic, "*shape"]
    norm_squared: Float[Array | np.ndarray | np.generic, ""]
    slack: Float[Array | np.ndarray | np.generic, "*shape"]
    trusted: Bool[Array | np.ndarray | np.generic, ""] | bool
    result: Any


class MinDirections(eqx.Module):
    """A lower bound on the directions of every 2-layer network with a given error.

    Attributes:
        value: the least number that the certificate does not exclude, as a float; infinite beyond
            1e308.
        log10: its logarithm, −∞ where `value` is 0.
        trusted: whether the slacks there are as small as for a `Certificate`. (The bound holds in
            any case.)
        result: a `CertificateResult`.

    Example:
        >>> import math
        >>> from jaxdepth.radial import Cosine, min_directions
        >>> needed = min_directions(Cosine(4.0, 20.0), 6, 0.25)
        >>> math.isclose(float(needed.log10), math.log10(needed.value), rel_tol=1e-9)
        True
    """

    value: Float[Array | np.ndarray | np.generic, "*shape"]
    log10: Float[Array | np.ndarray | np.generic, "*shape"]
    trusted: Bool[Array | np.ndarray | np.generic, ""] | bool
    result: Any


class AbstractCertifier(eqx.Module):
    """A way to certify. Targets, dimensions and numbers reach it checked.

    Example:
        >>> import equinox as eqx
        >>> from jaxdepth.radial import Ball, Bounded, certify
        >>> class Told(AbstractCertifier):  # does as another, and says so
        ...     inner: AbstractCertifier
        ...     def certify(self, target, dim, num_directions):
        ...         print(f"certifying in dimension {dim}")
        ...         return self.inner.certify(target, dim, num_directions)
        ...     def min_directions(self, target, dim, error):
        ...         return self.inner.min_directions(target, dim, error)
        >>> round(float(certify(Ball(2.0), 3, 35.0, method=Told(Bounded())).floor), 4)
        certifying in dimension 3
        0.0186
    """

    @abc.abstractmethod
    def certify(self, target: AbstractTarget, dim: int, num_directions: Any) -> Certificate:
        """Bound the error of networks with `num_directions`.

        Args:
            target: the radial function g.
            dim: the dimension d.
            num_directions: k, of any shape, each 0 or at least 1.

        Returns:
            A `Certificate` of the shape of `num_directions`.
        """

    @abc.abstractmethod
    def min_directions(self, target: AbstractTarget, dim: int, error: Any) -> MinDirections:
        """Bound the directions of networks with `error`.

        Args:
            target: the radial function g.
            dim: the dimension d.
            error: of any shape, each positive.

        Returns:
            A `MinDirections` of the shape of `error`.
        """
