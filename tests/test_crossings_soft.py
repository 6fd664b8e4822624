import itertools
import math

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import optax
import pytest

from jaxdepth.crossings import changes, soft_count
from jaxdepth.dynamics import descend
from jaxdepth.networks import MLP, Sawtooth, TwoLayer


@pytest.mark.parametrize("depth", [1, 4, 9])
def test_on_the_sawtooth_it_is_2_to_the_k_tanh_of_a_quarter_inverse_temperature(depth):
    soft = jax.vmap(lambda tau: soft_count(Sawtooth(depth), tau, num_points=2**10 + 1))
    tau = jnp.array([0.05, 0.25, 1.0, 20.0])
    # 2^k differences of numbers below 1, and the rounding of their sum.
    doubt = 2 ** (depth + 2) * float(jnp.finfo(tau.dtype).eps)
    np.testing.assert_allclose(soft(tau), 2**depth * np.tanh(1 / (4 * tau)), rtol=0, atol=doubt)


def test_it_is_the_mean_number_of_roots_over_logistic_levels():
    """Kac–Rice for sin(9x) on [0, 1], where fn = u has a known number of roots."""
    tau, level, omega = 0.3, 0.2, 9.0

    def roots(u):
        # sin turns at π/2, 3π/2, 5π/2 < 9: monotone passages between these and both ends.
        ends = [0, 1, -1, 1, math.sin(omega)]
        return sum(min(a, b) < u < max(a, b) for a, b in itertools.pairwise(ends))

    def density(u):
        return mpmath.sech((u - level) / (2 * tau)) ** 2 / (4 * tau)

    breaks = [-1, 0, math.sin(omega), 1]
    mean = sum(
        roots((a + b) / 2) * mpmath.quad(density, [a, b]) for a, b in itertools.pairwise(breaks)
    )
    found = soft_count(lambda x: jnp.sin(omega * x), tau, level=level, num_points=2**13 + 1)
    # The grid misses each of three maxima by at most h²ω²/8 of the function.
    assert float(found) == pytest.approx(float(mean), rel=1e-5)


def test_it_tends_to_the_crossings_and_a_grid_is_a_lower_bound():
    kinks, values = np.linspace(-4, 4, 12), np.random.default_rng(1).normal(size=12)

    def broken_line(x):
        return jnp.interp(x, jnp.asarray(kinks), jnp.asarray(values))

    def soft(tau, num_points=2**12 + 1):
        found = soft_count(broken_line, tau, interval=(-4, 4), level=0.25, num_points=num_points)
        return float(found)

    crossings = int(changes(values, 0.25))
    assert crossings >= 5
    assert soft(1e-4) == pytest.approx(crossings, abs=1e-3)
    # A line turns at its kinks alone: their values give the exact variation.
    true = np.abs(np.diff(1 / (1 + np.exp((0.25 - values) / 0.1)))).sum()
    coarse, fine = soft(0.1, 9), soft(0.1)
    assert coarse < fine <= true * (1 + 1e-5)
    assert fine == pytest.approx(true, rel=1e-3)


def test_the_chunk_changes_nothing_but_the_order_of_the_sum():
    def soft(tau, chunk):
        return soft_count(Sawtooth(4), tau, num_points=2**6 + 2, chunk=chunk)

    one, other = (jax.value_and_grad(soft)(jnp.asarray(0.3), chunk) for chunk in (7, 10**6))
    chex.assert_trees_all_close(one, other, rtol=1e-5)


def test_derivatives_of_the_closed_form_in_both_modes():
    tau = jnp.asarray(0.4)

    def soft(tau):
        return soft_count(Sawtooth(3), tau, num_points=2**3 + 1)

    true = -8 / math.cosh(1 / 1.6) ** 2 / (4 * 0.16)
    np.testing.assert_allclose(jax.grad(soft)(tau), true, rtol=1e-5)
    np.testing.assert_allclose(jax.jacfwd(soft)(tau), true, rtol=1e-5)


def test_a_closure_over_traced_values_is_differentiated_too():
    slope = jax.grad(lambda a: soft_count(lambda x: a * x, 1.0, level=0.0, num_points=3))(2.0)
    assert float(slope) == pytest.approx(math.exp(-2) / (1 + math.exp(-2)) ** 2, rel=1e-5)


def test_it_keeps_the_networks_dtype_and_compiles_once():
    net = TwoLayer(1, 4, dtype=jnp.float32, key=jax.random.key(0))
    chex.clear_trace_counter()

    @eqx.filter_jit
    @chex.assert_max_traces(n=1)
    def soft(net, tau):
        return soft_count(net, tau, num_points=33)

    for tau in (0.1, 0.2):
        chex.assert_type(soft(net, jnp.asarray(tau)), jnp.float32)


class Oscillations(eqx.Module):
    """The soft count as a loss, or as a reward."""

    sign: jax.Array

    def loss(self, net):
        return self.sign * soft_count(net, 0.5, num_points=257, chunk=128)


@pytest.mark.once
def test_fifty_steps_of_adam_raise_and_lower_the_oscillations_of_a_network():
    net = MLP((1, 16, 1), dtype=jnp.float32, key=jax.random.key(3))

    @eqx.filter_jit
    def losses(sign):
        return descend(net, Oscillations(sign).loss, optax.adam(1e-2), 50, record_every=50).losses

    raised, lowered = -losses(jnp.float32(-1)), losses(jnp.float32(1))
    assert raised[0] == lowered[0]
    assert raised[-1] > 1.5 * raised[0]
    assert lowered[-1] < 0.5 * lowered[0]


def test_what_would_be_refused_is_nan_where_it_is_traced():
    @jax.jit
    def soft(tau, end):
        return soft_count(Sawtooth(2), tau, interval=(0.0, end), num_points=9)

    assert float(soft(0.25, 1.0)) == pytest.approx(4 * math.tanh(1), rel=1e-5)
    for tau, end in ((0.0, 1.0), (-0.25, 1.0), (0.25, 0.0), (0.25, -1.0), (math.nan, 1.0)):
        assert math.isnan(soft(tau, end))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: soft_count(Sawtooth(1), 1e-320), "`temperature` must be positive in float"),
        (lambda: soft_count(Sawtooth(1), 0.0), "`temperature` must be positive"),
        (lambda: soft_count(Sawtooth(1), math.nan), "`temperature` must be finite"),
        (lambda: soft_count(Sawtooth(1), 1.0, level=math.inf), "`level` must be finite"),
        (lambda: soft_count(Sawtooth(1), 1.0, interval=(1.0, 1.0)), "`interval` must be"),
        (lambda: soft_count(Sawtooth(1), 1.0, num_points=1), "`num_points` must be"),
        (lambda: soft_count(Sawtooth(1), 1.0, chunk=0), "`chunk` must be"),
        (lambda: soft_count(lambda x: jnp.ones(2), 1.0), "`fn` must be a real scalar function"),
    ],
)
def test_what_has_no_soft_count_is_refused(call, match, untyped):
    with pytest.raises(ValueError, match=match):
        call()
