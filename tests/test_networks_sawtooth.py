from fractions import Fraction

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdepth.networks import Sawtooth


def sawtooth_by_hand(x: Fraction, depth: int, teeth: int) -> Fraction:
    """The triangle wave, folded `depth` times, without a network."""
    for _ in range(depth):
        phase = (2 * teeth * x) % 2
        x = min(phase, 2 - phase) if 0 <= x <= 1 else Fraction(0)
    return x


@pytest.mark.parametrize("teeth", [1, 2, 4])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_network_is_the_folded_triangle_wave_exactly_on_dyadic_points(teeth, depth):
    x = np.arange(2**8 + 1) / 2**8
    by_hand = [float(sawtooth_by_hand(Fraction(z), depth, teeth)) for z in x.tolist()]
    values = jax.vmap(Sawtooth(depth, teeth=teeth))(jnp.asarray(x, jnp.float32))
    chex.assert_trees_all_equal(np.asarray(values), np.array(by_hand, np.float32))


def test_odd_teeth_agree_to_the_rounding_of_a_third():
    x = np.linspace(0, 1, 97)
    by_hand = [float(sawtooth_by_hand(Fraction(z), 3, 3)) for z in x.tolist()]
    values = jax.vmap(Sawtooth(3, teeth=3))(jnp.asarray(x, jnp.float32))
    # One layer multiplies an error in x by 6, and x itself is rounded to float32.
    chex.assert_trees_all_close(np.asarray(values, np.float64), np.array(by_hand), atol=6**3 * 2e-6)


def test_it_vanishes_outside_the_unit_interval():
    outside = jnp.array([-3.0, -1e-3, 1.001, 2.0, 50.0])
    chex.assert_trees_all_equal(jax.vmap(Sawtooth(4, teeth=3))(outside), jnp.zeros(5))


def test_a_traced_depth_equals_the_concrete_one_and_compiles_once():
    chex.clear_trace_counter()
    x = jnp.linspace(0.0, 1.0, 33)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def at_depth(depth):
        return jax.vmap(Sawtooth(depth))(x)

    for depth in (1, 4, 9):
        chex.assert_trees_all_equal(at_depth(depth), jax.vmap(Sawtooth(depth))(x))


def test_the_slope_is_the_power_of_two_in_both_modes():
    x = 0.3
    assert abs(float(jax.grad(Sawtooth(6))(x))) == 2**6
    assert abs(float(jax.jacfwd(Sawtooth(6))(x))) == 2**6


@pytest.mark.once(x64=True)
def test_max_depth_gives_reverse_mode_to_a_traced_depth():
    slopes = jax.vmap(lambda k: jax.grad(Sawtooth(k, max_depth=8))(0.3))(jnp.arange(1, 9))
    chex.assert_trees_all_equal(jnp.abs(slopes), 2.0 ** jnp.arange(1, 9, dtype=slopes.dtype))


def test_a_traced_depth_beyond_max_depth_gives_nan():
    values = jax.vmap(lambda k: Sawtooth(k, max_depth=2)(0.3))(jnp.array([2, 3]))
    assert np.isnan(values).tolist() == [False, True]


def test_compile_time_does_not_grow_with_depth():
    def size(depth):
        net = Sawtooth(depth, max_depth=depth)
        return len(jax.jit(lambda x: net(x)).lower(0.5).as_text())

    assert size(1000) < 1.1 * size(10)


def test_the_dtype_follows_the_input():
    for dtype in (jnp.float16, jnp.bfloat16, jnp.float32):
        chex.assert_type(Sawtooth(3)(jnp.asarray(0.25, dtype)), dtype)


@pytest.mark.parametrize("depth", [0, -1, 1.5, "2", True])
def test_a_bad_depth_is_refused(depth, untyped):
    with pytest.raises(ValueError, match="`depth` must be an integer"):
        Sawtooth(depth)


def test_other_bad_arguments_are_refused(untyped):
    with pytest.raises(ValueError, match="`teeth` must be"):
        Sawtooth(1, teeth=0)
    with pytest.raises(ValueError, match="`depth` must be an integer, at least 1 and at most 4"):
        Sawtooth(5, max_depth=4)
    assert np.isnan(jax.jit(lambda k: Sawtooth(k)(0.3))(0))
    with pytest.raises(ValueError, match="`depth` must be an integer scalar"):
        jax.jit(Sawtooth)(0.5)
