import itertools
import math
from fractions import Fraction

import equinox as eqx
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


@pytest.mark.once
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


@pytest.mark.once
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


@pytest.mark.once
def test_the_referee_refuses_tracers_with_the_cure():
    with pytest.raises(ValueError, match=r"`Rational` is a host method .* or count by"):
        jax.vmap(lambda k: count(Sawtooth(k), Rational()).value)(jnp.arange(1, 3))


def test_a_concrete_network_is_counted_inside_a_callers_trace():
    net = MLP((1, 4, 1), key=jax.random.key(0))
    alone = count(net, Exact(), level=0.0).value
    assert float(jax.jit(lambda x: x * count(net, Exact(), level=0.0).value)(1.0)) == alone


RELU = np.array(0.0)
LINEAR = np.array(1.0)


def layer(weight, bias, slope=RELU):
    return AffineLayer(np.array(weight, np.float64), np.array(bias, np.float64), np.asarray(slope))


TINY = 2.0**-490
NEXT = 1 + 2.0**-52


@pytest.mark.parametrize(
    ("layers", "interval", "level"),
    [
        (
            [
                layer([[1]], [0]),
                layer([[1e308], [1e308]], [0, 0]),
                layer([[10, -9]], [0], LINEAR),
            ],
            (-1.0, 1.0),
            0.5,
        ),
        (
            [
                layer([[NEXT * TINY], [TINY]], [0, 0]),
                layer([[TINY * NEXT, -(NEXT * NEXT) * TINY]], [0], LINEAR),
                layer([[2.0**-480]], [0], LINEAR),
                layer([[2.0**1000]], [0], LINEAR),
                layer([[2.0**900]], [0], LINEAR),
            ],
            (-1.0, 1.0),
            2.0**-200,
        ),
        (
            [
                layer([[1e-150]], [0], 1e-300),
                layer([[1e200]], [0], LINEAR),
                layer([[1e300]], [0], LINEAR),
            ],
            (-1.0, -0.5),
            -0.75e50,
        ),
    ],
    ids=["overflow", "underflow of the bound", "a tiny negative slope"],
)
def test_beyond_the_normal_range_the_referee_decides(layers, interval, level):
    exact = count(layers, Exact(), interval=interval, level=level)
    assert exact.value == count(layers, Rational(), interval=interval, level=level).value == 2


@pytest.mark.parametrize("method", [Exact(), Rational()])
def test_levels_and_ends_beyond_float64_are_not_rounded(method):
    identity = [layer([[1]], [0], LINEAR)]
    big = count(identity, method, interval=(0, 2**53), level=2**53 + 1)
    assert big.value == 1
    treble = [layer([[3]], [0], LINEAR)]
    assert count(treble, method, interval=(0, Fraction(1, 3)), level=1).value == 2


@pytest.mark.once
def test_an_overflow_can_be_printed():
    answer = count(Sawtooth(10_000), Exact(max_pieces=100))
    assert answer.upper == math.inf
    assert "overflow" in repr(answer)


@pytest.mark.once
def test_without_dyadic_numbers_generic_kinks_are_settled_and_one_at_an_end_left_open(x64):
    @jax.jit
    def run(start):
        method = Exact(capacity=4, dyadic=False)
        return count(Sawtooth(1), method, interval=(start, 0.9), level=0.3)

    assert run(0.1).trusted
    assert int(run(0.1).value) == 3
    touching = run(0.0)
    assert touching.result == CountResult.unresolved
    assert int(touching.lower) <= 3 <= int(touching.upper)


@pytest.mark.once
def test_bad_networks_are_refused(untyped):
    with pytest.raises(ValueError, match="`dyadic` must be True or False; got 1"):
        Exact(dyadic=1)
    with pytest.raises(ValueError, match="`fn` must be a network that lists its layers"):
        count(jnp.sin, Exact())
    with pytest.raises(ValueError, match="`fn` must be a network of one input and one output"):
        count(MLP((2, 3, 1), key=jax.random.key(0)), Exact())
    broken = AffineLayer(np.array([[np.nan]]), np.zeros(1), np.array(0.0))
    with pytest.raises(ValueError, match="`fn` must be finite"):
        count([broken], Exact())
    with pytest.raises(ValueError, match="`fn` must be finite"):
        count([layer([[1]], [0], np.nan)], Exact())
    with pytest.raises(ValueError, match="`fn` must be layers whose shapes fit"):
        count([layer([[1], [1]], [0, 0]), layer([[1]], [0])], Exact())
    keys = jax.random.split(jax.random.key(0), 3)
    stacked = eqx.filter_vmap(lambda key: eqx.nn.MLP(1, 1, 4, 1, key=key))(keys)
    with pytest.raises(ValueError, match="`fn` must be one network"):
        count(stacked, Rational())
    with pytest.raises(ValueError, match="`fn` must be a network of real weights"):
        count([AffineLayer(np.array([[1j]]), np.zeros(1), RELU)], Exact())
    with pytest.raises(ValueError, match="`activation` must be piecewise linear"):
        count(eqx.nn.MLP(1, 1, 4, 1, activation=np.tanh, key=jax.random.key(0)), Exact())
    with pytest.raises(ValueError, match="`level` must be a real scalar"):
        count(Sawtooth(1), Exact(), level=np.longdouble(0.5))
    with pytest.raises(ValueError, match="`max_pieces` must be"):
        Exact(max_pieces=0)
