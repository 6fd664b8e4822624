"""Widths of theorem 1, and assumption A1 met by an explicit ReLU interpolant."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st

import jaxdepth as jd

universal_units, width = jd.bounds.universal_units, jd.bounds.eldan_shamir16_width


@given(st.integers(2, 300), st.fractions(1, 20), st.fractions(Fraction(1, 9), 1))
def test_the_width_is_the_least_integer_above_the_formula(dim, c_sigma, constant):
    found = width(dim, c_sigma=c_sigma, constant=constant)
    fourth = (c_sigma * constant) ** 4 * dim**19
    assert (found - 1) ** 4 < fourth <= found**4


def test_fourth_powers_have_exact_widths():
    assert width(16, c_sigma=1) == 2**19
    assert width(81, c_sigma=3, constant=2) == 6 * 3**19


def test_units_are_the_floor_of_the_exact_quotient(untyped):
    assert universal_units(1, 2, Fraction(1, 10)) == 60
    assert universal_units(1, 1, 3, c_sigma=1) == 0
    assert universal_units(10**400, 1, 1) == 3 * 10**400  # beyond floats
    assert universal_units(np.float32(0.5), 2, 1) == 3
    assert universal_units(0.1, 1, 0.1, c_sigma=1) == 1  # floats stand for the rationals they are


@pytest.mark.parametrize("half_length", [1, 4])
def test_the_relu_meets_the_assumption(half_length):
    # Interpolate a 1-Lipschitz f, constant outside [−R, R], at spacing 4δ: off by ≤ δ after a shift
    # at most (the interpolant of a 1-Lipschitz f is within spacing/2), with one unit a knot.
    delta = Fraction(1, 10)
    knots = np.linspace(-half_length, half_length, int(half_length / delta) + 1)
    f = lambda x: np.abs(((np.clip(x, -half_length, half_length) + 0.03) % 0.6) - 0.3)  # noqa: E731
    slopes = np.diff(f(knots)) / np.diff(knots)
    x = np.linspace(-2 * half_length, 2 * half_length, 4001)
    bends = np.diff(slopes, prepend=0, append=0)
    net = f(knots[0]) + np.maximum(x[:, None] - knots, 0) @ bends
    assert np.abs(net - f(x)).max() <= delta
    assert knots.size <= universal_units(half_length, 1, delta)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: universal_units(0, 1, 1), "`R` must be a positive"),
        (lambda: universal_units("1", 1, 1), "`R` must be a positive"),
        (lambda: universal_units(1, -1, 1), "`L` must be a positive"),
        (lambda: universal_units(1, 1, float("nan")), "`delta` must be a positive"),
        (lambda: universal_units(1, 1, 1, c_sigma=0.5), "`c_sigma` must be at least 1"),
        (lambda: width(0), "`dim` must be an integer"),
        (lambda: width(4, constant=0), "`constant` must be a positive"),
        (lambda: width(4, constant=4), "`dim` must be greater than `constant`"),
    ],
)
def test_hypotheses_are_checked(call, message, untyped):
    with pytest.raises(ValueError, match=message):
        call()
