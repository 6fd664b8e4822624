import math
from fractions import Fraction

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxdepth.bounds import telgarsky16_random_label_samples, telgarsky16_vc_upper

# Python integers and Fractions do not know of JAX's precision.
pytestmark = pytest.mark.once

SIZES = [(1, 1, 1, 9, 2, 25), (2, 3, 2, 40, 7, 1000), (1, 1, 1, 1, 1, 1), (5, 2, 10, 10**6, 40, 9)]


def vc(t, alpha, beta, m, layers, p):
    """The formula as printed, in 60 digits."""
    with mpmath.workdps(60):
        logarithms = mpmath.log(2 * p * (layers + 1)) + mpmath.log(8 * mpmath.e * m * t * alpha)
        return int(mpmath.floor(6 * p * (layers + 1) * (logarithms + layers * mpmath.log(beta))))


@pytest.mark.parametrize("size", SIZES)
def test_the_vc_bound_is_the_papers_formula(size):
    *gate, m, layers, p = size
    found = telgarsky16_vc_upper(*gate, nodes=m, layers=layers, parameters=p)
    assert found == vc(*size)


@pytest.mark.parametrize("delta", [Fraction(1, 100), 0.5, Fraction(1, 10**400)])
@pytest.mark.parametrize("size", SIZES)
def test_the_random_labels_are_as_many_as_theorem_1_2_asks(size, delta):
    t, alpha, beta, m, layers, p = size
    found = telgarsky16_random_label_samples(
        t, alpha, beta, nodes=m, layers=layers, parameters=p, delta=delta
    )
    with mpmath.workdps(60):
        odds = Fraction(delta)
        need = 8 * p * layers**2 * mpmath.log(
            8 * mpmath.e * m * t * alpha * beta * p * (layers + 1)
        ) + 4 * mpmath.log(mpmath.mpf(odds.denominator) / odds.numerator)
        assert found == int(mpmath.ceil(need))


@pytest.mark.parametrize("delta", [np.float32(0.01), np.array(0.01), jnp.float32(0.01)])
def test_a_probability_may_be_an_array_of_no_axes(delta):
    # 7693 + 4 ln(1/δ) to within 1e-6: no dtype's rounding of δ reaches the next integer.
    sizes = {"nodes": 9, "layers": 2, "parameters": 25}
    assert telgarsky16_random_label_samples(1, 1, 1, **sizes, delta=delta) == 7694


def test_an_integer_part_of_a_hundred_digits_is_right_to_the_last():
    p = 10**100 + 7
    found = telgarsky16_vc_upper(1, 1, 1, nodes=3, layers=1, parameters=p)
    with mpmath.workdps(300):
        assert found == int(mpmath.floor(12 * p * (1 + mpmath.log(16 * p * 2 * 3))))


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"parameters": 0}, "parameters"),
        ({"nodes": 1}, "nodes"),
        ({"delta": 0.0}, "delta"),
        ({"delta": 1.5}, "delta"),
        ({"delta": math.nan}, "delta"),
    ],
)
def test_hypotheses_that_are_violated_are_named(change, argument):
    asked = {"nodes": 9, "layers": 2, "parameters": 25, "delta": 0.01} | change
    with pytest.raises(ValueError, match=f"`{argument}` must be"):
        telgarsky16_random_label_samples(1, 1, 1, **asked)
