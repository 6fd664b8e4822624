"""Measured networks: the L2(μ) error of one network on samples, with an interval that holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, PRNGKeyArray

from jaxdepth._misc import (
    as_float64,
    check_integer,
    check_key,
    check_real,
    in_float64,
    is_traced,
    refuse,
)
from jaxdepth.radial._bessel import check_points
from jaxdepth.radial._certificate import Certificate
from jaxdepth.radial._measure import Measure
from jaxdepth.radial._reach import reach as reach_of
from jaxdepth.radial._targets import AbstractTarget, check_target

_CHUNK = 8192
_ROUNDING = 1e-6  # by which rounding may carry |f| over its bound, relatively

Number = Float[Array | np.ndarray | np.generic, "*batch"]


class RiskResult(eqx.Enumeration):
    """Whether the interval holds.

    Example:
        >>> RiskResult[RiskResult.estimated]
        'an interval of the stated confidence, from the known range of the error'
    """

    estimated: Any = "an interval of the stated confidence, from the known range of the error"
    out_of_reach: Any = "no interval: the network was seen above `reach`, or not finite"


class Risk(eqx.Module):
    """An estimate of E_μ(f − g)², and an interval around it.

    Attributes:
        mean: over the samples.
        half_width: of the interval; infinite where `reach` does not hold.
        lower: mean − half_width, 0 at least.
        upper: mean + half_width.
        confidence: the probability that the risk is in [lower, upper], at least.
        trusted: whether `reach` held on all samples.
        result: a `RiskResult`, of all networks together.

    Example:
        >>> import jax
        >>> from jaxdepth.networks import TwoLayer
        >>> from jaxdepth.radial import Ball
        >>> net = TwoLayer(3, 16, activation="tanh", key=jax.random.key(0))
        >>> found = risk(net, Ball(2.0), 3, 10_000, key=jax.random.key(1))
        >>> bool(found.contradicts(0.0)), float(found.confidence)
        (False, 0.999)
    """

    mean: Number
    half_width: Number
    lower: Number
    upper: Number
    confidence: Float[Array | np.ndarray | np.generic, "..."]
    trusted: Bool[Array | np.ndarray | np.generic, "*batch"]
    result: Any

    def contradicts(self, floor: Any) -> Bool[Array | np.ndarray | np.generic, "*shape"]:
        """Tell whether the whole interval is below a floor that should hold for this network.

        Args:
            floor: of `certify`, of a shape that broadcasts to that of the risk.

        Returns:
            Booleans, one for each network.
        """
        xp: Any = jnp if is_traced(self.upper, floor) else np
        return xp.less(self.upper, floor)


class ContradictionError(Exception):
    """A network measured below a floor that was proven: the theorem, or this program, is wrong.

    Example:
        >>> from jaxdepth.radial import Ball, certify
        >>> numbers = np.float64([0.001, 0.0005, 0.0005, 0.0015, 0.999])
        >>> impossible = Risk(*numbers, trusted=np.bool_(True), result=RiskResult.estimated)
        >>> try:
        ...     check_floor(impossible, certify(Ball(2.0), 3, 35.0))
        ... except ContradictionError:
        ...     print("the floor is .0186")
        the floor is .0186
    """


def check_floor(risk: Risk, certificate: Certificate) -> None:
    """Raise unless a 2-layer network's risk is compatible with the floor of all of them.

    Args:
        risk: of a network with two layers, or of a stack; concrete.
        certificate: for as many directions as the network has neurons, or for a stack of numbers.

    Raises:
        ContradictionError: the whole interval is below the floor; the message has all numbers.

    Example:
        >>> import jax
        >>> from jaxdepth.networks import TwoLayer
        >>> from jaxdepth.radial import Ball, certify
        >>> net = TwoLayer(3, 16, activation="tanh", key=jax.random.key(0))
        >>> found = risk(net, Ball(2.0), 3, 10_000, key=jax.random.key(1))
        >>> check_floor(found, certify(Ball(2.0), 3, 16.0))
    """
    if is_traced(risk, certificate):
        refuse("risk", "concrete, like `certificate`", "a tracer", "Call it outside jit and vmap.")
    below = np.atleast_1d(risk.contradicts(certificate.floor))
    if not below.any():
        return
    measured = np.broadcast_arrays(risk.mean, risk.half_width, risk.confidence, certificate.floor)
    told = [
        f"{mean:.6g} ± {half_width:.2g} (confidence {confidence:.6g}) where no network of 2 layers "
        f"is below {floor:.6g}"
        for (mean, half_width, confidence, floor), wrong in zip(
            zip(*map(np.ravel, measured), strict=True), below.ravel(), strict=True
        )
        if wrong
    ]
    raise ContradictionError(
        f"A measured risk contradicts its certificate ({certificate.result}): {'; '.join(told)}."
    )


def risk(
    network: Callable[[Any], Any],
    target: AbstractTarget,
    dim: int,
    num: int,
    *,
    reach: Any = None,
    confidence: float | Float[ArrayLike, ""] = 0.999,
    chunk: int = _CHUNK,
    key: PRNGKeyArray,
) -> Risk:
    """Estimate E_μ(f − g)² on fresh samples of μ, with a two-sided empirical Bernstein interval.

    (f − g)² lies in [0, b], b = (sup|f| + sup|g|)². With V the variance of the n samples and δ = 1
    − confidence,

        |mean − E_μ(f − g)²| ≤ √(2V ln(4/δ)/n) + 7b ln(4/δ)/(3(n − 1))

    but for a probability δ: no normality is assumed, and no moment of the heavy-tailed ‖x‖. In
    float64 whatever the caller's setting, the network's weights taken as they are; under `jit` or
    `vmap` it needs the caller's x64. Samples are drawn `chunk` by `chunk`, so that memory does not
    grow with their number. Several networks are measured on the same samples as one function with
    `reach` for each.

    An interval holds for a network that has not seen the samples: use a new key. For m networks to
    hold together, ask each for 1 − δ/m.

    Args:
        network: f, points of shape (dim,) to a number; or m networks, points to m numbers.
        target: the radial function g.
        dim: the dimension d, static.
        num: how many samples n, static, at least 2.
        reach: a bound on |f| over all of R^d, or m of them; by `jd.radial.reach` where None. (A
            sample above it voids the interval, and is told.)
        confidence: within (0, 1).
        chunk: samples at a time, static.
        key: random key.

    Returns:
        A `Risk`, of the shape of `reach`.

    Raises:
        ValueError: a network of unbounded activation without `reach`, as many outputs as `reach`
            has not; numbers out of range.

    Example:
        >>> import jax
        >>> from jaxdepth.networks import TwoLayer
        >>> from jaxdepth.radial import Ball
        >>> net = TwoLayer(3, 16, activation="tanh", key=jax.random.key(0))
        >>> found = risk(net, Ball(2.0), 3, 10_000, key=jax.random.key(1))
        >>> bool(found.lower < found.mean < found.upper), bool(found.trusted)
        (True, True)

    Reference:
        Maurer & Pontil, Empirical Bernstein bounds and sample-variance penalization, COLT 2009,
        theorem 4, on both sides.
    """
    dim, num = check_integer("dim", dim, 1), check_integer("num", num, 2)
    check_target(target)
    check_key(key)
    if not callable(network):
        refuse("network", "a function of points", network)
    reach = reach_of(network) if reach is None else reach
    check_points("reach", reach)
    if np.ndim(reach) > 1:
        refuse("reach", "one number, or a row of them", np.shape(reach))
    share = check_real("confidence", confidence)
    if not is_traced(share) and not 0 < share < 1:
        refuse("confidence", "within (0, 1)", confidence)
    numbers = [x if is_traced(x) else np.asarray(x, np.float64) for x in (reach, share)]
    given = as_float64((network, target, *numbers))
    kernel = eqx.Partial(_risk, dim, num, check_integer("chunk", chunk, 1))
    return in_float64("risk", kernel, *given, key, cast=False)  # keys cannot be cast


class _Sums(NamedTuple):
    """Of the squares s so far: how many, their mean, Σ(s − mean)², and the greatest |f|."""

    num: Array
    mean: Array
    spread: Array
    highest: Array


def _risk(
    dim: int,
    num: int,
    chunk: int,
    network: Any,
    target: AbstractTarget,
    reach: Any,
    confidence: Any,
    key: PRNGKeyArray,
) -> Risk:
    def body(index: Any, sums: _Sums) -> _Sums:
        x = Measure(dim).sample(jax.random.fold_in(key, index), chunk, np.float64)
        return _added(sums, network, target, x, jnp.asarray(num - index * chunk))

    zero, zeros = jnp.zeros(()), jnp.zeros(jnp.shape(reach))
    # A loop of the host compiles sampling apart, once for all networks.
    loop = jax.lax.fori_loop if is_traced(network, target, reach, confidence, key) else _host_loop
    sums = loop(0, -(-num // chunk), body, _Sums(zero, zeros, zeros, zeros))
    return _interval(sums, reach, target.regularity.bound, confidence)


def _host_loop(start: int, stop: int, body: Callable[[int, _Sums], _Sums], sums: _Sums) -> _Sums:
    for index in range(start, stop):
        sums = body(index, sums)
    return sums


@eqx.filter_jit
def _added(sums: _Sums, network: Any, target: AbstractTarget, x: Array, room: Array) -> _Sums:
    """Add the first `room` points to the sums (Chan, Golub & LeVeque 1979)."""

    def at(point: Array) -> tuple[Array, Array]:
        f = jnp.asarray(network(point))
        if f.size != sums.mean.size:
            refuse("network", f"one of {sums.mean.size} output(s), as `reach` has", f.shape)
        f = f.reshape(sums.mean.shape).astype(point.dtype)
        return jnp.square(f - target(point)), jnp.abs(f)

    squares, sizes = jax.vmap(at)(x)
    used = jnp.arange(x.shape[0]) < room
    used = used.reshape(-1, *[1] * sums.mean.ndim)
    added = jnp.sum(used.astype(x.dtype))
    mean = jnp.sum(jnp.where(used, squares, 0), axis=0) / added
    around = jnp.sum(jnp.where(used, jnp.square(squares - mean[None]), 0), axis=0)
    shift, num = mean - sums.mean, sums.num + added
    return _Sums(
        num,
        sums.mean + shift * (added / num),
        sums.spread + around + jnp.square(shift) * (sums.num * added / num),
        jnp.maximum(sums.highest, jnp.max(jnp.where(used, sizes, 0), axis=0)),
    )


@jax.jit
def _interval(sums: _Sums, reach: Any, bound: Any, confidence: Any) -> Risk:
    n, span = sums.num, jnp.square(reach + bound)
    log_term = jnp.log(4 / (1 - confidence))
    variance = sums.spread / (n - 1)
    half_width = jnp.sqrt(2 * variance * log_term / n) + 7 * span * log_term / (3 * (n - 1))
    held = sums.highest <= reach * (1 + _ROUNDING)  # False for NaN
    return Risk(
        mean=sums.mean,
        half_width=jnp.where(held, half_width, jnp.inf),
        lower=jnp.where(held, jnp.maximum(sums.mean - half_width, 0), 0),
        upper=jnp.where(held, sums.mean + half_width, jnp.inf),
        confidence=jnp.asarray(confidence),
        trusted=held,
        result=RiskResult.where(held.all(), RiskResult.estimated, RiskResult.out_of_reach),
    )
