"""Certificates in float64: compiled, vectorised, differentiable, under a model of rounding."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxdepth._misc import in_float64, is_traced, refuse
from jaxdepth.radial._certificate import (
    AbstractCertifier,
    Certificate,
    CertificateResult,
    MinDirections,
    is_sharp,
)
from jaxdepth.radial._masses import Sizes, check_panels, place, settle
from jaxdepth.radial._targets import AbstractTarget
from jaxdepth.radial._tubes import Ladder, floors, ladder

_HALVINGS = 60
_MOST_DIM = 1000  # up to which the Bessel functions are held against their model


class Bounded(AbstractCertifier):
    """Certify in float64 with proven quadrature errors and a model of rounding.

    The model: every Bessel value is within 2^-46 of J at its rounded argument, every incomplete
    beta value within 1e-10 of the truth relatively, and sums round like sums. The tests hold both
    against mpmath for d up to 1000, and floors against `Certified`.

    Args:
        cutoff: the frequency radius U up to which mass is placed; all mass beyond is charged as if
            at U. Chosen from the target and the directions where None.
        panels_u: panels of [0, U]; chosen from the target where None, 64 where a tracer hides it.
        panels_z: panels of each piece of [0, radius]; chosen likewise, enough for radius·(1 + s +
            u) up to about 1,700 where a tracer hides it.

    Raises:
        ValueError: a cutoff that does not exceed 1, panels that are not positive integers; more
            than 1000 dimensions in what is certified.

    Example:
        >>> from jaxdepth.radial import Ball, certify
        >>> certificate = certify(Ball(2.0), 3, 35.0, method=Bounded())
        >>> round(float(certificate.floor), 4), float(certificate.slack) < 1e-6
        (0.0186, True)
    """

    cutoff: Any
    panels_u: int | None = eqx.field(static=True)
    panels_z: int | None = eqx.field(static=True)

    def __init__(
        self, *, cutoff: Any = None, panels_u: int | None = None, panels_z: int | None = None
    ) -> None:
        self.cutoff, self.panels_u, self.panels_z = check_panels(cutoff, panels_u, panels_z)

    def certify(self, target: AbstractTarget, dim: int, num_directions: Any) -> Certificate:
        """Bound the error of networks with `num_directions`."""
        xp = jnp if is_traced(num_directions) else np
        most = xp.log(xp.max(num_directions, initial=1.0))
        cutoff, sizes = self.settle(target, dim, most)
        kernel = eqx.Partial(_certify, dim, sizes)
        return in_float64("certify", kernel, target, num_directions, cutoff)

    def min_directions(self, target: AbstractTarget, dim: int, error: Any) -> MinDirections:
        """Bound the directions of networks with `error`."""
        cutoff, sizes = self.settle(target, dim, None)
        kernel = eqx.Partial(_min_directions, dim, sizes)
        return in_float64("min_directions", kernel, target, error, cutoff)

    def settle(self, target: AbstractTarget, dim: int, log_k: Any) -> tuple[Any, Sizes]:
        """Choose the cutoff and the sizes for about e^log_k directions, or an unknown number.

        Args:
            target: the radial function g.
            dim: the dimension d.
            log_k: ln k; None where k is what is looked for.

        Returns:
            The cutoff, and the numbers of panels and nodes.

        Raises:
            ValueError: more dimensions than the rounding model is checked for.
        """
        if dim > _MOST_DIM:
            cure = "The rounding model is checked so far; `Certified()` needs none."
            refuse("dim", f"at most {_MOST_DIM} for `Bounded`", dim, cure)
        return settle(target, dim, log_k, self.cutoff, self.panels_u, self.panels_z)


@eqx.filter_jit
def _certify(dim: int, sizes: Sizes, target: AbstractTarget, k: Array, cutoff: Any) -> Certificate:
    k = jnp.asarray(k).astype(jnp.float64)
    k = jnp.where(k == 0, 0.0, jnp.maximum(k, 1.0))  # a tracer hid it from the check
    rungs = ladder(dim, place(target, dim, sizes, cutoff))
    computed, slack = floors(rungs, jnp.log(k))
    finite = jnp.isfinite(computed) & jnp.isfinite(slack)
    slack = jnp.where(finite, slack, jnp.inf)
    worst, bound = jnp.max(slack, initial=0.0), target.regularity.bound
    trusted = is_sharp(worst, bound, jax.lax.stop_gradient(rungs.norm[0]))
    return Certificate(
        floor=_floor(computed, slack),
        norm_squared=rungs.norm[0],
        slack=slack,
        trusted=trusted,
        result=_result(trusted),
    )


def _floor(computed: Array, slack: Array) -> Array:
    """Subtract what may be wrong; what is not known at all proves 0."""
    known = jnp.isfinite(computed) & jnp.isfinite(slack)
    return jnp.where(known, jnp.maximum(0.0, computed - jnp.where(known, slack, 0.0)), 0.0)


def _result(trusted: Array) -> Any:
    return CertificateResult.where(trusted, CertificateResult.bounded, CertificateResult.unresolved)


@eqx.filter_jit
def _min_directions(
    dim: int, sizes: Sizes, target: AbstractTarget, error: Array, cutoff: Any
) -> MinDirections:
    rungs = ladder(dim, place(target, dim, sizes, cutoff))
    held, error_held = jax.lax.stop_gradient((rungs, error))
    log_k = _last_excluded(held, error_held)
    # ⌊k*⌋ + 1, with k* rounded down; far beyond 2^53 the 1 is lost on it.
    count = jnp.floor(jnp.exp(log_k) * (1 - 1e-12)) + 1
    value = jnp.where(jnp.isnan(log_k), 0.0, count)
    log_value = jnp.where(log_k < 40, jnp.log(value), jnp.where(value > 0, log_k, -jnp.inf))
    slack = floors(held, jnp.where(jnp.isnan(log_k), 0.0, log_k))[1]
    trusted = is_sharp(jnp.max(slack, initial=0.0), target.regularity.bound, held.norm[0])
    return MinDirections(
        value=value,
        log10=(log_value + _moved(rungs, error, log_k)) / math.log(10),
        trusted=trusted,
        result=_result(trusted),
    )


def _last_excluded(rungs: Ladder, error: Array) -> Array:
    """Find the last ln k with floor(k) > error; −∞ where only k = 0 is excluded, NaN where none."""

    def excluded(log_k: Array) -> Array:
        return _floor(*floors(rungs, log_k)) > error

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        more = excluded(middle)
        return jnp.where(more, middle, low), jnp.where(more, high, middle)

    zero = jnp.zeros_like(error)
    top = jnp.maximum(-rungs.log_end, 0.0) + zero  # k·q(U) = 1: every floor is 0
    low, _ = jax.lax.fori_loop(0, _HALVINGS, halve, (zero, top))
    none = jnp.where(excluded(zero - jnp.inf), -jnp.inf, jnp.nan)
    return jnp.where(excluded(zero), low, none)


def _moved(rungs: Ladder, error: Array, log_k: Array) -> Array:
    """Return 0 with the derivatives of the ln k at which the computed floor passes `error`.

    F(ln k, θ) = error moves ln k by (d error − ∂F/∂θ dθ)/(∂F/∂ln k).
    """
    within = jnp.where(jnp.isfinite(log_k), log_k, 0.0)
    excess = error - floors(rungs, within)[0]
    slope = jax.grad(lambda at: jnp.sum(floors(jax.lax.stop_gradient(rungs), at)[0]))(within)
    moves = jnp.isfinite(log_k) & (slope < 0)
    rate = jnp.where(moves, 1 / jnp.where(moves, slope, 1.0), 0.0)
    return (excess - jax.lax.stop_gradient(excess)) * jax.lax.stop_gradient(rate)
