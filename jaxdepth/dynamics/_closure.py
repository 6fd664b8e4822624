"""Two layers without the layers: descent on their product, exactly, at any hidden width."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdepth._misc import check_finite, check_real, is_traced, refuse, working_dtype

_dot = functools.partial(jnp.matmul, precision="highest")


class Closure(NamedTuple):
    """All that gradient descent on two layers knows of them.

    Attributes:
        W: the product W₂W₁, shape (m, n).
        A: W₂W₂ᵀ, shape (m, m).
        B: W₁ᵀW₁, shape (n, n).

    Example:
        >>> import jax.numpy as jnp
        >>> W, A, B = Closure.of(jnp.array([[2.0]]), jnp.array([[3.0]]))
        >>> float(W[0, 0]), float(A[0, 0]), float(B[0, 0])
        (6.0, 9.0, 4.0)
    """

    W: Float[Array, "m n"]
    A: Float[Array, "m m"]
    B: Float[Array, "n n"]

    @classmethod
    def of(cls, first: Float[Array, "h n"], second: Float[Array, "m h"]) -> Closure:
        """Return the closure of the layers x ↦ second·first·x, whatever their balance.

        Args:
            first: W₁, shape (h, n).
            second: W₂, shape (m, h).

        Returns:
            W₂W₁, W₂W₂ᵀ and W₁ᵀW₁, of the wider dtype of the two.

        Raises:
            ValueError: shapes that do not agree, complex or non-finite entries.

        Example:
            >>> import jax.numpy as jnp
            >>> Closure.of(jnp.array([[1.0], [2.0]]), jnp.array([[3.0, 1.0]])).W.tolist()
            [[5.0]]
        """
        first, second = jnp.asarray(first), jnp.asarray(second)
        for name, layer in (("first", first), ("second", second)):
            if layer.ndim != 2 or 0 in layer.shape:
                refuse(name, "a non-empty matrix", layer.shape)
            if jnp.iscomplexobj(layer):
                refuse(name, "real", layer.dtype)
            check_finite(name, layer)
        if second.shape[1] != first.shape[0]:
            refuse("second", f"a matrix (m, {first.shape[0]}), to follow `first`", second.shape)
        dtype = working_dtype(first, second)
        first, second = first.astype(dtype), second.astype(dtype)
        return cls(_dot(second, first), _dot(second, second.T), _dot(first.T, first))


def closure_step(
    W: Float[Array, "m n"],
    A: Float[Array, "m m"],
    B: Float[Array, "n n"],
    G: Float[Array, "m n"],
    learning_rate: float | Float[Array, ""],
    *,
    weight_decay: float | Float[Array, ""] = 0.0,
) -> Closure:
    r"""Make one step of gradient descent on two layers, knowing (W, A, B) alone.

    Exactly, no term of order η² dropped, for any initialisation, balanced or not, and any hidden
    width, infinite included. With c = 1 − ηλ,

        W⁺ = c²W − cη(AG + GB) + η²GWᵀG,
        A⁺ = c²A − cη(GWᵀ + WGᵀ) + η²GBGᵀ,
        B⁺ = c²B − cη(WᵀG + GᵀW) + η²GᵀAG.

    These are the blocks of one congruence, Q⁺ = MQM with Q = [[A, W], [Wᵀ, B]] and
    M = [[cI, −ηG], [−ηGᵀ, cI]]: Q = ZZᵀ for the stacked layers Z = [W₂; W₁ᵀ], which a step takes
    to MZ. So Q stays positive semidefinite. Its rank is at most the hidden width; where that is
    below m + n, rounding adds a little of what the layers lack, which descent may make grow.

    Args:
        W: the product W₂W₁, shape (m, n).
        A: W₂W₂ᵀ, shape (m, m).
        B: W₁ᵀW₁, shape (n, n).
        G: ∇L at W, shape (m, n).
        learning_rate: η.
        weight_decay: λ ≥ 0 of each layer, W_j ← (1−ηλ)W_j − η∇_j.

    Returns:
        A `Closure`, to be unpacked or scanned over.

    Raises:
        ValueError: shapes that do not agree, complex or non-finite entries, a rate or decay that is
            no real finite number, a negative decay.

    Example:
        >>> import jax.numpy as jnp
        >>> first, second, G = jnp.array([[4.0]]), jnp.array([[2.0]]), jnp.array([[1.0]])
        >>> step = closure_step(*Closure.of(first, second), G, 0.5)
        >>> [float(part[0, 0]) for part in step]  # (2 − ½·4)(4 − ½·2), and the squares of both
        [0.0, 0.0, 9.0]

    Reference: derived from Arora, Cohen & Hazan (2018), section 5, at N = 2.
    """
    named = {"W": W, "A": A, "B": B, "G": G}
    arrays = {name: jnp.asarray(value) for name, value in named.items()}
    if arrays["W"].ndim != 2 or 0 in arrays["W"].shape:
        refuse("W", "a non-empty matrix (m, n)", arrays["W"].shape)
    m, n = arrays["W"].shape
    shapes = {"W": (m, n), "A": (m, m), "B": (n, n), "G": (m, n)}
    for name, array in arrays.items():
        if jnp.iscomplexobj(array):
            refuse(name, "real", array.dtype)
        if array.shape != shapes[name]:
            refuse(name, f"of shape {shapes[name]}, W being {m} by {n}", array.shape)
        check_finite(name, array)
    learning_rate = check_real("learning_rate", learning_rate)
    weight_decay = check_real("weight_decay", weight_decay)
    if not is_traced(weight_decay) and weight_decay < 0:
        refuse("weight_decay", "at least 0", weight_decay)
    dtype = working_dtype(*arrays.values())
    eta, decay = (jnp.asarray(x).astype(dtype) for x in (learning_rate, weight_decay))
    return _step(*(array.astype(dtype) for array in arrays.values()), eta, decay)


@jax.jit
def _step(W: Array, A: Array, B: Array, G: Array, eta: Array, decay: Array) -> Closure:
    c = 1 - eta * decay
    AG, GB, WGt, WtG = _dot(A, G), _dot(G, B), _dot(W, G.T), _dot(W.T, G)
    return Closure(
        c**2 * W - c * eta * (AG + GB) + eta**2 * _dot(WGt.T, G),
        c**2 * A - c * eta * (WGt + WGt.T) + eta**2 * _dot(GB, G.T),
        c**2 * B - c * eta * (WtG + WtG.T) + eta**2 * _dot(G.T, AG),
    )
