"""The plainest loss of a matrix, and where to start on it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxdepth.networks import DeepLinear


class Target(eqx.Module):
    """L(W) = ‖W − M‖²/2, for a matrix or for layers of it."""

    M: jax.Array

    def loss(self, W):
        W = W.end_to_end() if isinstance(W, DeepLinear) else W
        return ((W - self.M) ** 2).sum() / 2


def problem(shape):
    rng = np.random.default_rng(0)
    return Target(jnp.asarray(rng.normal(size=shape))), jnp.asarray(0.5 * rng.normal(size=shape))
