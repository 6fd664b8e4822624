"""Networks of many widths and seeds, trained on sampled points in one compiled program.

Widths are padded to the widest, so that a sweep over them costs one compilation a depth.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

import jaxdepth as jd


class Sample(eqx.Module):
    """Points, the values of a target there, and how many make a batch."""

    x: Float[Array, "points dim"]
    y: Float[Array, " points"]
    batch: int = eqx.field(static=True)

    def loss(self, model: jd.networks.MLP, key: PRNGKeyArray | None = None) -> Float[Array, ""]:
        """Evaluate the mean square, on a batch drawn by `key` or on all points."""
        x, y = self.x, self.y
        if key is not None:
            drawn = jax.random.randint(key, (self.batch,), 0, y.size, jnp.int32)
            x, y = x[drawn], y[drawn]
        return jnp.mean(jnp.square(jax.vmap(model)(x)[:, 0] - y))


def repeated(widths: tuple[int, ...], seeds: int) -> np.ndarray:
    """Return the width of each network of `trained`: every width, `seeds` times."""
    return np.repeat(widths, seeds)


def trained(
    sample: Sample,
    layers: int,
    widths: tuple[int, ...],
    seeds: int,
    *,
    activation: str,
    steps: int,
    rate: float = 0.02,
    key: PRNGKeyArray,
) -> tuple[jd.networks.MLP, Float[np.ndarray, " networks"]]:
    """Train networks with `layers` layers, all but the last of one width, by Adam on batches.

    The rate falls to 0 along a cosine. Biases start at N(0, 1) and weights at N(0, 1/fan-in), twice
    that for ReLUs.

    Args:
        sample: what to fit.
        layers: 2 or more, the output included.
        widths: of the hidden layers.
        seeds: networks of each width; those of one seed share their weights' random numbers.
        activation: by name.
        steps: updates.
        rate: the first one.
        key: random key.

    Returns:
        The networks, stacked in the order of `repeated`, and their mean squares on the sample.
    """
    hidden = layers - 1
    sizes = (sample.x.shape[1], *[max(widths)] * hidden, 1)
    gain = 2.0 if activation == "relu" else 1.0
    drawing, descending = jax.random.split(key)
    keys = jnp.tile(jax.random.split(drawing, seeds), len(widths))
    live = jnp.asarray(repeated(widths, seeds), jnp.int32)
    nets, losses = _trained(
        sample, live, keys, descending, sizes, activation, gain, steps, jnp.asarray(rate)
    )
    return nets, np.asarray(losses)


@eqx.filter_jit
def _trained(
    sample: Sample,
    widths: Int[Array, " networks"],
    keys: PRNGKeyArray,
    descending: PRNGKeyArray,
    sizes: tuple[int, ...],
    activation: str,
    gain: float,
    steps: int,
    rate: Float[Array, ""],
) -> tuple[jd.networks.MLP, Array]:
    def start(width: Array, key: Array) -> jd.networks.MLP:
        return jd.networks.MLP.padded(
            sizes,
            width=width,
            depth=len(sizes) - 2,
            activation=activation,
            weight_gain=gain,
            dtype=sample.x.dtype,
            key=key,
        )

    def optimiser(learning_rate: Array) -> optax.GradientTransformation:
        return optax.adam(lambda step: learning_rate * (1 + jnp.cos(jnp.pi * step / steps)) / 2)

    def one(net: jd.networks.MLP) -> tuple[jd.networks.MLP, Array]:
        path = jd.dynamics.descend(
            net,
            sample.loss,
            optimiser,
            steps,
            hyperparameters={"learning_rate": rate},
            record_every=steps,
            key=descending,
        )
        return path.model, sample.loss(path.model)

    return eqx.filter_vmap(one)(jax.vmap(start)(widths, keys))
