"""The Fourier certificate: a lower bound on the error of every 2-layer network, as a number."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from jaxdepth._misc import check_integer, in_float64, is_traced, refuse
from jaxdepth.radial._masses import Sizes, choose_cutoff, choose_sizes, place
from jaxdepth.radial._targets import AbstractTarget
from jaxdepth.radial._tubes import Ladder, floors, ladder

_RESOLVED = 1e-6


class CertificateResult(eqx.Enumeration):
    """How a floor was proven."""

    bounded: Any = "quadrature errors are proven, rounding errors bounded under a stated model"
    unresolved: Any = (
        "the floor holds but is weak: the quadrature is too coarse, raise `Bounded`'s panels"
    )


class Certificate(eqx.Module):
    """A lower bound on the error of every 2-layer network.

    Attributes:
        floor: E_μ(f − g)² ≥ floor, for every 2-layer f with that many directions; at least 0.
        norm_squared: ‖g‖²_{L2(μ)}, the error of f = 0.
        slack: what was subtracted from the computed floor for quadrature and rounding.
        trusted: whether every slack is below 1e-6. (A floor holds in any case.)
        result: a `CertificateResult`.
    """

    floor: Float[Array | np.ndarray | np.generic, "*shape"]
    norm_squared: Float[Array | np.ndarray | np.generic, ""]
    slack: Float[Array | np.ndarray | np.generic, "*shape"]
    trusted: Bool[Array | np.ndarray | np.generic, ""]
    result: Any


class Bounded(eqx.Module):
    """Certify in float64 with proven quadrature errors and a model of rounding.

    The model: every Bessel value is within 2^-46 of J at its rounded argument, every incomplete
    beta value within 1e-10 of the truth relatively, and sums round like sums. The tests hold both
    against mpmath.

    Args:
        cutoff: the frequency radius U up to which mass is placed; all mass beyond is charged as if
            at U. Chosen from the target and the directions where None.
        panels_u: panels of [0, U]; chosen from the target where None, 72 where a tracer hides it.
        panels_z: panels of [0, radius]; chosen likewise, 32 where a tracer hides it.

    Raises:
        ValueError: a cutoff that does not exceed 1, panels that are not positive integers.
    """

    cutoff: Any
    panels_u: int | None = eqx.field(static=True)
    panels_z: int | None = eqx.field(static=True)

    def __init__(
        self, *, cutoff: Any = None, panels_u: int | None = None, panels_z: int | None = None
    ) -> None:
        if cutoff is not None and not is_traced(cutoff) and not 1 < float(cutoff) < math.inf:
            refuse("cutoff", "finite and greater than 1", cutoff)
        self.cutoff = cutoff if cutoff is None or is_traced(cutoff) else np.float64(cutoff)
        self.panels_u = panels_u if panels_u is None else check_integer("panels_u", panels_u, 2)
        self.panels_z = panels_z if panels_z is None else check_integer("panels_z", panels_z, 1)

    def settle(self, dim: int, target: Any, k: Any) -> tuple[Any, Sizes]:
        """Choose the cutoff and the sizes for up to `k` directions."""
        cutoff, regularity = self.cutoff, target.regularity.held()
        if cutoff is None:
            xp = jnp if is_traced(k) else np
            log_k = xp.log(xp.max(xp.maximum(k, 1.0), initial=1.0))
            cutoff = choose_cutoff(dim, regularity, log_k)
        return cutoff, choose_sizes(regularity, cutoff, self.panels_u, self.panels_z)


def certify(
    target: AbstractTarget,
    dim: int,
    num_directions: Real[ArrayLike, "*shape"],
    *,
    method: Bounded | None = None,
) -> Certificate:
    """Bound from below the L2(μ) error of every 2-layer network on a radial target.

    For f = Σ_{i≤k} f_i(⟨v_i, x⟩), of any activation and widths, (fφ)^ lives in the k tubes
    span{v_i} + R_d·B. Of the sphere of frequency radius u·R_d a tube holds the fraction
    q(u) = I_{1/u²}((d−1)/2, ½) for u > 1 and 1 for u ≤ 1, and g's mass is spread evenly on spheres
    with density m(u) (`AbstractTarget.spectrum`). Hence

        E_μ(f − g)² ≥ ‖g‖² − ∫ m(u) min(1, k q(u)) du,

    evaluated one-sidedly: min(1, kq) at the left end of each part [u_j, u_{j+1}] with mass M_j, and
    at U for all mass beyond. As every such weight c_j is at least c_U, the sum
    (1 − c_U)‖g‖² − Σ (c_j − c_U) M_j needs upper bounds of M_j only.

    k counts DIRECTIONS, not neurons: a network of width k has at most k. Runs in float64 whatever
    the caller's setting; under `jit`, `vmap` or `grad` it needs the caller's x64. Differentiable in
    the target's parameters, the parts held fixed.

    Args:
        target: the radial function g.
        dim: the dimension d, static. In d = 1 every floor is 0.
        num_directions: k, floats (e^d overflows integers), any shape; 0 for constants, else ≥ 1.
        method: how to certify; `Bounded()` where None.

    Returns:
        A `Certificate` whose floor has the shape of `num_directions`.

    Raises:
        ValueError: `dim` not a positive integer, `num_directions` neither 0 nor at least 1.

    Example:
        >>> import numpy as np
        >>> from jaxdepth.radial import Ball
        >>> certificate = certify(Ball(2.0), 3, np.array([1.0, 35.0]))
        >>> [round(float(floor), 4) for floor in certificate.floor]
        [0.1589, 0.0186]

    Reference:
        Eldan & Shamir, The Power of Depth for Feedforward Neural Networks, COLT 2016, lemma 6 and
        proposition 13, whose argument this evaluates instead of estimating.
    """
    dim = check_integer("dim", dim, 1)
    check_target(target)
    if not is_traced(num_directions):
        num_directions = np.asarray(num_directions, np.float64)
        allowed = (num_directions == 0) | (num_directions >= 1)
        if not (allowed & np.isfinite(num_directions)).all():
            refuse("num_directions", "0 or at least 1, and finite", num_directions)
    method = Bounded() if method is None else method
    if not isinstance(method, Bounded):
        refuse("method", "a way to certify, such as `Bounded()`", method)
    cutoff, sizes = method.settle(dim, target, num_directions)
    kernel = eqx.Partial(_certify, dim, sizes)
    return in_float64("certify", kernel, target, num_directions, cutoff)


def check_target(target: Any) -> None:
    """Refuse what is no radial target."""
    if not isinstance(target, AbstractTarget):
        refuse("target", "a radial target such as `Ball` or `Cosine`", type(target).__name__)


@eqx.filter_jit
def _certify(dim: int, sizes: Sizes, target: AbstractTarget, k: Array, cutoff: Any) -> Certificate:
    k = jnp.asarray(k).astype(jnp.float64)
    k = jnp.where(k == 0, 0.0, jnp.maximum(k, 1.0))  # a tracer hid it from the check
    rungs = ladder(dim, place(target, dim, sizes, cutoff))
    return certificate(rungs, jnp.log(k), target.regularity.held().bound)


def certificate(rungs: Ladder, log_k: Array, bound: Any) -> Certificate:
    """Evaluate a certificate of any shape of ln k."""
    computed, slack = floors(rungs, log_k)
    slack = jnp.where(jnp.isfinite(slack), slack, jnp.inf)
    finite = jnp.isfinite(computed) & jnp.isfinite(slack)
    floor = jnp.where(finite, jnp.maximum(0.0, computed - jnp.where(finite, slack, 0.0)), 0.0)
    worst = jnp.max(slack, initial=0.0)
    trusted = jnp.all(finite) & (worst <= _RESOLVED * bound**2)
    return Certificate(
        floor=floor,
        norm_squared=rungs.norm[0],
        slack=slack,
        trusted=trusted,
        result=CertificateResult.where(
            trusted, CertificateResult.bounded, CertificateResult.unresolved
        ),
    )
