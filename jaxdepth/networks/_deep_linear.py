"""Deep linear networks: a matrix written as a product of N, and the balance of its factors."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from jaxdepth._misc import (
    RealLike,
    check_finite,
    check_integer,
    check_key,
    check_real,
    is_real,
    is_traced,
    refuse,
    working_dtype,
)
from jaxdepth.networks._affine import AffineLayer, affine_layer
from jaxdepth.networks._parameters import float_dtype, normal

_dot = functools.partial(jnp.matmul, precision="highest")


class DeepLinear(eqx.Module):
    """The linear network x ↦ W_N ⋯ W_1 x.

    With init `"balanced"` an end-to-end matrix with N(0, scale²) entries is drawn and split so that
    W_{j+1}ᵀW_{j+1} = W_jW_jᵀ to rounding: the hypothesis of Theorem 1. A hidden layer narrower than
    min(n_0, n_N) cannot carry every rank: the end-to-end matrix is then the best approximation of
    the draw whose rank is the least width. With init `"gaussian"` every entry of every layer is
    N(0, scale²), and balance holds only in the limit of a small scale.

    Attributes:
        layers: W_1, …, W_N; W_j has shape (n_j, n_{j-1}).

    Args:
        sizes: (n_0, n_1, …, n_N): input, hidden widths, output.
        init: "balanced" or "gaussian".
        scale: the standard deviation above, positive; may be traced.
        key: random key. The draws have the default float dtype, that of `jax.config`.

    Raises:
        ValueError: fewer than two sizes, a size below 1, an unknown init, a scale that is no real
            scalar, or not positive and finite in that dtype (or so near its ends that draws flush
            to zero or overflow).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net = DeepLinear((3, 4, 2), scale=0.5, key=jax.random.key(0))
        >>> [W.shape for W in net.layers], net(jnp.ones(3)).shape
        ([(4, 3), (2, 4)], (2,))
        >>> bool(abs(net.imbalance()[0]).max() < 1e-5)
        True

    Reference: Arora, Cohen & Hazan, *On the Optimization of Deep Networks* (2018), section 5;
    Arora, Cohen, Golowich & Hu (2019), Procedure 1, for the balanced draw.
    """

    layers: tuple[Float[Array, "_ _"], ...]

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        init: Literal["balanced", "gaussian"] = "balanced",
        scale: RealLike = 1e-2,
        key: PRNGKeyArray,
    ) -> None:
        sizes = _check_sizes(sizes)
        check_key(key)
        scale = _check_scale(scale, float_dtype(None))
        if init == "balanced":
            self.layers = _balanced_factors(scale * normal(key, (sizes[-1], sizes[0])), sizes)
        elif init == "gaussian":
            keys = jax.random.split(key, len(sizes) - 1)
            shapes = zip(sizes[1:], sizes[:-1], strict=True)
            self.layers = tuple(
                scale * normal(key, shape) for key, shape in zip(keys, shapes, strict=True)
            )
        else:
            refuse("init", "'balanced' or 'gaussian'", init)

    @classmethod
    def balanced_from(cls, W: Float[Array, "out in_"], depth: int) -> DeepLinear:
        """Write `W` as a balanced product of `depth` factors, hidden widths min(n_0, n_N).

        With W = UΣVᵀ: W_1 = Σ^{1/N}Vᵀ, W_j = Σ^{1/N}, W_N = UΣ^{1/N}. Singular values up to
        max(n_0, n_N)·ε·σ_max are rounding, which the root would make large: they are taken to be 0,
        as in `jaxdepth.dynamics.end_to_end` (half precision is factored in float32, whose ε it is).

        Args:
            W: the end-to-end matrix, shape (out, in).
            depth: N, at least 1; one factor is W itself, untouched.

        Returns:
            A `DeepLinear` of W's dtype, whose product is W to rounding.

        Raises:
            ValueError: W not a float matrix or not finite, depth below 1.

        Example:
            >>> import jax.numpy as jnp
            >>> net = DeepLinear.balanced_from(jnp.array([[3.0, 4.0]]), 2)
            >>> [round(float(jnp.linalg.norm(W)) ** 2, 4) for W in net.layers]
            [5.0, 5.0]
        """
        W = jnp.asarray(W)
        if W.ndim != 2 or 0 in W.shape or not jnp.issubdtype(W.dtype, jnp.floating):
            refuse("W", "a non-empty float matrix", f"{W.dtype}{W.shape}")
        check_finite("W", W)
        depth = check_integer("depth", depth, 1)
        out_size, in_size = W.shape
        sizes = (in_size, *(min(W.shape),) * (depth - 1), out_size)
        skeleton = eqx.filter_eval_shape(cls, sizes, init="gaussian", key=jax.random.key(0))
        return eqx.tree_at(lambda net: net.layers, skeleton, _balanced_factors(W, sizes))

    def __call__(self, x: Float[Array, " in_"]) -> Float[Array, " out"]:
        """Return W_N ⋯ W_1 x for one example."""
        for W in self.layers:
            x = _dot(W, x)
        return x

    def affine_layers(self) -> tuple[AffineLayer, ...]:
        """List the layers, none of which bends."""
        return tuple(affine_layer(W, jnp.zeros_like(W[:, 0]), 1.0) for W in self.layers)

    def end_to_end(self) -> Float[Array, "out in_"]:
        """Return W_e = W_N ⋯ W_1, of shape (n_N, n_0).

        The product is taken from the smaller end, where the intermediates are smallest: a network
        of one output never multiplies two square matrices.
        """
        if self.layers[-1].shape[0] <= self.layers[0].shape[1]:
            return functools.reduce(_dot, self.layers[::-1])
        return functools.reduce(lambda product, W: _dot(W, product), self.layers)

    def imbalance(self) -> tuple[Float[Array, "_ _"], ...]:
        """Return D_1, …, D_{N-1}, all zero where the layers are balanced: see `imbalance`."""
        return imbalance(self.layers)


def imbalance(layers: Sequence[Float[Array, "_ _"]]) -> tuple[Float[Array, "_ _"], ...]:
    """Return the conserved matrices D_j = W_{j+1}ᵀW_{j+1} − W_jW_jᵀ, j = 1, …, N−1.

    Gradient flow keeps each D_j; gradient descent moves it by `imbalance_step`.

    Args:
        layers: W_1, …, W_N, W_j of shape (n_j, n_{j-1}).

    Returns:
        One (n_j, n_j) matrix for each neighbouring pair; none for a single layer.

    Raises:
        ValueError: no layers, a layer that is no real matrix, neighbouring shapes that cannot be
            multiplied.

    Example:
        >>> import jax.numpy as jnp
        >>> imbalance((jnp.array([[3.0]]), jnp.array([[5.0]])))[0].tolist()
        [[16.0]]

    Reference: Arora, Cohen & Hazan (2018), proof of Theorem 1.
    """
    layers = _check_chain("layers", layers)
    return _gram_differences(_cast(layers, working_dtype(layers)))


def imbalance_step(
    imbalances: Sequence[Float[Array, "_ _"]],
    gradients: Sequence[Float[Array, "_ _"]],
    learning_rate: RealLike,
    weight_decay: RealLike = 0.0,
) -> tuple[Float[Array, "_ _"], ...]:
    """Return the imbalance after a step of gradient descent on the layers, which it need not see.

    W_j⁺ = (1−ηλ)W_j − η∇_j makes D_j⁺ = (1−ηλ)²D_j + η²(∇_{j+1}ᵀ∇_{j+1} − ∇_j∇_jᵀ), exactly:
    nothing of first order in η.

    Args:
        imbalances: D_1, …, D_{N-1}, as `imbalance` returns them.
        gradients: ∇_1, …, ∇_N of a loss of the product W_N⋯W_1, ∇_j of W_j's shape.
        learning_rate: η ≥ 0.
        weight_decay: λ ≥ 0 of each layer.

    Returns:
        D_1⁺, …, D_{N-1}⁺, in the widest dtype of the matrices.

    Raises:
        ValueError: what is no real matrix, shapes or numbers of matrices that do not agree, a
            negative or non-finite decay or rate.

    Example:
        >>> import jax.numpy as jnp
        >>> layers = (jnp.array([[3.0]]), jnp.array([[5.0]]))  # L = w₂w₁: the gradients are 5 and 3
        >>> imbalance_step(imbalance(layers), layers[::-1], 0.5)[0].tolist()
        [[12.0]]
        >>> imbalance((jnp.array([[0.5]]), jnp.array([[3.5]])))[0].tolist()
        [[12.0]]

    Reference: derived by expanding the step, whose cross terms cancel because
    W_{j+1}ᵀ∇_{j+1} = ∇_jW_jᵀ (Arora, Cohen & Hazan 2018, proof of Theorem 1).
    """
    gradients = _check_chain("gradients", gradients)
    imbalances = _check_matrices("imbalances", imbalances)
    squares = [(len(above),) * 2 for above in gradients[:-1]]
    if [D.shape for D in imbalances] != squares:
        refuse("imbalances", f"of shapes {squares}", [D.shape for D in imbalances])
    dtype = working_dtype(imbalances, gradients)
    imbalances, pushed = _cast(imbalances, dtype), _gram_differences(_cast(gradients, dtype))
    eta = _check_nonnegative("learning_rate", learning_rate, dtype)
    decay = _check_nonnegative("weight_decay", weight_decay, dtype)
    return tuple(
        (1 - eta * decay) ** 2 * D + eta**2 * push
        for D, push in zip(imbalances, pushed, strict=True)
    )


def _check_matrices(argument: str, matrices: Any) -> tuple[Any, ...]:
    for j, W in enumerate(matrices):
        array = isinstance(W, (jax.Array, np.ndarray))
        if not array or W.ndim != 2 or not is_real(W.dtype):
            got = f"{W.dtype}{W.shape}" if array else type(W).__name__
            refuse(f"{argument}[{j}]", "an array, a real matrix", got)
    return tuple(matrices)


def _check_chain(argument: str, matrices: Any) -> tuple[Any, ...]:
    matrices = _check_matrices(argument, matrices)
    chained = all(above.shape[1] == len(below) for below, above in itertools.pairwise(matrices))
    if not (matrices and chained):
        refuse(argument, "matrices (n_j, n_{j-1}) in order", [W.shape for W in matrices])
    return matrices


def _cast(matrices: tuple[Any, ...], dtype: jnp.dtype) -> tuple[Array, ...]:
    return tuple(jnp.asarray(W).astype(dtype) for W in matrices)


def _check_within(
    argument: str, value: Any, least: float, most: float, dtype: jnp.dtype, asked: str
) -> Array:
    """Return a real scalar in `dtype`, refused outside [least, most]; tracers pass."""
    value = check_real(argument, value)
    if is_traced(value):
        return value.astype(dtype)
    if not least <= value <= most:
        refuse(argument, asked, value)
    return jnp.asarray(float(value), dtype)


def _check_nonnegative(argument: str, value: Any, dtype: jnp.dtype) -> Array:
    most = float(jnp.finfo(dtype).max)
    return _check_within(argument, value, 0.0, most, dtype, f"at least 0 and finite in {dtype}")


def _check_scale(scale: Any, dtype: jnp.dtype) -> Array:
    # Subnormals flush to zero, a fixed point of every depth above 1; draws reach 9 deviations.
    least, most = float(jnp.finfo(dtype).tiny), float(jnp.finfo(dtype).max) / 16
    asked = f"positive and finite in {dtype}, from {least:.3g} to {most:.3g}"
    return _check_within("scale", scale, least, most, dtype, asked)


def _gram_differences(matrices: Sequence[Float[Array, "_ _"]]) -> tuple[Float[Array, "_ _"], ...]:
    return tuple(
        _dot(above.T, above) - _dot(below, below.T) for below, above in itertools.pairwise(matrices)
    )


def _check_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    checked = tuple(check_integer(f"sizes[{j}]", size, 1) for j, size in enumerate(sizes))
    if len(checked) < 2:
        refuse("sizes", "(input, …, output), two sizes at least", checked)
    return checked


def _balanced_factors(
    W: Float[Array, "out in_"], sizes: tuple[int, ...]
) -> tuple[Float[Array, "_ _"], ...]:
    depth, rank = len(sizes) - 1, min(sizes)
    if depth == 1:
        return (W,)
    # LAPACK knows no 16-bit floats, and a singular value may exceed what they hold.
    wide = W.dtype if jnp.finfo(W.dtype).bits >= 32 else jnp.dtype(jnp.float32)
    U, sigma, Vt = jnp.linalg.svd(W.astype(wide), full_matrices=False)
    # Rounding of 0 to the power 1/N is no rounding: it would learn, as P_W does not let it.
    cut = max(W.shape) * float(jnp.finfo(wide).eps) * sigma[0]
    # Σ^{1/N} in the leading corner of every factor: the products Σ^{2/N} on the two sides of a
    # hidden layer are then one matrix, and only the orthonormality of U and V costs rounding.
    root = jnp.where(sigma > cut, sigma, 0)[:rank] ** (1 / depth)
    hidden = [
        jnp.zeros((rows, columns), wide).at[:rank, :rank].set(jnp.diag(root))
        for rows, columns in zip(sizes[2:-1], sizes[1:-2], strict=True)
    ]
    first = jnp.zeros((sizes[1], sizes[0]), wide).at[:rank].set(root[:, None] * Vt[:rank])
    last = jnp.zeros((sizes[-1], sizes[-2]), wide).at[:, :rank].set(U[:, :rank] * root[None])
    return _cast((first, *hidden, last), W.dtype)
