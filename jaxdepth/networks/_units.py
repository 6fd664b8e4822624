"""Functions of one variable as sums of units: what the hidden layers of `RadialNetwork` compute.

`squares` is t² as a sum of ReLUs, steps or sigmoids of t, with its error; `profile_units` the
function through given values as a sum of such units, or of radial basis functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxdepth._misc import refuse

Values = np.ndarray

_HOST: dict[str, Callable[[Values], Values]] = {
    "relu": lambda x: np.maximum(x, 0.0),
    "step": lambda x: (x >= 0) * 1.0,
    "sigmoid": lambda x: 0.5 * (1 + np.tanh(x / 2)),
    "rbf": lambda x: np.exp(-(x**2)),
}
_SAMPLES = 2**14
# Widths of units over the spacing of knots in s. A sigmoid at .25 rises by .76 between its knots;
# wider ones follow smooth profiles better and jumps worse. Gaussians overlap enough to sum to a
# plateau.
_SIGMOID_WIDTH = 0.2
_RBF_WIDTH = 0.55


class UnitSum(NamedTuple):
    """The function t ↦ constant + Σ coefficient·σ(slope·t + bias) of one variable.

    Attributes:
        activation: the name of σ.
        slope: shape (units,).
        bias: shape (units,).
        coefficient: shape (units,).
        constant: a number.
    """

    activation: str
    slope: Values
    bias: Values
    coefficient: Values
    constant: float

    def __call__(self, t: Any) -> Values:
        """Evaluate on the host, in float64."""
        inner = np.multiply.outer(np.asarray(t, np.float64), self.slope) + self.bias
        return _HOST[self.activation](inner) @ self.coefficient + self.constant

    def ranges(self, ends: Values) -> tuple[Values, Values]:
        """Bound the function on the cells between increasing `ends`, from below and above.

        Every unit is monotone on a cell, but for a radial one that holds its centre; the bound is
        the sum of the units' own.
        """
        inner = np.multiply.outer(ends, self.slope) + self.bias
        at_end = _HOST[self.activation](inner)
        low, high = np.minimum(at_end[:-1], at_end[1:]), np.maximum(at_end[:-1], at_end[1:])
        if self.activation == "rbf":
            high = np.where(np.sign(inner[:-1]) * np.sign(inner[1:]) <= 0, 1.0, high)
        up, down = np.maximum(self.coefficient, 0), np.minimum(self.coefficient, 0)
        return low @ up + high @ down + self.constant, high @ up + low @ down + self.constant


def squares(activation: str, radius: float, units: int) -> tuple[UnitSum, float]:
    """Approximate t² on [−radius, radius] by a q that is even and does not decrease with |t|.

    Args:
        activation: "relu", "step" or "sigmoid".
        radius: positive.
        units: see `RadialNetwork.from_profile`.

    Returns:
        q, and a bound on |q(t) − t²| for |t| ≤ radius.
    """
    return _SQUARES[activation](radius, units)


def _relu_squares(radius: float, units: int) -> tuple[UnitSum, float]:
    """Interpolate t² at equal spacing h, less h²/8: the error is ±h²/8, and constant the far out.

    The slopes between the kinks are the odd multiples of h, or the even ones, up to 2·radius − h.
    """
    h = 2 * radius / (units - 1)
    kinks = radius * np.linspace(-1, 1, units)
    bends = np.full(units, 2 * h)
    bends[[0, -1]] = h - 2 * radius
    q = UnitSum("relu", np.ones(units), -kinks, bends, radius**2 - h**2 / 8)
    return q, h**2 / 8


def _step_squares(radius: float, units: int) -> tuple[UnitSum, float]:
    """Round t² to the middles of equal parts of height h: the error is ±h/2."""
    h = radius**2 / (units + 1)
    edges = np.sqrt(h * np.arange(1, units + 1))
    sides = np.repeat([1.0, -1.0], units)
    q = UnitSum("step", sides, np.tile(-edges, 2), np.full(2 * units, h), h / 2)
    return q, h / 2


def _sigmoid_squares(radius: float, units: int) -> tuple[UnitSum, float]:
    """Take two sigmoids of width τ = units·radius, which are t² up to O(t⁶/τ⁴).

    F(t) = σ(t/τ − b) + σ(−t/τ − b) is even and analytic: a function of u = (t/radius)², all but
    affine for large τ. With b and the two coefficients that make it affine at the zeros ½ ± √3/4, ½
    of the Chebyshev polynomial of degree 3 on [0, 1], what remains is of third order in u. It
    increases with |t|, for σ' decreases with its argument's size and |t/τ − b| < t/τ + b.

    The error e = q − t² is bounded by samples η apart and η²/8·sup|e''|, where
    |q''| ≤ 2c·max|σ''|/τ² and max|σ''| = 1/(6√3).
    """
    sigmoid = _HOST["sigmoid"]
    u = 0.5 + np.array([-1.0, 0.0, 1.0]) * math.sqrt(3) / 4

    def pair(t: Values, b: float) -> Values:
        return sigmoid(t / units - b) + sigmoid(-t / units - b)

    low, high = 2.0, 3.0  # the limit for wide sigmoids is 2.292, where σ'''' vanishes
    for _ in range(60):
        b = (low + high) / 2
        low, high = (low, b) if pair(np.sqrt(u), b) @ [1, -2, 1] > 0 else (b, high)
    at = pair(np.sqrt(u), low)
    c = (u[2] - u[0]) / (at[2] - at[0])

    t = np.linspace(0, 1, _SAMPLES + 1)
    excess = c * pair(t, low) - t**2
    middle = (excess.max() + excess.min()) / 2
    curvature = 2 + c / (3 * math.sqrt(3) * units**2)
    error = (excess.max() - excess.min()) / 2 + curvature / (8 * _SAMPLES**2) + c * 2.0**-48
    tau = units * radius
    q = UnitSum(
        "sigmoid",
        np.array([1.0, -1.0]) / tau,
        np.full(2, -low),
        np.full(2, c * radius**2),
        -middle * radius**2,
    )
    return q, error * radius**2


_SQUARES = {"relu": _relu_squares, "step": _step_squares, "sigmoid": _sigmoid_squares}
SQUARING = tuple(_SQUARES)


def profile_units(activation: str, knots: Values, values: Values) -> UnitSum:
    """Approximate the function through (knots, values), constant before and after them.

    Args:
        activation: "relu", "step", "sigmoid" or "rbf".
        knots: increasing, at least two.
        values: as many.

    Returns:
        A sum of units, which tends to the last value beyond all knots.
    """
    return _PROFILES[activation](knots, values)


def _relu_profile(knots: Values, values: Values) -> UnitSum:
    """Interpolate linearly."""
    slopes = np.diff(values) / np.diff(knots)
    bends = np.diff(slopes, prepend=0.0, append=0.0)
    return UnitSum("relu", np.ones(knots.size), -knots, bends, values[0])


def _step_profile(knots: Values, values: Values) -> UnitSum:
    """Take the nearest knot's value."""
    middles = (knots[1:] + knots[:-1]) / 2
    return UnitSum("step", np.ones(middles.size), -middles, np.diff(values), values[0])


def _sigmoid_profile(knots: Values, values: Values) -> UnitSum:
    """Interpolate at the inner knots, with the outer values as limits.

    One sigmoid to every gap, falling from 1 to 0 in its middle.
    """
    gaps = np.diff(knots)
    slope = -1 / (_SIGMOID_WIDTH * gaps)
    bias = -slope * (knots[1:] + knots[:-1]) / 2
    inner = np.multiply.outer(knots[1:-1], slope) + bias
    system = np.vstack([np.ones_like(gaps), _HOST["sigmoid"](inner)])
    coefficient = _solve(system, values[:-1] - values[-1])
    return UnitSum("sigmoid", slope, bias, coefficient, values[-1])


def _rbf_profile(knots: Values, values: Values) -> UnitSum:
    """Interpolate at all knots by Gaussians centred there, e^{−(s−θ)²/2τ²} with τ the gaps' size.

    The sum falls to the last value on both sides of the knots.
    """
    gaps = np.diff(knots)
    tau = _RBF_WIDTH * np.sqrt(np.append(gaps[0], gaps) * np.append(gaps, gaps[-1]))
    slope = 1 / (math.sqrt(2) * tau)
    bias = -slope * knots
    system = _HOST["rbf"](np.multiply.outer(knots, slope) + bias)
    return UnitSum("rbf", slope, bias, _solve(system, values - values[-1]), values[-1])


def _solve(system: Values, values: Values) -> Values:
    """Solve in the sense of least squares: knots of uneven spacing make systems near singular."""
    return np.linalg.lstsq(system, values, rcond=1e-10)[0]


_PROFILES = {
    "relu": _relu_profile,
    "step": _step_profile,
    "sigmoid": _sigmoid_profile,
    "rbf": _rbf_profile,
}
PROFILING = tuple(_PROFILES)


def check_activation(argument: str, name: Any, known: tuple[str, ...]) -> str:
    """Return the name of an activation among those that the construction knows."""
    if not isinstance(name, str) or name not in known:
        refuse(argument, f"one of {', '.join(known)}", name)
    return name
