"""The floor as a quadratic form of a profile's values."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxdepth._misc import in_float64
from jaxdepth.radial._bounded import Bounded
from jaxdepth.radial._hankel import chebyshev_rule, moments, transform_matrix
from jaxdepth.radial._masses import NODES_U, PARTS, Sizes, edges_of, nodes_and_parts
from jaxdepth.radial._pieces import Profile
from jaxdepth.radial._tubes import log_share


def floor_form(model: Profile, dim: int, num_directions: float, method: Bounded) -> Any:
    """Return F with floor ≈ vᵀFv for the profile of values v on the model's knots.

    The model's own values only tell how far in u profiles have mass.

    The floor is (1 − c_U)‖g‖² − Σ_j (c_j − c_U)M_j; ‖g‖² is a quadratic form of v, and so is the
    mass M_j, a sum of d·u·K(u)² over nodes u with K linear in v. No error bounds are subtracted.
    """
    cutoff, sizes = method.settle(model, dim, math.log(num_directions))
    kernel = eqx.Partial(_floor_form, dim, sizes)
    return in_float64("harden", kernel, model, math.log(num_directions), cutoff)


@eqx.filter_jit
def _floor_form(dim: int, sizes: Sizes, model: Profile, log_k: Array, cutoff: Array) -> Array:
    edges = edges_of(sizes.panels_u, jnp.asarray(cutoff), jnp)
    half, u, left = nodes_and_parts(edges)
    _, to_parts = chebyshev_rule(NODES_U, PARTS)
    end = jnp.minimum(1.0, jnp.exp(log_k + log_share(dim, edges[-1])))
    excess = jnp.minimum(1.0, jnp.exp(log_k + log_share(dim, left))) - end
    weight = dim * u * half[:, None] * (excess @ to_parts)

    def hat(values: Array) -> tuple[Array, Array, Array]:
        loaded = moments(Profile(model.knots, values), dim, sizes.rule)
        return loaded.z, loaded.load, loaded.mean_load

    count = model.knots.shape[0]
    z, loads, means = jax.vmap(hat)(jnp.eye(count))
    hats = jax.vmap(lambda values: Profile(model.knots, values).profile(z[0]))(jnp.eye(count))

    def panel(total: Array, block: tuple[Array, Array]) -> tuple[Array, None]:
        at, charge = block
        k = transform_matrix(dim, at, z[0]) @ loads.T
        return total + (charge[:, None] * k).T @ k, None

    charged, _ = jax.lax.scan(panel, jnp.zeros((count, count)), (u, weight))
    norm = means @ hats.T
    form = (1 - end) * norm - charged
    return (form + form.T) / 2
