"""Training padded networks: no optimiser moves what is not there."""

from __future__ import annotations

import functools
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from jaxdepth._misc import refuse
from jaxdepth.networks._mlp import MLP


def keep_padding(
    optimiser: optax.GradientTransformation | optax.MultiSteps, net: PyTree
) -> optax.GradientTransformationExtraArgs:
    """Wrap an optimiser so that the padding of padded networks stays exactly 0.

    Gradients of padding are exactly 0 already (for any activation that is finite, with a finite
    slope, at 1); what an optimiser makes of them need not be. Here both gradients and updates are
    0 there. So a padded network trains as the network without padding does, up to rounding, under
    every optimiser of optax that treats parameters one by one, or by sums and norms over some of
    them, which zeros do not change: descent, momentum, Adam and its kin, Lion, LAMB, LARS, clipping
    by norms, line searches.

    Four kinds read the padded shapes, and train a network with padding otherwise than one without,
    though as well: those that add noise, which has the same law and is drawn by place in the
    padded array (`noisy_sgd`, `add_noise`); those that take means over an array, padding included
    (`adafactor`, `clip_by_block_rms`, `scale_by_param_block_rms`, `centralize`); those that scale
    by the shape of a matrix (`contrib.muon`); and those that choose by an array's shape what they
    take norms over (`adaptive_grad_clip`).

    Args:
        optimiser: an optax transformation.
        net: what is to be trained: an `MLP`, or any pytree that holds some. Widths and depths may
            be traced; masks travel as arrays, so that networks of all sizes share one compilation
            of `jaxdepth.dynamics.descend`.

    Returns:
        The transformation with padding masked. For a factory with traced hyperparameters:
        `lambda learning_rate: keep_padding(optax.adam(learning_rate), net)`.

    Raises:
        ValueError: what is no optax transformation, or a tree without an `MLP`; a stack of networks
            (use `jax.vmap`); at the first update, an optimiser that moves two copies of the
            parameters (`lookahead`).

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> net = MLP.padded((1, 4, 1), width=3, depth=1, key=jax.random.key(0))
        >>> optimiser = keep_padding(optax.sgd(0.5), net)
        >>> ones = jax.tree.map(jnp.ones_like, eqx.filter(net, eqx.is_inexact_array))
        >>> updates, _ = optimiser.update(ones, optimiser.init(ones))
        >>> updates.biases.tolist()
        [[-0.5, -0.5, -0.5, 0.0]]
    """
    if isinstance(optimiser, optax.MultiSteps):  # optax's one optimiser that is no transformation
        optimiser = optimiser.gradient_transformation()
    if not isinstance(optimiser, optax.GradientTransformation):
        refuse("optimiser", "an optax transformation", optimiser)
    inner = optax.with_extra_args_support(cast(optax.GradientTransformation, optimiser))
    live = _live(net)

    @functools.wraps(inner.update)  # it takes what the inner one takes: `descend` asks
    def update(
        live: PyTree, updates: PyTree, state: Any, params: PyTree = None, **extra: Any
    ) -> tuple[PyTree, Any]:
        if isinstance(params, optax.LookaheadParams):
            cure = "Give `lookahead` the optimiser that `keep_padding` returns."
            refuse("params", "one copy of the parameters", "fast and slow ones", cure)
        moved, state = inner.update(_cut(live, updates), state, params, **extra)
        return _cut(live, moved), state

    return optax.GradientTransformationExtraArgs(inner.init, jax.tree_util.Partial(update, live))


def _live(net: PyTree) -> PyTree:
    """Mask the padding of every network in a tree; None for what is no parameter."""

    def mask(leaf: Any) -> Any:
        if isinstance(leaf, MLP):
            return leaf.live()
        return True if eqx.is_inexact_array(leaf) else None

    nodes = jax.tree.leaves(net, is_leaf=_is_mlp)
    if not any(map(_is_mlp, nodes)):
        refuse("net", "an `MLP`, or a pytree that holds one", type(net).__name__)
    return jax.tree.map(mask, net, is_leaf=_is_mlp)


def _is_mlp(node: Any) -> bool:
    return isinstance(node, MLP)


def _cut(live: PyTree, updates: PyTree) -> PyTree:
    """Return updates with 0 in place of padding's; what no mask stands over stays as it is."""

    def cut(mask: Any, update: Any) -> Any:
        if mask is None:
            return update
        return jax.tree.map(lambda leaf: jnp.where(mask, leaf, 0), update)

    return jax.tree.map(cut, live, updates, is_leaf=lambda leaf: leaf is None)
