import math
from fractions import Fraction

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from jaxdepth.bounds import periodic_growth, triangle_count
from jaxdepth.crossings import (
    CountResult,
    GrowthResult,
    Rational,
    Symbolic,
    count,
    count_iterates,
    growth_rate,
)
from jaxdepth.crossings._perron import perron_root
from jaxdepth.networks import (
    AffineLayer,
    Composition,
    ConnectTheDots,
    Iterated,
    Sawtooth,
    factors,
)
from jaxdepth.piecewise import pieces

# Python integers and Fractions do not know of JAX's precision: one pass of the suite is enough.
once = pytest.mark.once
TENT = ConnectTheDots([0, Fraction(1, 2), 1], [0, Fraction(3, 4), 0])  # (3/2)·min(x, 1 − x)


def layer(weight, bias, slope=1.0):
    return AffineLayer(np.array(weight, np.float64), np.array(bias, np.float64), np.asarray(slope))


def values_of(answers):
    assert all(answer.trusted and answer.result == CountResult.exact for answer in answers)
    assert all(answer.lower == answer.value == answer.upper for answer in answers)
    return [answer.value for answer in answers]


@once
def test_corollary_3_14_holds_for_all_depths_to_a_thousand():
    assert values_of(count_iterates(Sawtooth(1), 1000)) == [2**k + 1 for k in range(1, 1001)]


@once
@pytest.mark.parametrize("teeth", [2, 3, 5, 7, 50])
def test_corollary_3_14_holds_for_any_teeth_at_any_depth(teeth):
    for depth in (1, 2, 1000):
        answer = count(Sawtooth(depth, teeth=teeth), Symbolic())
        assert values_of([answer]) == [triangle_count(teeth, depth)]
        assert isinstance(answer.value, int)


@once
def test_compositions_of_different_sawtooths_multiply_lemma_3_12():
    mixed = Composition([Sawtooth(40), Iterated(Sawtooth(3, teeth=3), 5), Sawtooth(2, teeth=5)])
    assert count(mixed, Symbolic()).value == 2**40 * 6**15 * 10**2 + 1


@once
def test_the_flat_tent_changes_label_as_often_as_is_known():
    assert values_of(count_iterates(TENT, 8)) == [3, 5, 7, 11, 15, 23, 33, 51]


@once
@pytest.mark.parametrize(("period", "level"), [(3, Fraction(1, 5)), (5, 0.3), (9, 0.9)])
def test_a_markov_map_is_counted_by_powers_of_its_matrix(period, level):
    # Between neighbouring dots f is monotone, and covers whole gaps: A_ij = 1 where gap i covers
    # gap j. A level inside gap m is crossed once by every path of k steps from some gap to m.
    images = [int(value * (period - 1)) for value in ConnectTheDots.stefan(period).values]
    gaps = range(period - 1)
    pairs = [sorted(images[i : i + 2]) for i in gaps]
    A = np.array([[int(low <= j < high) for j in gaps] for low, high in pairs], dtype=object)
    target = math.floor(level * (period - 1))
    power, expected = np.eye(period - 1, dtype=object), []
    for _ in range(300):
        power = power @ A
        expected.append(sum(power[:, target]) + 1)
    found = count_iterates(ConnectTheDots.stefan(period), 300, level=level)
    assert values_of(found) == expected


quarters = st.integers(-2, 6).map(lambda n: n / 4)
tenths = st.integers(-20, 20).map(lambda n: float(np.float32(n / 10)))


@st.composite
def networks(draw):
    width = draw(st.integers(1, 3))
    entries = draw(st.sampled_from([st.integers(-3, 3).map(float), tenths]))
    weights = draw(st.lists(entries, min_size=3 * width + 1, max_size=3 * width + 1))
    a, b, v, (c,) = (weights[i : i + width] for i in range(0, 3 * width + 1, width))
    slope = draw(st.sampled_from([0.0, 0.01, -1.0]))
    return [layer(np.reshape(a, (width, 1)), b, slope), layer([v], [c])]


@st.composite
def dots(draw):
    """Nodes, some repeated, and values; gaps of powers of 2: no slope has to be rounded."""
    nodes = sorted(draw(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=2)))
    if 0.5 not in nodes:
        nodes = [0.5 if node == 0.25 else node for node in nodes]
    nodes = [*nodes, nodes[-1] + draw(st.sampled_from([0.5, 1.0, 2.0]))]
    table = {node: draw(quarters) for node in nodes}
    return nodes, [table[node] for node in nodes]


@once
@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    maps=st.lists(st.one_of(networks(), dots()), min_size=1, max_size=3),
    times=st.integers(1, 3),
    interval=st.sampled_from([(0.0, 1.0), (-2.0, 3.0), (0.25, Fraction(1, 3))]),
    which=st.tuples(st.integers(0, 99), st.integers(0, 99)),
)
def test_compositions_are_counted_as_the_rational_referee_counts_them(maps, times, interval, which):
    maps = [ConnectTheDots(*each) if isinstance(each, tuple) else each for each in maps]
    net = Iterated(Composition(maps), times)
    start, end = map(float, interval)
    values = pieces(net, (start, end), "rational").values
    # One is the value at a kink, where the graph may touch; the other lies between two such.
    one, other = (float(values[i % len(values)]) for i in which)
    for level in (one, (one + other) / 2):
        symbolic = count(net, Symbolic(), interval=interval, level=level)
        referee = count(net, Rational(), interval=interval, level=level)
        assert values_of([symbolic]) == [referee.value]


@once
@pytest.mark.parametrize(
    ("net", "level", "crossings"),
    [
        (ConnectTheDots([0, 0.5, 0.5, 1], [0, 1, 1, 0]), 1, 3),  # a node repeated; touching
        (ConnectTheDots([0, 0.25, 0.75, 1], [0, 0.5, 0.5, 0]), 0.5, 3),  # a flat piece at the level
        (ConnectTheDots([0, 0.25, 0.75, 1], [1, 0.5, 0.5, 1]), 0.5, 1),  # touching from above
        (ConnectTheDots([0, 1], [0.5, 0.5]), 0.5, 1),  # constant, at the level
        (Iterated(ConnectTheDots([0, 1], [3, 3]), 7), 0.5, 1),
        (ConnectTheDots([0, Fraction(1, 3), 1], [0, Fraction(1, 3), 0]), Fraction(1, 3), 3),
        (Composition([Sawtooth(9), ConnectTheDots([0, 1], [0, 0.5])]), 0.5, 513),
        (Iterated([layer([[-3]], [2])], 50), 1000, 2),  # escapes to 3^50, where it must be asked
        (Iterated([layer([[1], [-1]], [0, 0], 0), layer([[2, 2]], [-1])], 9), 0.5, 2**9 + 1),
    ],
    ids=range(9),
)  # fmt: skip
def test_degenerate_maps_are_counted_with_the_convention_at_or_above(net, level, crossings):
    interval = (-1, 1) if crossings == 2**9 + 1 else (0, 1)
    assert values_of([count(net, Symbolic(), interval=interval, level=level)]) == [crossings]


@once
def test_stored_weights_and_ideal_breakpoints_are_told_apart():
    ideal, stored = Sawtooth(1, teeth=3), Sawtooth(1, teeth=3).affine_layers()
    assert count(Iterated(ideal, 300), Symbolic()).value == 6**300 + 1
    rounded = count(Iterated(stored, 300), Symbolic()).value
    # 1/6 rounds: peaks move off 1 by an ulp, and the count drifts as slowly.
    assert rounded != 6**300 + 1
    assert abs(rounded / 6**300 - 1) < 1e-12


@once
def test_an_interval_of_generic_ends_costs_intervals_in_proportion_to_the_depth():
    interval = (0.1, Fraction(7, 9))
    deep = count(Sawtooth(200), Symbolic(max_nodes=500), interval=interval)
    assert deep.result == CountResult.exact
    # Each tooth of [j/2^k, (j+1)/2^k] is crossed once, at its middle.
    edges = [math.ceil(Fraction(end) * 2**200 - Fraction(1, 2)) for end in interval]
    assert deep.value == edges[1] - edges[0] + 1


@once
def test_more_intervals_than_allowed_are_flagged_and_the_bounds_stay_true():
    answers = count_iterates(TENT, 40, max_nodes=20)
    truth = values_of(count_iterates(TENT, 40))
    assert not answers[-1].trusted
    for answer, value in zip(answers, truth, strict=True):
        assert answer.lower <= value <= answer.upper
        assert answer.trusted == (answer.result == CountResult.exact)
        assert answer.value == (value if answer.trusted else 1)
    assert "overflow" in repr(answers[-1])
    # Each further iterate multiplies the bound by the 58 laps on [0, 0.9]: beyond 2^(5.8·1,790).
    zigzag = ConnectTheDots([i / 64 for i in range(65)], [0, 0.9] * 32 + [0])
    assert count(Iterated(zigzag, 1_800), Symbolic(max_nodes=20)).upper == math.inf


@once
def test_maps_of_too_many_pieces_leave_no_bound(monkeypatch):
    monkeypatch.setattr("jaxdepth.piecewise._line._MAX_PIECES", 4)
    steep = Sawtooth(1, teeth=3).affine_layers()  # one factor of 6 pieces
    for last in (TENT, ConnectTheDots([0, 1], [0.5, 0.5])):
        answer = count(Composition([steep, last]), Symbolic())
        assert (answer.result, answer.value, answer.upper) == (CountResult.overflow, 1, math.inf)


@once
@pytest.mark.parametrize("period", [3, 5, 7, 9])
def test_stefans_cycles_grow_exactly_as_fast_as_their_period_forces(period):
    found = growth_rate(ConnectTheDots.stefan(period))
    assert found.trusted
    assert found.result == GrowthResult.markov
    assert found.lower <= math.log(periodic_growth(period)) <= found.upper
    assert found.upper - found.lower < 1e-13  # both rounded outward by a few ulps


@once
@pytest.mark.parametrize(
    ("net", "level", "rho"),
    [
        (Sawtooth(1), 0.5, 2),
        (Sawtooth(3, teeth=2), 0.5, 64),
        (Sawtooth(3000), 0.5, 2**3000),  # beyond floats
        (Sawtooth(1), 2.0, 1),  # never reached
        (ConnectTheDots([0, 1], [1, 0]), 0.5, 1),
        (ConnectTheDots([0, 1], [0.25, 0.25]), 0.25, 1),  # no branch at all
        (Composition([Sawtooth(1), Sawtooth(1, teeth=3)]), 0.5, 12),
    ],
    ids=range(7),
)
def test_growth_rates_of_markov_maps_are_logs_of_spectral_radii(net, level, rho):
    found = growth_rate(net, level=level)
    with mpmath.workdps(30):
        assert found.lower <= mpmath.log(rho) <= found.upper
    assert found.trusted
    assert found.rate == pytest.approx(math.log(rho), rel=1e-15)


@once
@pytest.mark.parametrize("folds", [5, 101, 4000])
def test_growth_rates_are_enclosed_where_no_float_holds_the_matrix_nor_its_vector(folds):
    # On [0, 1] m^folds, then off to [2, 3]; from there straight back. Twice round doubles `folds`
    # times; what starts between the two never returns.
    fold = ConnectTheDots([0, Fraction(1, 2), 1, 2, 3], [0, 1, 0, 2, 3])
    swap = ConnectTheDots([0, 1, 2, 3], [2, 3, 0, 1])
    found = growth_rate(Composition([Iterated(fold, folds), swap]), interval=(0, 3))
    with mpmath.workdps(30):
        assert found.lower <= folds * mpmath.log(2) / 2 <= found.upper
    assert found.trusted
    assert found.upper - found.lower < 1e-14 * (1 + found.rate)


@once
@settings(max_examples=30, deadline=None, derandomize=True)
@given(data=st.data(), size=st.integers(2, 5), bits=st.sampled_from([1, 8, 60]))
def test_the_root_of_perron_is_enclosed_as_mpmath_finds_it(data, size, bits):
    entries = st.integers(0, 2**bits)
    matrix = {i: {(i + 1) % size: 1} for i in range(size)}  # a ring, and whatever else
    for i, j, entry in data.draw(
        st.lists(st.tuples(*[st.integers(0, size - 1)] * 2, entries), max_size=6)
    ):
        matrix[i][j] = matrix[i].get(j, 0) + entry
    lower, upper = perron_root(
        {i: {j: n for j, n in row.items() if n} for i, row in matrix.items()}
    )
    with mpmath.workdps(60):
        dense = mpmath.matrix(size)
        for i, row in matrix.items():
            for j, entry in row.items():
                dense[i, j] = entry
        root = max(mpmath.re(each) for each in mpmath.eig(dense, left=False, right=False))
        low, high = (mpmath.mpf(each.numerator) / each.denominator for each in (lower, upper))
        assert low * (1 - mpmath.mpf(10) ** -25) <= root <= high * (1 + mpmath.mpf(10) ** -25)
    assert upper - lower <= upper * Fraction(1e-14)


@once
def test_a_map_without_a_finite_tower_is_bracketed_around_the_ratio_of_counts():
    found = growth_rate(TENT)  # the entropy of a tent is the log of its slope
    assert found.result == GrowthResult.bracketed
    assert found.lower <= math.log(1.5) <= found.upper
    assert found.rate == pytest.approx(math.log(1.5), abs=1e-13)
    crossings = [answer.value - 1 for answer in count_iterates(TENT, 400)]
    ratio = math.log(crossings[399] / crossings[199]) / 200
    assert ratio == pytest.approx(found.rate, abs=1e-3)  # the counts oscillate about C·1.5^k


@pytest.mark.once(x64=True)
def test_iterates_are_networks_whose_compilation_does_not_grow():
    x = jnp.linspace(0.0, 1.0, 5)
    net = Iterated(Composition([Sawtooth(1), TENT]), 3)
    jaxprs = [str(jax.make_jaxpr(Iterated(net, times))(x[1])) for times in (2, 500)]
    assert len(jaxprs[0].splitlines()) == len(jaxprs[1].splitlines())
    assert jax.eval_shape(net, x[1]).dtype == x.dtype

    def by_hand(z):
        for _ in range(3):
            m = 1 - abs(2 * z - 1)
            z = 1.5 * min(m, 1 - m)
        return z

    expected = jnp.asarray([by_hand(float(z)) for z in x])
    # Three slopes of 3 each: rounding errors grow 27 times.
    rtol = 100 * float(jnp.finfo(x.dtype).eps)
    chex.assert_trees_all_close(jax.vmap(net)(x), expected, rtol=rtol, atol=rtol)
    chex.assert_trees_all_close(jax.grad(net)(0.3), jax.grad(lambda z: net(z))(0.3))
    assert factors(net) == ((Sawtooth(1).factors()[0]), (TENT, 1)) * 3


class Bend(eqx.Module):
    """x ↦ (1.5·relu(x − ¼),), of shape (1,) → (1,)."""

    def __call__(self, x):
        return 1.5 * jax.nn.relu(x - 0.25)

    def affine_layers(self):
        return (layer([[1]], [-0.25], 0.0), layer([[1.5]], [0]))


def test_a_network_of_shape_one_composes_with_scalar_ones():
    net = Composition([Sawtooth(2), Bend()])
    chex.assert_trees_all_close(net(0.1875), jnp.asarray(0.75))  # 1.5·(¾ − ¼)
    assert count(net, Symbolic(), level=0.1).value == count(net, Rational(), level=0.1).value == 5


def test_dots_are_joined_and_constant_outside():
    f = ConnectTheDots([0, Fraction(1, 3), 1], [1, 0, 4])
    at = jnp.array([-5.0, 0.0, 1 / 6, 1 / 3, 2 / 3, 1.0, 9.0])
    expected = jnp.interp(at, jnp.array([0, 1 / 3, 1]), jnp.array([1.0, 0, 4]))
    atol = 100 * float(jnp.finfo(at.dtype).eps)  # the sum's largest term is 72
    chex.assert_trees_all_close(jax.vmap(f)(at), expected, atol=atol)
    assert f.dots() == ((0, Fraction(1, 3), 1), (1, 0, 4))


def test_a_wholly_concrete_count_works_inside_a_callers_trace():
    counted = jax.jit(lambda x: x * count(Sawtooth(5), Symbolic()).value)(2.0)
    assert float(counted) == 66.0


def test_bad_arguments_are_refused(untyped):
    with pytest.raises(ValueError, match=r"is a host method .* inside them, count by `Grid`"):
        jax.vmap(lambda k: count(Sawtooth(k), Symbolic()).value)(jnp.arange(1, 3))
    with pytest.raises(ValueError, match="`fn` must be a network that lists its layers"):
        count(jnp.sin, Symbolic())
    with pytest.raises(ValueError, match="`fn` must be a network of one input and one output"):
        count(Iterated([layer([[1, 2], [0, 1]], [0, 0])], 3), Symbolic())
    with pytest.raises(ValueError, match="`fn` must be finite"):
        count(Iterated([layer([[np.nan]], [0])], 3), Symbolic())
    with pytest.raises(ValueError, match="`net` must be one network; got 'a stack of several'"):
        count(eqx.filter_vmap(Sawtooth)(jnp.arange(1, 3)), Symbolic())
    with pytest.raises(ValueError, match="`depth` must be at least 1; got 'a traced depth"):
        count(Iterated(jax.jit(Sawtooth)(0), 2), Symbolic())  # as a network it is NaN
    with pytest.raises(ValueError, match="`values` must be of slopes within the range of float64"):
        ConnectTheDots([0, 1e-300], [0, 1e300]).affine_layers()
    with pytest.raises(ValueError, match="`max_nodes` must be an integer, at least 1"):
        Symbolic(max_nodes=0)
    with pytest.raises(ValueError, match="`times` must be an integer, at least 1"):
        count_iterates(TENT, 0)
    with pytest.raises(ValueError, match="`times` must be an integer, at least 1"):
        Iterated(TENT, 0)
    with pytest.raises(ValueError, match="`maps` must be a non-empty sequence"):
        Composition([])
    with pytest.raises(ValueError, match="`level` must be finite"):
        growth_rate(TENT, level=math.inf)
    with pytest.raises(ValueError, match=r"`interval` must be \(start, end\)"):
        count_iterates(TENT, 2, interval=(1, 0))


@pytest.mark.parametrize(
    ("nodes", "values", "match"),
    [
        ([0, 1], [0, 1, 2], "`values` must be as many as the 2 nodes"),
        ([1, 0], [0, 1], "`nodes` must be in ascending order"),
        ([0, 0, 1], [0, 1, 1], "`values` must be one for each distinct node"),
        ([0, 0], [1, 1], "`nodes` must be at least two distinct numbers"),
        ([0, math.nan], [0, 1], "`nodes` must be finite"),
        ([0, 1], [0, "1"], "`values` must be a real scalar"),
        (3, [0, 1], "`nodes` must be a sequence of real numbers"),
    ],
)
def test_dots_that_define_no_continuous_map_are_refused(nodes, values, match, untyped):
    with pytest.raises(ValueError, match=match):
        ConnectTheDots(nodes, values)


def test_permutations_and_periods_are_checked(untyped):
    with pytest.raises(ValueError, match="`images` must be a permutation"):
        ConnectTheDots.from_permutation([0, 0, 1])
    with pytest.raises(ValueError, match=r"`images` must be an integer, at least 0; got 1\.0"):
        ConnectTheDots.from_permutation([1.0, 0])
    with pytest.raises(ValueError, match="`images` must be a sequence"):
        ConnectTheDots.from_permutation(3)
    with pytest.raises(ValueError, match="`period` must be odd"):
        ConnectTheDots.stefan(4)
    with pytest.raises(ValueError, match="`period` must be an integer, at least 3"):
        ConnectTheDots.stefan(1)
