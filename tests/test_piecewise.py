import itertools
from fractions import Fraction

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import PROBLEMS, branches, evaluate

from jaxdepth.networks import MLP, AffineLayer, Sawtooth
from jaxdepth.piecewise import PiecesResult, pieces


@pytest.mark.once
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize("method", ["float64", "rational"])
def test_pieces_of_the_stored_weights_are_counted_exactly(problem, method):
    found = pieces(problem.layers, method=method)
    assert found.num == problem.pieces == len(found.slopes) == len(found.breakpoints) - 1
    assert found.result == PiecesResult.exact


@pytest.mark.once
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


@pytest.mark.once
def test_both_methods_give_the_same_function():
    layers = MLP((1, 8, 8, 1), activation="leaky_relu", key=jax.random.key(0)).affine_layers()
    one, two = (pieces(layers, (-3.0, 3.0), method) for method in ("float64", "rational"))
    assert one.num == two.num
    # A few roundings of a kink, each worth 2^-53 of the sums that make it.
    np.testing.assert_allclose(one.breakpoints, two.breakpoints, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(one.values, two.values, rtol=1e-11, atol=1e-11)


@pytest.mark.once
def test_the_sawtooth_has_its_slopes():
    found = pieces(Sawtooth(5))
    assert found.num == 32
    assert found.slopes.tolist() == [32.0, -32.0] * 16
    assert found.breakpoints.tolist() == [i / 32 for i in range(33)]


@pytest.mark.once
def test_overflow_is_flagged_and_nothing_is_truncated():
    found = pieces(Sawtooth(10), max_pieces=100)
    assert found.result == PiecesResult.overflow
    assert found.num == 0


@pytest.mark.once
def test_bad_arguments_are_refused(untyped):
    with pytest.raises(ValueError, match="`method` must be 'float64' or 'rational'"):
        pieces(Sawtooth(1), method="float32")
    with pytest.raises(ValueError, match="`interval` must be"):
        pieces(Sawtooth(1), (1.0, 0.0))
    with pytest.raises(ValueError, match="`pieces` is a host method"):
        jax.jit(lambda x: pieces(Sawtooth(1), (0.0, x), "rational"))(1.0)
    with pytest.raises(ValueError, match="`tolerance` must be at least 0"):
        pieces(Sawtooth(1)).merged(-1.0)
    with pytest.raises(ValueError, match="`merged` needs pieces, and these overflowed"):
        pieces(Sawtooth(10), max_pieces=100).merged(0.1)


@pytest.mark.once
def test_pieces_regions_and_merged_pieces_are_three_numbers():
    # ⅐ rounded to float32 really adds pieces, 2,401 = 7^4 being what was meant.
    found = pieces(branches(7) * 4)
    assert (found.num_regions, found.num) == (2629, 2515)
    merged = found.merged(1e-3)
    assert (merged.num, merged.result == PiecesResult.merged) == (7**4, True)
    moved = np.interp(found.breakpoints, merged.breakpoints, merged.values) - found.values
    assert np.abs(moved).max() <= 1e-3
    assert found.merged(0.0).num == found.num


@pytest.mark.once
def test_a_unit_that_nothing_reads_makes_a_region_and_no_piece():
    seen, unseen = np.array([[1.0], [1.0]]), np.array([-0.3, -0.6])
    layers = [
        AffineLayer(seen, unseen, np.array(0.0)),
        AffineLayer(np.array([[1.0, 0.0]]), np.zeros(1), np.array(1.0)),
    ]
    for method in ("float64", "rational"):
        found = pieces(layers, method=method)
        assert (found.num, found.num_regions) == (2, 3)


NET = MLP((1, 6, 6, 1), dtype=jnp.float32, key=jax.random.key(3))


@eqx.filter_jit
def enumerate_within(net, interval):
    return pieces(net, interval)


def test_a_compiled_program_finds_the_same_pieces(x64):
    traced, host = enumerate_within(NET, (-1.0, 1.0)), pieces(NET, (-1.0, 1.0))
    assert bool(traced.result == PiecesResult.exact)
    assert (int(traced.num), int(traced.num_regions)) == (host.num, host.num_regions)
    n = host.num
    # Two ways to the same numbers, some tens of roundings apart.
    np.testing.assert_allclose(traced.breakpoints[: n + 1], host.breakpoints, rtol=0, atol=1e-13)
    np.testing.assert_allclose(traced.values[: n + 1], host.values, rtol=0, atol=1e-13)
    np.testing.assert_allclose(traced.slopes[:n], host.slopes, rtol=1e-11)
    assert np.all(np.asarray(traced.breakpoints[n:]) == 1.0)


def test_breakpoints_values_and_slopes_can_be_differentiated(x64):
    net = jax.tree.map(lambda leaf: leaf.astype(float) if leaf.dtype == jnp.float32 else leaf, NET)

    def loss(biases):
        found = pieces(eqx.tree_at(lambda net: net.biases, net, biases), (-1.0, 1.0))
        return (
            jnp.sum(jnp.sin(found.breakpoints))
            + jnp.sum(found.values**2)
            + jnp.sum(found.slopes**3)
        )

    both = jax.jit(jax.value_and_grad(loss))
    value, gradient = both(net.biases)
    assert np.isfinite(value)
    step = 1e-6
    direction = jax.random.normal(jax.random.key(0), net.biases.shape)
    ahead, behind = (float(both(net.biases + sign * step * direction)[0]) for sign in (1, -1))
    # Central differences: step² from the third derivative, 1e-16/step from rounding.
    expected = pytest.approx((ahead - behind) / (2 * step), rel=1e-6)
    assert float(jnp.vdot(gradient, direction)) == expected


def test_a_compiled_program_flags_what_it_cannot_hold_or_tell(x64):
    small = jax.jit(lambda x: pieces(Sawtooth(1), (x, 1.0), capacity=1))(-1.0)
    assert bool(small.result == PiecesResult.overflow)
    assert int(small.num) == 0
    third = AffineLayer(jnp.array([[3.0], [3.0]]), jnp.array([-1.0, -1.0]), jnp.array(0.0))
    twice = AffineLayer(jnp.array([[1.0, 1.0]]), jnp.zeros(1), jnp.array(1.0))
    equal = eqx.filter_jit(pieces)([third, twice])  # two kinks at the unrounded ⅓
    assert bool(equal.result == PiecesResult.unresolved)
    assert pieces([third, twice]).num == 2


def test_a_compiled_program_needs_64_bit(x32):
    with pytest.raises(ValueError, match="`pieces` is exact and needs float64"):
        jax.jit(lambda x: pieces(Sawtooth(1), (0.0, x)).num)(1.0)
