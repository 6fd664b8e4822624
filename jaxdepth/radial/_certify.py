"""The Fourier certificate: a lower bound on the error of every 2-layer network, as a number."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import ArrayLike, Real

from jaxdepth._misc import as_numbers, check_integer, is_traced, refuse
from jaxdepth.radial._bounded import Bounded
from jaxdepth.radial._certificate import AbstractCertifier, Certificate, MinDirections
from jaxdepth.radial._targets import AbstractTarget, check_target


def certify(
    target: AbstractTarget,
    dim: int,
    num_directions: Real[ArrayLike, "*shape"],
    *,
    method: AbstractCertifier | None = None,
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
    the target's parameters, the parts held fixed, by `Bounded`.

    Args:
        target: the radial function g.
        dim: the dimension d, static. In d = 1 every floor is 0.
        num_directions: k, floats (e^d overflows integers), any shape; 0 for constants, else ≥ 1.
        method: how to certify: `Bounded()` (where None), or `Certified()` on the host.

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
    dim, method = _checked(target, dim, method)
    if not is_traced(num_directions):
        num_directions = as_numbers("num_directions", num_directions)
        allowed = (num_directions == 0) | (num_directions >= 1)
        if not (allowed & np.isfinite(num_directions)).all():
            refuse("num_directions", "0 or at least 1, and finite", num_directions)
    return method.certify(target, dim, num_directions)


def min_directions(
    target: AbstractTarget,
    dim: int,
    error: Real[ArrayLike, "*shape"],
    *,
    method: AbstractCertifier | None = None,
) -> MinDirections:
    """Bound from below the directions of every 2-layer network within an L2(μ) error of a target.

    The floor of `certify` falls with k, so that floor(k) > error for all k up to some k*, and the
    answer is the first integer beyond, found by bisection in ln k on one set of masses for all
    errors. 0 says that a constant may do. As floors are below the truth, so is the answer; a
    method's cutoff that is too near makes it weaker, as mass beyond is charged as if there.

    Differentiable by `Bounded`: the derivatives of `log10` are those of the k* at which the floor
    passes `error` (implicit function theorem).

    Args:
        target: the radial function g.
        dim: the dimension d, static.
        error: what E_μ(f − g)² is not to exceed, positive, any shape.
        method: as for `certify`.

    Returns:
        `MinDirections` of the shape of `error`.

    Raises:
        ValueError: `dim` not a positive integer, `error` not positive.

    Example:
        >>> from jaxdepth.radial import Cosine
        >>> needed = min_directions(Cosine(4.0, 20.0), 6, 0.25)
        >>> 100 < float(needed.value) < 10_000
        True

    Reference:
        Eldan & Shamir, The Power of Depth for Feedforward Neural Networks, COLT 2016, Theorem 1,
        whose width c·e^{cd} this is with numbers.
    """
    dim, method = _checked(target, dim, method)
    if not is_traced(error):
        error = as_numbers("error", error)
        if not ((error > 0) & np.isfinite(error)).all():
            refuse("error", "positive and finite", error)
    return method.min_directions(target, dim, error)


def _checked(target: Any, dim: Any, method: Any) -> tuple[int, AbstractCertifier]:
    dim = check_integer("dim", dim, 1)
    check_target(target)
    method = Bounded() if method is None else method
    if not isinstance(method, AbstractCertifier):
        refuse("method", "a way to certify, such as `Bounded()`", method)
    return dim, method
