import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from problems import PROBLEMS

from jaxdepth.bounds import serra18_pieces_upper, telgarsky16_crossing_upper, triangle_count
from jaxdepth.crossings import CountResult, Exact, Grid, Rational, count
from jaxdepth.networks import MLP, AffineLayer, Sawtooth


@pytest.mark.parametrize("method", [Exact(), Rational()], ids=["exact", "rational"])
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_every_problem_of_known_answer_is_counted(problem, method):
    answer = count(problem.layers, method, level=problem.level)
    assert answer.value == answer.lower == answer.upper == problem.crossings
    assert answer.trusted is True
    assert answer.result == CountResult.exact


@pytest.mark.parametrize(("depth", "teeth"), [(1, 1), (7, 1), (13, 1), (3, 3), (4, 5), (2, 50)])
def test_corollary_3_14_holds_exactly(depth, teeth):
    assert count(Sawtooth(depth, teeth=teeth), Exact()).value == triangle_count(teeth, depth)


small = st.integers(-3, 3).map(float)
tenths = st.integers(-30, 30).map(lambda n: float(np.float32(n / 10)))


@st.composite
def networks(draw, entries):
    sizes = [1, *draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)), 1]
    layers = []
    for n, m in itertools.pairwise(sizes):
        weight = draw(st.lists(entries, min_size=n * m, max_size=n * m))
        bias = draw(st.lists(entries, min_size=m, max_size=m))
        slope = 1.0 if m is sizes[-1] else draw(st.sampled_from([0.0, 0.01, -1.0]))
        layers.append(AffineLayer(np.reshape(weight, (m, n)), np.array(bias), np.array(slope)))
    return layers


@settings(max_examples=150, deadline=None, derandomize=True)
@given(net=st.one_of(networks(small), networks(tenths)), level=st.one_of(small, tenths))
def test_float64_under_its_error_bound_agrees_with_the_rational_referee(net, level):
    exact = count(net, Exact(), interval=(-2.0, 3.0), level=level)
    referee = count(net, Rational(), interval=(-2.0, 3.0), level=level)
    assert exact.value == referee.value


@pytest.mark.parametrize("seed", range(3))
def test_a_dense_grid_never_counts_more_and_usually_as_much(seed):
    net = MLP((1, 16, 16, 16, 1), dtype=jnp.float32, key=jax.random.key(seed))
    exact = count(net, Exact(), interval=(-3.0, 3.0), level=0.25)
    grid = count(net, Grid(2**14 + 1), interval=(-3.0, 3.0), level=0.25)
    assert exact.value == int(grid.value)  # these three have no interval narrower than 4e-4


@pytest.mark.parametrize("seed", range(3))
def test_crossings_respect_the_theorems_of_telgarsky_and_serra(seed):
    widths = (8, 8, 8)
    net = MLP((1, *widths, 1), key=jax.random.key(seed))
    crossings = count(net, Exact(), interval=(-50.0, 50.0), level=0.0).value
    assert crossings <= serra18_pieces_upper(widths) + 1
    assert crossings <= telgarsky16_crossing_upper(1, 1, 1, nodes=sum(widths) + 1, layers=4)


def test_too_small_a_capacity_is_flagged_and_bounds_stay_true():
    for method in (Exact(max_pieces=100), Rational(max_pieces=100)):
        answer = count(Sawtooth(8), method)
        assert answer.result == CountResult.overflow
        assert answer.trusted is False
        assert answer.lower <= triangle_count(1, 8) <= answer.upper


def test_weights_of_the_float64_user_survive_a_32_bit_session(x32):
    third = AffineLayer(np.array([[1.0]]), np.array([-1 / 3]), np.array(0.0))
    up = AffineLayer(np.array([[3.0]]), np.array([0.5 - 3 * 2.0**-55]), np.array(1.0))
    # relu(x − ⅓)·3 + ½ − 2^-53·¾ crosses ½ just right of ⅓; in float32 it would start at ½.
    assert count([third, up], Exact()).value == 2


def test_tracers_are_refused_with_the_cure(x32):
    with pytest.raises(ValueError, match=r"`Exact`.*enable_x64"):
        jax.vmap(lambda k: count(Sawtooth(k), Exact()).value)(jnp.arange(1, 3))


def test_tracers_are_refused_in_64_bit_too(x64):
    with pytest.raises(ValueError, match="`Exact` is a host method"):
        jax.vmap(lambda k: count(Sawtooth(k), Exact()).value)(jnp.arange(1, 3))


def test_bad_networks_are_refused():
    with pytest.raises(ValueError, match="`fn` must be a piecewise linear network"):
        count(jnp.sin, Exact())
    with pytest.raises(ValueError, match="`fn` must be a network of one input and one output"):
        count(MLP((2, 3, 1), key=jax.random.key(0)), Exact())
    broken = AffineLayer(np.array([[np.nan]]), np.zeros(1), np.array(0.0))
    with pytest.raises(ValueError, match="`fn` must be finite"):
        count([broken], Exact())
    with pytest.raises(ValueError, match="`max_pieces` must be"):
        Exact(max_pieces=0)
