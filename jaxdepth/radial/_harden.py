"""The hardest profile: ascent on the certificate itself."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdepth._misc import check_integer, check_real, in_float64, is_traced, refuse
from jaxdepth.radial._bounded import Bounded
from jaxdepth.radial._certificate import Certificate
from jaxdepth.radial._certify import certify
from jaxdepth.radial._floor_form import floor_form
from jaxdepth.radial._pieces import Profile
from jaxdepth.radial._targets import AbstractTarget, check_target

_MOST_KNOTS = 1025


class Hardened(eqx.Module):
    """A profile that is hard for 2-layer networks.

    Attributes:
        target: the best found; a `Profile`, or a given target where nothing better was found.
        certificate: of it, at the number of directions asked for.
        start: the best floor among the given targets' nearest admissible profiles.
        floors: the floor of every start's best profile, as the ascent computes it, first from the
            given targets, then from waves.

    Example:
        >>> from jaxdepth.radial import Cosine
        >>> found = harden(Cosine(2.0, 8.0), 3, 30.0, lipschitz=2.0, steps=50, starts=2)
        >>> found.floors.shape
        (2,)
    """

    target: AbstractTarget
    certificate: Certificate
    start: float
    floors: np.ndarray


def harden(
    target: AbstractTarget | Sequence[AbstractTarget],
    dim: int,
    num_directions: float | int,
    *,
    lipschitz: float | int,
    num_knots: int | None = None,
    starts: int = 8,
    steps: int = 500,
    method: Bounded | None = None,
) -> Hardened:
    """Search the profile that keeps the floor of `certify` highest, by gradient ascent.

    Over profiles linear between equally spaced knots up to the targets' largest radius, with |g| ≤
    1, Lipschitz with the given constant, and 0 at the last knot. With v the values at the knots the
    computed floor is a quadratic form vᵀFv (m(u) is the square of a linear functional of g), so
    that F is computed once and an ascent costs one product with it a step: v ← A(v + Fv/λ_max), A
    the nearest-admissible map below. Not convex: several starts, the given targets' values and
    waves cos(sz) of evenly spaced frequencies. The best iterate counts, not the last.

    A(v) is the middle of the greatest and the least Lipschitz functions under and above v (McShane
    1934), clipped to [−1, 1]; it leaves admissible v as they are.

    Args:
        target: where to start, one or several; concrete.
        dim: the dimension d.
        num_directions: k, at least 1.
        lipschitz: the constant, in reciprocal z units, positive.
        num_knots: chosen where None: twice the Lipschitz constant to a unit of z, 33 at least.
        starts: how many, the given targets among them.
        steps: of the ascent from each.
        method: how to certify; `Bounded()` where None.

    Returns:
        A `Hardened`, never worse than the starts' nearest admissible profiles, nor than any given
        target that is itself admissible (bounded by 1, as Lipschitz and without jumps).

    Raises:
        ValueError: a traced target; numbers out of range.

    Example:
        >>> from jaxdepth.radial import Cosine
        >>> found = harden(Cosine(2.0, 8.0), 3, 30.0, lipschitz=2.0, steps=50, starts=2)
        >>> float(found.certificate.floor) >= found.start
        True

    Reference:
        Eldan & Shamir, The Power of Depth for Feedforward Neural Networks, COLT 2016, whose target
        is any Lipschitz function that keeps mass away from the tubes; the ascent is derived here.
    """
    dim = check_integer("dim", dim, 1)
    targets = _named(target)
    _check_positive("num_directions", num_directions, least=1)
    _check_positive("lipschitz", lipschitz)
    starts, steps = check_integer("starts", starts, len(targets)), check_integer("steps", steps, 1)
    method = Bounded() if method is None else method
    if not isinstance(method, Bounded):
        refuse("method", "a `Bounded`", method)
    radius = max(float(each.regularity.breaks[-1]) for each in targets)
    if num_knots is None:
        num_knots = min(_MOST_KNOTS, max(33, math.ceil(2 * lipschitz * radius) + 1))
    num_knots = check_integer("num_knots", num_knots, 3, _MOST_KNOTS)

    knots = np.linspace(0.0, radius, num_knots)
    values = _start_values(targets, knots, starts, float(lipschitz))
    model = Profile(knots, values[-1])  # the fastest wave, or the target where it starts alone
    form = floor_form(model, dim, float(num_directions), method)
    ascend = eqx.Partial(_ascend, steps)
    begun, best, floors = in_float64("harden", ascend, form, knots, values, float(lipschitz))
    candidates: list[AbstractTarget] = [Profile(knots, best[int(np.argmax(floors))])]
    candidates += [each for each in targets if _admissible(each, lipschitz)]
    certificates = [certify(g, dim, float(num_directions), method=method) for g in candidates]
    won = int(np.argmax([float(certificate.floor) for certificate in certificates]))
    return Hardened(
        target=candidates[won],
        certificate=certificates[won],
        start=max(float(v @ form @ v) for v in begun[: len(targets)]),
        floors=np.asarray(floors),
    )


def _named(target: Any) -> list[AbstractTarget]:
    targets = list(target) if isinstance(target, Sequence) else [target]
    for each in targets or [None]:
        check_target(each)
    if is_traced(targets):
        refuse("target", "concrete", "a tracer", "Call `harden` outside jit, vmap and grad.")
    return targets


def _check_positive(argument: str, value: Any, least: int = 0) -> None:
    value = check_real(argument, value)
    if not (value > 0 and value >= least):
        refuse(argument, f"finite and {f'at least {least}' if least else 'positive'}", value)


def _start_values(
    targets: list[AbstractTarget], knots: np.ndarray, starts: int, lipschitz: float
) -> np.ndarray:
    own = [
        in_float64("harden", lambda g, z: g.profile(jnp.asarray(z)), each, knots)
        for each in targets
    ]
    highest = min(lipschitz, math.pi / (3 * (knots[1] - knots[0])))
    waves = starts - len(targets)
    frequencies = highest * np.arange(1, waves + 1) / max(waves, 1)
    return np.concatenate([np.asarray(own), np.cos(frequencies[:, None] * knots[None, :])])


def _admissible(target: AbstractTarget, lipschitz: float | int) -> bool:
    """Whether a target is bounded by 1 and Lipschitz, at its breaks too."""
    about, g = target.regularity, target.segments
    ends = np.cos(g.wave * np.asarray(g.breaks))
    jumps = np.append(g.left, 0.0) * ends - np.append(0.0, g.right) * ends
    if g.breaks[0] == 0:
        jumps = jumps[1:]
    return bool(about.bound <= 1 and about.lipschitz <= lipschitz and (jumps == 0).all())


@eqx.filter_jit
def _ascend(
    steps: int, form: Array, knots: Array, values: Array, lipschitz: Array
) -> tuple[Array, Array, Array]:
    """Ascend from every row of `values`; return admissible starts, best iterates, their floors."""
    rate = 1 / jnp.maximum(jnp.max(jnp.abs(jnp.linalg.eigvalsh(form))), 1e-300)
    # A little less than asked for, so that rounded slopes are within it.
    distance = lipschitz * (1 - 1e-12) * jnp.abs(knots[:, None] - knots[None, :])
    nearest = functools.partial(_nearest, distance)

    def one(start: Array) -> tuple[Array, Array, Array]:
        def step(carry: tuple, _: None) -> tuple[tuple, None]:
            v, best, top = carry
            pulled = form @ v
            floor = v @ pulled
            better = floor > top
            best, top = jnp.where(better, v, best), jnp.where(better, floor, top)
            return (nearest(v + rate * pulled), best, top), None

        begun = nearest(start)
        carry = (begun, begun, jnp.asarray(-jnp.inf))
        (_, best, top), _ = jax.lax.scan(step, carry, None, length=steps + 1)
        return begun, best, top

    return jax.vmap(one)(values)


def _nearest(distance: Array, v: Array) -> Float[Array, " knots"]:
    """Map values to admissible ones: Lipschitz, 0 at the end, within [−1, 1]."""
    v = jnp.clip(v.at[-1].set(0.0), -1.0, 1.0)
    above = jnp.min(v[None, :] + distance, axis=1)
    below = jnp.max(v[None, :] - distance, axis=1)
    # Within what the fixed 0 at the end allows: the middle of the two need not be 0 there.
    allowed = distance[-1]
    return jnp.clip((above + below) / 2, -allowed, allowed)
