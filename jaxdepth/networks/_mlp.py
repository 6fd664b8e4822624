"""Multilayer perceptrons of any widths and depth, which may be traced."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from jaxdepth._misc import check_integer, check_key, is_traced, refuse
from jaxdepth.networks._activations import activation as activation_named
from jaxdepth.networks._affine import AffineLayer, Layer, affine_layer, listed, refuse_stack
from jaxdepth.networks._parameters import float_dtype
from jaxdepth.networks._size import Size, check_size, or_zero

_TOGETHER = 2048  # numbers of one network that are drawn at once


class MLP(eqx.Module):
    """A fully connected network x ↦ W_out·σ(W_D ⋯ σ(W_1 x + b_1) ⋯ + b_D) + b_out.

    The hidden layers are stacked, zero-padded to the widest, and evaluated by one scan. Padding
    leaks exactly 0: an inactive unit outputs 0 whatever the activation, an inactive layer passes
    its input on, and the gradients of all padding are exactly 0. Weights are drawn per (layer,
    unit, input), so that padding never changes them: `MLP.padded(max_sizes, width=w, depth=d,
    key=key)` has the same active weights as `MLP((n, w, …, w, m), key=key)` with d hidden layers.

    Weights are N(0, weight_gain / fan-in) and biases N(0, bias_std²): He's initialisation by
    default.

    Attributes:
        weight_in: shape (hidden, in).
        weights: hidden to hidden, shape (max depth − 1, hidden, hidden).
        weight_out: shape (out, hidden).
        biases: shape (max depth, hidden).
        bias_out: shape (out,).
        widths: active units of each hidden layer, shape (max depth,).
        depth: the number of active hidden layers.
        sizes: (in, h1, …, out), the padded ones.
        activation: a name or a callable.

    Args:
        sizes: (in, h1, …, out), Python ints, at least one hidden layer.
        activation: applied after every hidden layer; a name or a callable on arrays.
        weight_gain: variance of a weight times its fan-in.
        bias_std: standard deviation of the biases.
        dtype: of the parameters; the default float where None. (A key draws different numbers in
            float32 and in float64.)
        width: active units of every hidden layer, as for `MLP.padded`; None for all.
        depth: active hidden layers, likewise.
        key: random key.

    Raises:
        ValueError: sizes that are not at least three positive integers, an unknown activation.

    Example:
        >>> import jax
        >>> net = MLP((1, 8, 8, 1), key=jax.random.key(0))
        >>> net(jax.numpy.zeros(1)).shape
        (1,)
    """

    weight_in: Float[Array, "hidden in"]
    weights: Float[Array, "layers hidden hidden"]
    weight_out: Float[Array, "out hidden"]
    biases: Float[Array, "depth hidden"]
    bias_out: Float[Array, " out"]
    widths: Int[Array, " depth"]
    depth: Int[Array, ""]
    sizes: tuple[int, ...] = eqx.field(static=True)
    activation: str | Callable[[Any], Any] = eqx.field(static=True)

    def __init__(
        self,
        sizes: Sequence[int | Size],
        *,
        activation: str | Callable[[Any], Any] = "relu",
        weight_gain: float = 2.0,
        bias_std: float = 1.0,
        dtype: Any = None,
        width: int | Int[Array, ""] | Size | None = None,
        depth: int | Int[Array, ""] | Size | None = None,
        key: PRNGKeyArray,
    ) -> None:
        self.sizes = _check_sizes(sizes)
        self.activation = activation
        activation_named(activation)
        hidden = self.sizes[1:-1]
        layers = len(hidden)
        dtype = float_dtype(dtype)

        self.widths, self.depth = jnp.asarray(hidden, jnp.int32), jnp.asarray(layers, jnp.int32)
        if width is not None:
            self.widths = jnp.full((layers,), _active("width", width, min(hidden)), jnp.int32)
        if depth is not None:
            self.depth = _active("depth", depth, layers)

        check_key(key)
        if not is_traced(weight_gain, bias_std) and not (
            0 <= weight_gain < np.inf and 0 <= bias_std < np.inf
        ):
            refuse(
                "weight_gain", "non-negative and finite, like `bias_std`", (weight_gain, bias_std)
            )
        gain, std = jnp.asarray(weight_gain, dtype), jnp.asarray(bias_std, dtype)
        drawn = _draw(key, self.widths, self.depth, gain, std, self.sizes)
        self.weight_in, self.weights, self.weight_out, self.biases, bias_out = drawn
        # A traced width or depth out of range fills the output with NaN, by what no mask takes out:
        # counts say `not finite`.
        self.bias_out = jnp.where((self.widths[0] > 0) & (self.depth > 0), bias_out, jnp.nan)

    @classmethod
    def padded(
        cls,
        max_sizes: Sequence[int | Size],
        *,
        width: int | Int[Array, ""] | Size,
        depth: int | Int[Array, ""] | Size,
        key: PRNGKeyArray,
        **options: Any,
    ) -> MLP:
        """Build `depth` hidden layers of `width` units inside the shapes of `max_sizes`.

        `width` and `depth` may be traced: thousands of shapes share one compilation. Traced values
        out of range cannot raise; they give a network of NaN, which every count reports.

        Args:
            max_sizes: (in, h1, …, out); `width` ≤ min(h), `depth` ≤ their number. A `Size` counts
                as its `max`, here and as the most that `width` and `depth` may be.
            width: active units of every hidden layer, at least 1.
            depth: active hidden layers, at least 1.
            key: random key.
            options: `activation`, `weight_gain`, `bias_std` and `dtype`, as for `MLP`.

        Returns:
            An `MLP` of those shapes.

        Example:
            >>> import jax, jax.numpy as jnp
            >>> key = jax.random.key(0)
            >>> def value(width, depth):
            ...     net = MLP.padded((1, 16, 16, 16, 1), width=width, depth=depth, key=key)
            ...     return net(jnp.ones(1))[0]
            >>> jax.vmap(value)(jnp.array([4, 9]), jnp.array([1, 3])).shape
            (2,)
        """
        return cls(max_sizes, width=width, depth=depth, key=key, **options)

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """Evaluate on one example."""
        sigma = activation_named(self.activation)
        live = _live_units(self.widths, self.depth, self.sizes)

        def masked(z: Array, units: Array) -> Array:
            # The inner `where` keeps σ at a harmless point: 0 times an infinite slope is NaN.
            return jnp.where(units, sigma(jnp.where(units, z, 1)), 0)

        first = masked(self.weight_in @ x + self.biases[0], live[0])

        def layer(h: Array, parameters: tuple) -> tuple[Array, None]:
            weight, bias, units, index = parameters
            return jnp.where(index < self.depth, masked(weight @ h + bias, units), h), None

        index = jnp.arange(1, self.widths.shape[0], dtype=jnp.int32)
        h, _ = jax.lax.scan(layer, first, (self.weights, self.biases[1:], live[1:], index))
        return self.weight_out @ h + self.bias_out

    def live(self) -> MLP:
        """Tell parameters from padding: True where a parameter is, False where padding is.

        Returns:
            This network with masks in place of its parameters, and None in place of the rest: the
            tree of its gradients, and of the updates of an optimiser (`keep_padding`).

        Raises:
            ValueError: a stack of networks.

        Example:
            >>> import jax
            >>> net = MLP.padded((1, 3, 3, 1), width=2, depth=1, key=jax.random.key(0))
            >>> net.live().biases.tolist()
            [[True, True, False], [False, False, False]]
        """
        if np.ndim(self.depth):
            refuse_stack("net")
        masks = _live_parameters(self.widths, self.depth, self.sizes)
        return eqx.tree_at(_leaves, self, (*masks, None, None))

    def on_points(self) -> Callable[[Float[Array, " points"]], Float[Array, " points"]]:
        """Return this network R → R as a map of many points at once, without reverse mode.

        Masks are folded into the weights, once: an inactive unit reads nothing, stands at 1 (as in
        `__call__`) and is read by none, and inactive layers are not run. So a layer is a product
        and one pass over its units, held as columns, (width, points): rows of a narrow layer leave
        the vector units half empty.

        Returns:
            The network on points of shape (points,).

        Raises:
            ValueError: more than one input or output.

        Example:
            >>> import jax, jax.numpy as jnp
            >>> net = MLP((1, 8, 8, 1), key=jax.random.key(0))
            >>> x = jnp.linspace(0.0, 1.0, 5)
            >>> bool(jnp.allclose(net.on_points()(x), jax.vmap(net)(x[:, None])[:, 0], atol=1e-5))
            True
        """
        if (self.sizes[0], self.sizes[-1]) != (1, 1):
            refuse("sizes", "(1, h1, …, 1) to run on points of the line", self.sizes)
        sigma = activation_named(self.activation)
        reading, connected, read, live, _ = _live_parameters(self.widths, self.depth, self.sizes)
        first = jnp.where(reading, self.weight_in, 0)
        between = jnp.where(connected, self.weights, 0)
        # A product keeps the NaN of sizes out of range.
        last = self.weight_out * read.astype(self.weight_out.dtype)
        biases = jnp.where(live, self.biases, 1)[..., None]

        def layer(index: Array, h: Array) -> Array:
            return sigma(between[index - 1] @ h + biases[index])

        def evaluate(x: Array) -> Array:
            h = sigma(first @ x[None] + biases[0])
            if between.shape[0]:  # an empty stack cannot even be indexed
                h = jax.lax.fori_loop(1, self.depth, layer, h)
            return (last @ h)[0] + self.bias_out

        return evaluate

    def affine_layers(self) -> tuple[AffineLayer, ...]:
        """List the affine layers: the active units alone, or the padded ones where traced."""
        return listed(self, "net")

    def listing(self, argument: str) -> tuple[AffineLayer | Layer, ...]:
        """List the layers likewise, whatever the activation: the padded ones with their masks."""
        if np.ndim(self.depth):
            refuse_stack(argument)
        weights = [self.weight_in, *self.weights]
        if not is_traced(self.widths, self.depth):
            widths = np.asarray(self.widths)[: int(self.depth)].tolist()
            if not widths or not all(widths):
                refuse(argument, "one within its sizes", "a traced width or depth that was not")
            ins = [self.sizes[0], *widths]
            hidden = [
                Layer(weight[:rows, :columns], bias[:rows], self.activation)
                for weight, bias, rows, columns in zip(
                    weights, self.biases, widths, ins, strict=False
                )
            ]
            return (*hidden, affine_layer(self.weight_out[:, : widths[-1]], self.bias_out, 1.0))
        units = max(self.sizes[1:-1])
        identity = jnp.eye(units, dtype=self.weights.dtype)
        unit = jnp.arange(units, dtype=jnp.int32)
        padded = []
        for layer, (weight, bias) in enumerate(zip(weights, self.biases, strict=True)):
            active, live = layer < self.depth, unit < self.widths[layer]
            if layer:
                weight, bias = jnp.where(active, weight, identity), jnp.where(active, bias, 0)
            padded.append(Layer(weight, bias, self.activation, live, active))
        return (*padded, affine_layer(self.weight_out, self.bias_out, 1.0))


def _check_sizes(sizes: Sequence[int | Size]) -> tuple[int, ...]:
    if not isinstance(sizes, (tuple, list)) or len(sizes) < 3:
        refuse("sizes", "(in, h1, …, out) with at least one hidden layer", sizes)
    most = (size.max if isinstance(size, Size) else size for size in sizes)
    return tuple(check_integer("sizes", size, 1) for size in most)


def _active(name: str, size: Any, most: int) -> Int[Array, ""]:
    """Return the active number, 0 where a traced one is not in [1, most]."""
    if isinstance(size, Size):
        size, most = size.value, min(size.max, most)
    return or_zero(jnp.asarray(check_size(name, size, most)), most)


def _live_units(
    widths: Int[Array, " depth"], depth: Int[Array, ""], sizes: tuple[int, ...]
) -> Bool[Array, "depth hidden"]:
    layers = jnp.arange(widths.shape[0], dtype=jnp.int32)[:, None] < depth
    units = jnp.arange(max(sizes[1:-1]), dtype=jnp.int32)[None, :] < widths[:, None]
    return layers & units


def _live_parameters(
    widths: Int[Array, " depth"], depth: Int[Array, ""], sizes: tuple[int, ...]
) -> tuple[Array, Array, Array, Array, Array]:
    """Mask (weight_in, weights, weight_out, biases, bias_out): True where no padding is."""
    live = _live_units(widths, depth, sizes)
    connected = live[1:, :, None] & live[:-1, None, :]
    reading = jnp.repeat(live[0][:, None], sizes[0], axis=1)
    read = jnp.repeat(live[depth - 1][None, :], sizes[-1], axis=0)
    return reading, connected, read, live, jnp.ones(sizes[-1], bool)


def _leaves(net: MLP) -> tuple[Any, ...]:
    parameters = (net.weight_in, net.weights, net.weight_out, net.biases, net.bias_out)
    return (*parameters, net.widths, net.depth)


@partial(jax.jit, static_argnames="sizes")
def _draw(
    key: PRNGKeyArray,
    widths: Int[Array, " depth"],
    depth: Int[Array, ""],
    weight_gain: Float[Array, ""],
    bias_std: Float[Array, ""],
    sizes: tuple[int, ...],
) -> tuple[Array, Array, Array, Array, Array]:
    """Draw (weight_in, weights, weight_out, biases, bias_out), the padding set to 0.

    The number at (layer, unit, input) is the standard normal of `key` folded with these three; the
    bias stands at input 0, so a unit is a row [bias, weights]. The output layer has index `depth`.
    """
    units, layers, dtype = max(sizes[1:-1]), len(sizes) - 2, weight_gain.dtype
    blocks = [(1, units, 1 + sizes[0]), (layers - 1, units, 1 + units), (1, sizes[-1], 1 + units)]
    index = [np.indices(shape[:2], np.int32).reshape(2, -1) for shape in blocks]
    index[1][0] += 1
    outmost = jnp.full(index[2].shape[1], depth, jnp.int32)
    layer = jnp.concatenate([index[0][0], index[1][0], outmost])
    # Folding is most of the work: a unit's numbers share its key, and only `source` is their own.
    fold = jax.vmap(lambda *place: reduce(jax.random.fold_in, place, key))
    keys = fold(layer, np.concatenate([index[0][1], index[1][1], index[2][1]]))
    terms = np.repeat([shape[2] for shape in blocks], [shape[0] * shape[1] for shape in blocks])
    unit = np.repeat(np.arange(len(terms), dtype=np.int32), terms)
    source = np.concatenate([np.arange(each, dtype=np.int32) for each in terms])

    def numbers(places: tuple[Array, Array]) -> Float[Array, " numbers"]:
        own = jax.vmap(jax.random.fold_in)(keys[places[0]], places[1])
        return jax.vmap(lambda each: jax.random.normal(each, (), dtype))(own)

    # So many at once that those of many networks stay in a CPU's caches.
    flat = jax.lax.map(numbers, _rows_of(_TOGETHER, unit, source)).reshape(-1)
    ends = np.cumsum([math.prod(shape) for shape in blocks])
    first, between, last = (
        rows.reshape(shape)
        for rows, shape in zip(jnp.split(flat[: ends[-1]], ends[:-1]), blocks, strict=True)
    )

    reading, connected, read, live, _ = _live_parameters(widths, depth, sizes)
    scale = jnp.sqrt(weight_gain / widths.astype(dtype))  # of the weights that read a layer
    fan_in = jnp.sqrt(weight_gain / sizes[0])
    weight_in = jnp.where(reading, fan_in * first[0, :, 1:], 0)
    weights = jnp.where(connected, scale[:-1, None, None] * between[:, :, 1:], 0)
    weight_out = jnp.where(read, scale[depth - 1] * last[0, :, 1:], 0)
    biases = bias_std * jnp.concatenate([first[:, :, 0], between[:, :, 0]])
    return weight_in, weights, weight_out, jnp.where(live, biases, 0), bias_std * last[0, :, 0]


def _rows_of(most: int, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Lay arrays out in rows of at most `most`, the last filled up with zeros."""
    length = min(most, len(arrays[0]))
    filled = (np.pad(array, (0, -len(array) % length)) for array in arrays)
    return tuple(array.reshape(-1, length) for array in filled)
