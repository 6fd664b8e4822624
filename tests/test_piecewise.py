import itertools
from fractions import Fraction

import jax
import numpy as np
import pytest
from problems import PROBLEMS

from jaxdepth.networks import MLP, Sawtooth
from jaxdepth.piecewise import PiecesResult, pieces


def evaluate(layers, x: Fraction) -> Fraction:
    """The network at a rational point, without rounding and without enumeration."""
    h = [x]
    for layer in layers:
        slope = Fraction(float(layer.negative_slope))
        weight, bias = np.asarray(layer.weight).tolist(), np.asarray(layer.bias).tolist()
        z = [
            sum((Fraction(w) * v for w, v in zip(row, h, strict=True)), Fraction(b))
            for row, b in zip(weight, bias, strict=True)
        ]
        h = [value if value > 0 else slope * value for value in z]
    return h[0]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize("method", ["float64", "rational"])
def test_pieces_of_the_stored_weights_are_counted_exactly(problem, method):
    found = pieces(problem.layers, method=method)
    assert found.num == problem.pieces == len(found.slopes) == len(found.breakpoints) - 1
    assert found.result == PiecesResult.exact


@pytest.mark.parametrize("seed", range(2))
def test_the_network_is_affine_between_the_breakpoints_and_bends_at_each(seed):
    layers = MLP((1, 6, 6, 1), key=jax.random.key(seed)).affine_layers()
    found = pieces(layers, (-2.0, 2.0))
    x = [Fraction(float(point)) for point in found.breakpoints]
    slopes = []
    for left, right in itertools.pairwise(x):
        # Away from the ends, which are rounded to float64.
        a, b, c = (left + (right - left) * Fraction(n, 8) for n in (1, 4, 7))
        fa, fb, fc = (evaluate(layers, point) for point in (a, b, c))
        assert (fb - fa) / (b - a) == (fc - fb) / (c - b)
        slopes.append((fb - fa) / (b - a))
    assert all(one != two for one, two in itertools.pairwise(slopes))
    np.testing.assert_allclose(found.slopes, [float(slope) for slope in slopes], rtol=1e-12)
    np.testing.assert_allclose(
        found.values, [float(evaluate(layers, point)) for point in x], rtol=1e-12, atol=1e-12
    )


def test_both_methods_give_the_same_function():
    layers = MLP((1, 8, 8, 1), activation="leaky_relu", key=jax.random.key(0)).affine_layers()
    one, two = (pieces(layers, (-3.0, 3.0), method) for method in ("float64", "rational"))
    assert one.num == two.num
    # A few roundings of a kink, each worth 2^-53 of the sums that make it.
    np.testing.assert_allclose(one.breakpoints, two.breakpoints, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(one.values, two.values, rtol=1e-11, atol=1e-11)


def test_the_sawtooth_has_its_slopes():
    found = pieces(Sawtooth(5))
    assert found.num == 32
    assert found.slopes.tolist() == [32.0, -32.0] * 16
    assert found.breakpoints.tolist() == [i / 32 for i in range(33)]


def test_overflow_is_flagged_and_nothing_is_truncated():
    found = pieces(Sawtooth(10), max_pieces=100)
    assert found.result == PiecesResult.overflow
    assert found.num == 0


def test_bad_arguments_are_refused(untyped):
    with pytest.raises(ValueError, match="`method` must be 'float64' or 'rational'"):
        pieces(Sawtooth(1), method="float32")
    with pytest.raises(ValueError, match="`interval` must be"):
        pieces(Sawtooth(1), (1.0, 0.0))
    with pytest.raises(ValueError, match="`pieces` is a host method"):
        jax.jit(lambda x: pieces(Sawtooth(1), (0.0, x)))(1.0)
