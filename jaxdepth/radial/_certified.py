"""Certificates in ball arithmetic: every rounding error is part of the proof.

The scheme is that of `Bounded`, evaluated on the host by Arb (python-flint). The two share what a
certificate may choose freely, panels, nodes and parts, and no line that computes: here are balls
for the nodes, the Bessel functions, the transform and the masses; only the last sum, over parts, is
of floats, each operation rounded the way that keeps the floor below the truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np

from jaxdepth._misc import check_integer, is_traced, refuse
from jaxdepth.radial._balls import Enclosure, enclose, flint
from jaxdepth.radial._certificate import (
    AbstractCertifier,
    Certificate,
    CertificateResult,
    MinDirections,
    is_sharp,
)
from jaxdepth.radial._masses import check_panels, settle
from jaxdepth.radial._targets import AbstractTarget

_BITS = 40  # of k* that are found beyond its power of two


class Certified(AbstractCertifier):
    """Certify in ball arithmetic, on the host: a proof up to the correctness of Arb.

    Takes some seconds where `Bounded` takes some hundredths: about 4 µs for each of the
    (frequencies, radii) pairs of its quadrature, 200,000 for a ball in three dimensions and five
    million for cos 4z up to z = 63.5 in ten. Needs the package python-flint
    (`pip install jaxdepth[certified]`) and concrete arguments.

    Args:
        cutoff: as for `Bounded`.
        panels_u: as for `Bounded`.
        panels_z: as for `Bounded`.
        precision: bits.

    Raises:
        ValueError: a cutoff that does not exceed 1, panels that are not positive integers, fewer
            than 64 bits; a tracer in what is certified.
        ImportError: no python-flint.

    Example:
        >>> from jaxdepth.radial import Ball, certify
        >>> certificate = certify(Ball(2.0), 3, 35.0, method=Certified())
        >>> round(float(certificate.floor), 4), bool(certificate.trusted)
        (0.0186, True)
    """

    cutoff: Any
    panels_u: int | None = eqx.field(static=True)
    panels_z: int | None = eqx.field(static=True)
    precision: int = eqx.field(static=True)

    def __init__(
        self,
        *,
        cutoff: Any = None,
        panels_u: int | None = None,
        panels_z: int | None = None,
        precision: int = 96,
    ) -> None:
        self.cutoff, self.panels_u, self.panels_z = check_panels(cutoff, panels_u, panels_z)
        self.precision = check_integer("precision", precision, 64)

    def certify(self, target: AbstractTarget, dim: int, num_directions: Any) -> Certificate:
        """Bound the error of networks with `num_directions`."""
        _check_concrete(target, num_directions, self)
        k = np.asarray(num_directions, np.float64)
        tubes = self._tubes(target, dim, math.log(np.max(k, initial=1.0)))
        pairs = [tubes.floor(*math.frexp(number)) for number in k.ravel()]
        floor, slack = np.reshape(np.asarray(pairs, np.float64).reshape(-1, 2).T, (2, *k.shape))
        sharp = tubes.is_sharp(np.max(slack, initial=0.0))
        return Certificate(
            floor=floor[()],
            norm_squared=np.float64(tubes.norm),
            slack=slack[()],
            trusted=np.bool_(sharp),
            result=_result(sharp),
        )

    def min_directions(self, target: AbstractTarget, dim: int, error: Any) -> MinDirections:
        """Bound the directions of networks with `error`."""
        _check_concrete(target, error, self)
        error = np.asarray(error, np.float64)
        tubes = self._tubes(target, dim, None)
        least = [_least(tubes, float(e)) for e in error.ravel()]
        slack = max((tubes.floor(*_scaled(max(k - 1, 0)))[1] for k in least), default=0.0)
        sharp = tubes.is_sharp(slack)
        numbers = np.asarray([_float_below(k) for k in least]).reshape(error.shape)
        logs = np.asarray([_log10_below(k) for k in least]).reshape(error.shape)
        return MinDirections(
            value=numbers[()], log10=logs[()], trusted=np.bool_(sharp), result=_result(sharp)
        )

    def _tubes(self, target: AbstractTarget, dim: int, log_k: float | None) -> _Tubes:
        cutoff, sizes = settle(target, dim, log_k, self.cutoff, self.panels_u, self.panels_z)
        with flint().ctx.workprec(self.precision):
            return _round(enclose(target, dim, sizes, float(cutoff)))


class _Tubes(NamedTuple):
    """Masses and shares, rounded outward to floats.

    Attributes:
        mantissa: of the shares q at the parts' left ends and at U, in [½, 1], rounded up.
        exponent: of the shares: q ≤ mantissa·2^exponent.
        inside: whether a part's left end is below 1.
        mass: of the parts, rounded up.
        doubt: by how much a mass may be too large.
        norm: ‖g‖², the middle of its ball.
        norm_low: a lower bound on it.
        bound: of |g|.
    """

    mantissa: np.ndarray
    exponent: np.ndarray
    inside: np.ndarray
    mass: np.ndarray
    doubt: np.ndarray
    norm: float
    norm_low: float
    bound: float

    def is_sharp(self, slack: float) -> bool:
        """Tell whether a floor with this slack is sharp."""
        return bool(is_sharp(np.float64(slack), self.bound, self.norm))

    def floor(self, kappa: float, power: int) -> tuple[float, float]:
        """Return the floor for k = kappa·2^power, and the slack within it."""
        if not np.isfinite(self.mass).all() or not math.isfinite(self.norm_low):
            return 0.0, math.inf
        if kappa == 0:
            charge = np.append(np.where(self.inside, 1.0, 0.0), 0.0)
        else:
            # Beyond ±1000 a power of two is as good as any for min(1, ·), rounded up.
            powers = np.clip(power + self.exponent, -1000, 1000)
            charge = np.minimum(1.0, np.ldexp(_up(kappa * self.mantissa), powers))
        end = charge[-1]
        excess = np.maximum(_up(np.maximum(charge[:-1], end) - end), 0.0)
        kept = max(0.0, _down(1.0 - end))
        charged = _up(math.fsum(_up(excess * self.mass)))
        floor = max(0.0, float(_down(_down(kept * self.norm_low) - charged)))
        slack = kept * (self.norm - self.norm_low) + float(excess @ self.doubt)
        return floor, slack + (excess.size + 4) * 2.0**-52 * self.norm


def _round(balls: Enclosure) -> _Tubes:
    pairs = [_above(share) for share in balls.shares]
    mass = np.asarray([_up(float(ball.upper())) for ball in balls.masses])
    low = np.asarray([_down(float(ball.lower())) for ball in balls.masses])
    return _Tubes(
        mantissa=np.asarray([pair[0] for pair in pairs]),
        exponent=np.asarray([pair[1] for pair in pairs]),
        inside=balls.inside,
        mass=np.maximum(mass, 0.0),
        doubt=mass - low,
        norm=float(balls.norm_squared.mid()),
        norm_low=float(_down(float(balls.norm_squared.lower()))),
        bound=balls.bound,
    )


def _above(share: Any) -> tuple[float, int]:
    """Return m, e with share ≤ m·2^e, m in [½, 1]."""
    whole, power = share.upper().man_exp()
    digits = int(whole)
    shift = max(0, digits.bit_length() - 53)
    return math.ldexp(-(-digits >> shift), -53), int(power) + shift + 53


def _up(x: Any) -> Any:
    return np.nextafter(x, np.inf)


def _down(x: Any) -> Any:
    return np.nextafter(x, -np.inf)


def _scaled(k: int) -> tuple[float, int]:
    """Write an integer k of at most 53 significant bits as kappa·2^power."""
    shift = max(0, k.bit_length() - 53)
    return float(k >> shift), shift


def _least(tubes: _Tubes, error: float) -> int:
    """Find the least k that is not excluded: all below have floors above `error`."""

    def excluded(k: int) -> bool:
        return tubes.floor(*_scaled(k))[0] > error

    if not excluded(0):
        return 0
    if not excluded(1):
        return 1
    power = _last(lambda e: excluded(1 << e), 0, 64 - int(tubes.exponent[-1]))
    unit = max(0, power - _BITS)
    steps = _last(lambda i: excluded((1 << power) + (i << unit)), 0, 1 << min(power, _BITS))
    return (1 << power) + (steps << unit) + 1


def _last(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Find the last i in [low, high) at which a statement holds that fails from some i on."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _float_below(k: int) -> float:
    """Round an integer down."""
    if k.bit_length() > 1023:
        return math.inf
    rounded = float(k)
    return rounded if rounded <= k else math.nextafter(rounded, 0.0)


def _log10_below(k: int) -> float:
    return math.log10(k) * (1 - 2.0**-50) if k else -math.inf


def _result(sharp: bool) -> Any:
    return CertificateResult.certified if sharp else CertificateResult.unresolved


def _check_concrete(target: Any, numbers: Any, method: Any) -> None:
    if is_traced(target, numbers, method):
        refuse("method", "`Bounded()` under jit, vmap or grad", "`Certified()`, a host method")
