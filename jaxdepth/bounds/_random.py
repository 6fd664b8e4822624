"""Where a random ReLU network bends: the Cauchy law of its breakpoints at infinite width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdepth._misc import (
    RealLike,
    check_integer,
    check_real,
    is_traced,
    refuse,
    working_dtype,
)


def breakpoint_law(
    widths: Sequence[int],
    interval: tuple[RealLike, RealLike],
    weight_gain: RealLike = 2.0,
    bias_std: RealLike = 1.0,
) -> float | Float[Array, ""]:
    """Expect the breakpoints of a random ReLU network R → R on an interval, at infinite width.

    Weights are N(0, weight_gain / fan-in), biases N(0, bias_std²), as `networks.MLP` draws them.
    With c_0 = 0 and c_ℓ² = (bias_std² + 2c_{ℓ−1}²)/weight_gain,
        E#[a, b] = Σ_ℓ (n_ℓ/π)·(atan(b/c_ℓ) − atan(a/c_ℓ)),
    the kinks of layer ℓ being Cauchy of scale c_ℓ (bias_std·√(ℓ/2) at He's gain of 2): Σ n_ℓ on the
    whole line, which is linear in the number of neurons whatever the depth. Exact for one hidden
    layer of any width; deeper, networks of finite width have a little less in the middle.

    Args:
        widths: the hidden widths n_1, n_2, …, each at least 1.
        interval: (a, b), a < b; −inf and inf are allowed as concrete numbers (traced, they give
            NaN).
        weight_gain: variance of a weight times its fan-in, positive.
        bias_std: standard deviation of a bias, positive.

    Returns:
        The expected number of breakpoints: the expected number of affine pieces less 1. A float; an
        array where the interval, the gain or the standard deviation is traced, differentiable in
        each.

    Raises:
        ValueError: no widths, an empty or reversed interval, NaN, or a gain or standard deviation
            that is not positive and finite.

    Example:
        >>> round(breakpoint_law([64, 64, 64], (-1.0, 1.0)), 2)
        98.82
        >>> breakpoint_law([64, 64, 64], (-math.inf, math.inf))
        192.0

    Reference:
        The linear law is Hanin & Rolnick's; its constant is derived here, by Kac and Rice::

            @inproceedings{hanin2019complexity,
              title={Complexity of Linear Regions in Deep Networks},
              author={Hanin, Boris and Rolnick, David},
              booktitle={International Conference on Machine Learning}, year={2019}}
    """
    if not isinstance(widths, Sequence) or not widths:
        refuse("widths", "a non-empty sequence of hidden widths", widths)
    widths = [check_integer("widths", width, 1) for width in widths]
    a, b = _ends(interval)
    gain, std = _positive("weight_gain", weight_gain), _positive("bias_std", bias_std)
    traced = [each for each in (a, b, gain, std) if is_traced(each)]
    xp: Any = jnp if traced else np
    dtype = working_dtype(traced) if traced else np.float64

    # At infinite width a preactivation z_ℓ is a Gaussian process with E z² = k1 + k0·x², E z z' =
    # k0·x and E z'² = k0: k0 = g, k1 = s² in layer 1 (g the gain, s the standard deviation), and
    # a ReLU halves both second moments on the way to the next, k0 ← (g/2)k0, k1 ← s² + (g/2)k1.
    # Kac and Rice: zeros have density √(E z² E z'² − (E z z')²)/(π E z²) = (1/π)·c/(c² + x²) with
    # c² = k1/k0, which goes to (s² + (g/2)k1)/((g/2)k0): the recursion above, as k0 = g(g/2)^{ℓ−1}
    # makes s²/k0 a term of a geometric series.
    scale: Any = 0.0
    total: Any = 0.0
    for width in widths:
        with np.errstate(over="ignore"):
            scale = xp.hypot(std, math.sqrt(2) * scale) / xp.sqrt(gain)
        scale = xp.clip(scale, 4 * float(jnp.finfo(dtype).tiny), float(jnp.finfo(dtype).max))
        total = total + width * (_angle(a, b, scale, xp) / math.pi)
    return jnp.asarray(total, dtype) if traced else float(total)


def _angle(a: Any, b: Any, c: Any, xp: Any) -> Any:
    """Return atan(b/c) − atan(a/c), the angle at which [a, b] is seen from height c above 0.

    It lies between the vectors (c, a) and (c, b), whose cross product c(b − a) does not cancel on
    short intervals far from 0, as two arc tangents would. Over their lengths, nothing overflows.
    """
    from_left, to_right = not is_traced(a) and a == -math.inf, not is_traced(b) and b == math.inf
    if from_left and to_right:
        return math.pi
    if to_right:
        return xp.arctan2(c, a)
    if from_left:
        return xp.arctan2(c, -b)
    a, b, c = a / 4, b / 4, c / 4  # so that no length does, either
    to_a, to_b = xp.hypot(a, c), xp.hypot(b, c)
    sine = (c / xp.minimum(to_a, to_b)) * ((b - a) / xp.maximum(to_a, to_b))
    return xp.arctan2(sine, (c / to_a) * (c / to_b) + (a / to_a) * (b / to_b))


def _ends(interval: Any) -> tuple[Any, Any]:
    if not isinstance(interval, (tuple, list)) or len(interval) != 2:
        refuse("interval", "a pair (a, b)", interval)
    a, b = (float(edge) if _is_infinite(edge) else _real("interval", edge) for edge in interval)
    if not is_traced(a, b) and not a < b:
        refuse("interval", "(a, b) with a < b", interval)
    return a, b


def _is_infinite(edge: Any) -> bool:
    return not is_traced(edge) and np.ndim(edge) == 0 and edge in (-math.inf, math.inf)


def _positive(argument: str, value: Any) -> Any:
    number = _real(argument, value)
    if not is_traced(number) and not number > 0:
        refuse(argument, "positive", value, "Without weights or biases no kink has a law.")
    return number


def _real(argument: str, value: Any) -> Any:
    """Return a Python float, or a traced one of the default precision where it is an integer."""
    value = check_real(argument, value)
    return value.astype(working_dtype(value)) if is_traced(value) else float(value)
