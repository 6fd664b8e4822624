"""Exact counting of stacks, and within compiled programs."""

import itertools

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdepth.crossings import CountResult, Exact, Rational, count
from jaxdepth.crossings._exact_traced import _between_known
from jaxdepth.networks import MLP, AffineLayer, Sawtooth
from jaxdepth.piecewise import PiecesResult, pieces
from jaxdepth.piecewise._stack import member

INTERVAL = (-2.0, 2.0)


def stack_of(size, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(7), size)
    return eqx.filter_vmap(lambda key: MLP((1, 6, 6, 1), dtype=dtype, key=key))(keys)


@pytest.fixture(scope="module")
def nets():
    return stack_of(72)  # more than one tile


@pytest.fixture(scope="module")
def truth(nets):
    return [
        count(member(nets, i), Rational(), interval=INTERVAL, level=0.25).value for i in range(72)
    ]


@pytest.mark.once
def test_a_stack_is_counted_as_its_members_are(nets, truth):
    answer = count(nets, Exact(), interval=INTERVAL, level=0.25)
    assert answer.value.tolist() == answer.lower.tolist() == answer.upper.tolist() == truth
    assert answer.trusted.all()
    assert np.all(answer.result == CountResult.exact)
    assert answer.value.dtype == np.int64
    assert max(truth) > 2


@pytest.mark.once
def test_networks_of_different_width_and_depth_stack():
    def padded(width, depth, key):
        return MLP.padded((1, 6, 6, 1), width=width, depth=depth, dtype=jnp.float32, key=key)

    widths, depths = jnp.array([2, 5, 6, 4]), jnp.array([1, 2, 1, 1])
    nets = eqx.filter_vmap(padded)(widths, depths, jax.random.split(jax.random.key(1), 4))
    alone = [
        count(member(nets, i), Rational(), interval=INTERVAL, level=0.25).value for i in range(4)
    ]
    assert count(nets, Exact(), interval=INTERVAL, level=0.25).value.tolist() == alone
    saws = eqx.filter_vmap(lambda depth: Sawtooth(depth, max_depth=2))(jnp.array([1, 2]))
    assert count(saws, Exact()).value.tolist() == [3, 5]


@pytest.mark.once
def test_what_the_program_leaves_open_is_settled_one_by_one():
    # |3x − 1| + c has a minimum that touches the level ½, misses it, or passes below.
    def layers(c):
        fold = AffineLayer(np.array([[3.0]]), np.array([-1.0]), np.array(-1.0))
        return [fold, AffineLayer(np.ones((1, 1)), np.array([c]), np.array(1.0))]

    stack = jax.tree.map(lambda *leaves: np.stack(leaves), *map(layers, (0.5, 0.75, 0.25)))
    answer = count(stack, Exact())
    assert answer.value.tolist() == [1, 1, 3]
    assert answer.trusted.all()


@pytest.mark.once
def test_room_that_does_not_suffice_costs_time_and_no_kinks(nets, truth):
    few = member(nets, np.arange(8))
    answer = count(few, Exact(capacity=1), interval=INTERVAL, level=0.25)
    assert answer.value.tolist() == truth[:8]


def broken(nets, i):
    """The stack with a NaN in its i-th network."""
    nan = nets.bias_out.at[i].set(jnp.nan)
    return eqx.tree_at(lambda nets: nets.bias_out, nets, nan)


def test_a_callers_vmap_is_traced_once_and_counts_the_same(x64, nets, truth):
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def both(nets):
        return jax.vmap(lambda net: count(net, Exact(), interval=INTERVAL, level=0.25))(nets)

    answer = both(nets)
    assert answer.value.tolist() == truth
    assert bool(answer.trusted.all())
    chex.assert_type([answer.value, answer.lower, answer.upper], jnp.int64)

    answer = both(broken(nets, 1))
    not_finite = answer.result == CountResult.not_finite
    assert not_finite.tolist() == [i == 1 for i in range(72)]
    assert answer.trusted.tolist() == [i != 1 for i in range(72)]


def test_sawtooths_of_every_depth_are_counted_in_one_program(x64):
    def one(depth):
        return count(Sawtooth(depth, teeth=2, max_depth=2), Exact(capacity=16))

    answer = jax.jit(jax.vmap(one))(jnp.arange(0, 4))
    assert answer.value[1:3].tolist() == [5, 17]
    assert answer.trusted.tolist() == [False, True, True, False]
    assert (answer.result == CountResult.not_finite).tolist() == [True, False, False, True]


@eqx.filter_jit
def counted(net, level):
    """One program for every network of the same shape, at every level."""
    return count(net, Exact(), level=level)


def test_a_level_in_doubt_widens_the_bounds(x64):
    # The peak 0.1·… of a hat rounds: float64 cannot tell whether it reaches the level.
    hat = [
        AffineLayer(jnp.array([[1.0], [1.0]]), jnp.array([0.0, -1 / 3]), jnp.array(0.0)),
        AffineLayer(jnp.array([[0.3, -0.6]]), jnp.zeros(1), jnp.array(1.0)),
    ]
    peak = 0.3 / 3
    host = count(hat, Rational(), level=peak).value
    traced = counted(hat, jnp.asarray(peak))
    assert (int(traced.lower), int(traced.upper)) == (1, 3)
    assert not bool(traced.trusted)
    assert bool(traced.result == CountResult.unresolved)
    assert host in (1, 3)
    assert count(hat, Exact(), level=peak).value == host


def test_a_kink_in_doubt_leaves_only_what_the_size_allows(x64):
    # Two units with their kinks at the unrounded ⅓.
    net = [
        AffineLayer(jnp.array([[3.0], [3.0]]), jnp.array([-1.0, -1.0]), jnp.array(0.0)),
        AffineLayer(jnp.array([[1.0, 1.0]]), jnp.zeros(1), jnp.array(1.0)),
    ]
    answer = counted(net, jnp.asarray(0.5))
    assert bool(answer.result == CountResult.unresolved)
    assert int(answer.lower) == 1
    assert int(answer.upper) >= count(net, Exact()).value == 2


def test_overflow_is_said(x64):
    # One kink of the first triangle has room, two of the second have not.
    small = jax.jit(lambda x: count(Sawtooth(2), Exact(capacity=1), interval=(x, 1.0)))(0.0)
    assert bool(small.result == CountResult.overflow)
    assert (int(small.value), int(small.lower)) == (1, 1)
    assert int(small.upper) >= 2**2 + 1


@pytest.mark.once
def test_a_stack_with_one_network_that_is_not_finite_is_refused(nets):
    with pytest.raises(ValueError, match="`fn` must be finite"):
        count(broken(nets, 1), Exact(), interval=INTERVAL, level=0.25)


def test_a_program_that_counts_exactly_can_be_differentiated(x64):
    def scaled(level):
        return level * count(Sawtooth(1), Exact(), level=level).value.astype(level.dtype)

    # Five: four that go through together, and a rest.
    levels = jnp.array([0.25, 0.5, 0.75, 1.0, 0.125])
    value, slope = jax.jit(jax.vmap(jax.value_and_grad(scaled)))(levels)
    assert (value.tolist(), slope.tolist()) == ((3 * levels).tolist(), [3.0] * 5)


@pytest.mark.once
def test_subnormal_weights_are_not_lost():
    # XLA on a CPU widens 1e-40, a subnormal float32, to 0: the layers amount to the identity.
    tiny = AffineLayer(np.full((1, 1), 1e-40, np.float32), np.zeros(1, np.float32), np.float32(0))
    huge = AffineLayer(np.full((1, 1), 1e38, np.float32), np.zeros(1, np.float32), np.float32(0))
    last = AffineLayer(np.full((1, 1), 1e2, np.float32), np.zeros(1, np.float32), np.float32(1))
    stack = jax.tree.map(lambda leaf: np.stack([leaf] * 2), [tiny, huge, last])
    assert count([tiny, huge, last], Rational()).value == 2
    assert count(stack, Exact()).value.tolist() == [2, 2]


TINY = 2.0**-1030  # a subnormal float64, which XLA on a CPU takes for 0
SUBNORMAL = [  # weight, bias and slope of two layers, start, level: 2 crossings each, but the last
    ((1.0, 0.0, 0.0), (TINY, -(2.0**-1040), 1.0), 0.0, 0.0),
    ((1.0, 0.0, 1.0), (0.25, -TINY, 1.0), 0.0, 0.0),
    ((1.0, -0.5, 0.0), (1.0, 0.0, 1.0), 0.0, TINY),
    ((1.0, 0.0, TINY), (2.0**500, 0.0, 1.0), -1.0, 0.0),
    ((2.0**399, 0.0, 0.0), (2.0**-1023, -(2.0**-625), 1.0), 0.25, 0.0),
    ((2.0**500, 0.0, 1.0), (1.0, 0.0, 1.0), TINY, 2.0**-541),
]


def test_subnormal_numbers_leave_the_count_open_within_a_program(x64):
    run = jax.jit(lambda net, start, level: (
        count(net, Exact(), interval=(start, 1.0), level=level), pieces(net, (start, 1.0))
    ))  # fmt: skip
    for *layers, start, level in SUBNORMAL:
        net = [AffineLayer(*np.array([[[w]]]), *np.array([[b]]), np.array(s)) for w, b, s in layers]
        truth = count(net, Rational(), interval=(start, 1.0), level=level).value
        answer, found = run(net, start, level)
        assert truth == 2 - (level == 2.0**-541)
        assert not bool(answer.trusted)
        assert int(answer.lower) <= truth <= int(answer.upper)
        assert bool(found.result == PiecesResult.exact) == (level == TINY)  # pieces have no level


def test_what_lies_near_overflow_is_left_open_by_linear_layers_too(x64):
    layers = [
        AffineLayer(jnp.full((2, 1), 2.0**-40), jnp.array([2.0**505, -(2.0**505)]), 1.0),
        AffineLayer(jnp.array([[1.0, -1.0]]), jnp.full(1, -(2.0**504)), 1.0),
    ]
    ends = (-(2.0**500), 2.0**890)
    answer = jax.jit(lambda net: count(net, Exact(), interval=ends, level=0.0))(layers)
    assert not bool(answer.trusted)


def test_padding_of_a_traced_size_leaves_nothing_open(x64):
    @eqx.filter_jit
    @eqx.filter_vmap
    def padded(width, depth, key):
        return MLP.padded((1, 6, 6, 1), width=width, depth=depth, key=key)

    @eqx.filter_jit
    @eqx.filter_vmap
    def run(net):
        return count(net, Exact(), interval=INTERVAL, level=0.25)

    # Fours go through together: a rest would be a second program to compile.
    widths, depths = jnp.array([6, 4, 5, 1, 3, 6, 2, 1]), jnp.array([2, 2, 2, 2, 1, 1, 2, 1])
    keys = jax.random.split(jax.random.key(1), 8)
    nets = padded(widths, depths, keys)
    answer = run(nets)
    assert answer.trusted.all()
    alone = [member(nets, i) for i in range(8)]
    for i in (1, 4):  # never padded
        alone[i] = MLP((1, *[int(widths[i])] * int(depths[i]), 1), key=keys[i])
    truth = [count(net, Rational(), interval=INTERVAL, level=0.25).value for net in alone]
    assert answer.value.tolist() == truth


def test_integer_weights_are_counted_as_what_they_are(x64, untyped):
    net = [
        AffineLayer(np.array([[4], [-4]], np.int32), np.array([-1, 3], np.int32), 0.0),
        AffineLayer(np.array([[1, 1]], np.int32), np.array([-3], np.int32), 1.0),
    ]
    assert int(jax.jit(lambda net: count(net, Exact(), level=0))(net).value) == 3
    assert count(net, Exact(), level=0).value == count(net, Rational(), level=0).value == 3
    # 2^53 + 1 is no float64: rounded down, the line would miss the level.
    odd = [AffineLayer(np.array([[2**53 + 1]]), np.array([-(2**53)]), 1.0)]
    assert count(odd, Exact(), level=0.5).value == count(odd, Rational(), level=0.5).value == 2
    assert not bool(jax.jit(lambda net: count(net, Exact(), level=0.5))(odd).trusted)


def test_64_bit_off_is_refused_with_the_cure(x32):
    with pytest.raises(ValueError, match=r"`Exact` is exact and needs float64.*enable_x64"):
        jax.jit(lambda level: count(Sawtooth(2), Exact(), level=level).value)(0.5)


def test_bounds_from_unknown_labels_are_attained(x64):
    for length in (1, 2, 5):
        for labels in itertools.product([False, True], repeat=length):
            for known in itertools.product([False, True], repeat=length):
                free = [i for i in range(length) if not known[i]]
                counts = []
                for choice in itertools.product([False, True], repeat=len(free)):
                    chosen = np.array(labels)
                    chosen[free] = choice
                    counts.append(1 + int(np.count_nonzero(np.diff(chosen))))
                bounds = _BETWEEN(np.array(labels), np.array(known), np.int64(length))
                assert tuple(int(bound) for bound in bounds) == (min(counts), max(counts))


_BETWEEN = jax.jit(_between_known)
