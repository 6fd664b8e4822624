"""Single modes: the closed forms of Saxe et al., their time integral, and the singular values."""

import chex
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxdepth.dynamics import end_to_end, saxe_mode, saxe_time, singular_value_rates

DEPTHS = (1, 1.3, 2, 3, 50, 1e8)
# s, u₀, u: rising from small and smallest starts, through and short of s/2; falling; hardly moving
MODES = (
    (2.0, 0.1, 1.0),
    (2.0, 1e-3, 1.999),
    (2.0, 1e-8, 1e-7),
    (1.0, 1e-4, 1 - 1e-9),
    (3.0, 10.0, 4.0),
    (1.0, 1e6, 1e4),
    (0.5, 0.4, 0.45),
    (1.0, 0.3, 0.3001),
)


def rate(u, s, N):
    return N * u ** (2 - 2 / N) * (s - u)


def exact_time(u, s, u0, N):
    """∫ dv/(N v^{2−2/N}(s − v)) in 30 digits, by quadrature over log v."""
    with mpmath.workdps(30):
        u, s, u0, N = map(mpmath.mpf, (u, s, u0, N))
        ends = mpmath.log(u0), mpmath.log(u)
        return mpmath.quad(
            lambda x: mpmath.exp((2 / N - 1) * x) / (N * (s - mpmath.exp(x))),
            mpmath.linspace(*ends, 3 + int(abs(ends[1] - ends[0]) / 3)),
        )


def test_modes_and_times_are_the_integral_in_thirty_digits(x64):
    s, u0, u = np.array(MODES).T
    mode = jax.vmap(saxe_mode, (0, None, None, 0))
    time = jax.vmap(saxe_time, (None, None, None, 0))
    N = jnp.array(DEPTHS)
    exact = [[exact_time(*each, N) for each in zip(u, s, u0, strict=True)] for N in DEPTHS]
    t = np.array(exact, float)
    found = np.asarray(time(u, s, u0, N))
    speed, start = (rate(v, s, np.array(DEPTHS)[:, None]) for v in (u, u0))
    slack = t + np.abs(u / speed) + np.abs(u0 / start)
    off = [
        [float(f - e) for f, e in zip(*rows, strict=True)]
        for rows in zip(found, exact, strict=True)
    ]
    assert np.max(np.abs(off) / slack) < 1e-13
    reached = np.asarray(mode(jnp.asarray(t), s, u0, N))
    assert np.max(np.abs(reached - u) / (u + t * np.abs(speed))) < 1e-13


def test_depths_one_and_two_are_saxes_closed_forms(x64):
    t, s = np.linspace(0, 4, 9)[:, None], np.array([0.5, 1.0, 3.0])
    for u0 in (1e-6, 0.3, 5.0):
        exponential = u0 * np.exp(-t) - s * np.expm1(-t)
        np.testing.assert_allclose(saxe_mode(t, s, u0, 1), exponential, rtol=1e-13)
        logistic = s / (1 + (s / u0 - 1) * np.exp(-2 * s * t))
        np.testing.assert_allclose(saxe_mode(t, s, u0, 2), logistic, rtol=1e-13)


@jax.jit
@jax.vmap
def derivatives(t, s, u0, N):
    return saxe_mode(t, s, u0, N), *jax.grad(saxe_mode, (0, 1, 2, 3))(t, s, u0, N)


def test_a_mode_solves_its_equation_at_any_depth(x64):
    """In t its right-hand side, in u₀ as the flow carries it; in s and N finite differences."""
    N = np.tile([1.0, 1.5, 2.0, 3.0, 7.0], 2)
    s, u0 = np.repeat([[2.0, 1.0], [0.2, 3.0]], 5, axis=1)
    t = np.full_like(N, 0.3)
    u, in_t, in_s, in_u0, in_N = map(np.asarray, derivatives(t, s, u0, N))
    np.testing.assert_allclose(in_t, rate(u, s, N), rtol=1e-12)
    np.testing.assert_allclose(in_u0, in_t / rate(u0, s, N), rtol=1e-12)
    h = 1e-4
    above, below = (np.asarray(derivatives(t, s + d, u0, N)[0]) for d in (h, -h))
    np.testing.assert_allclose(in_s, (above - below) / (2 * h), atol=1e-7)
    above, two_above = (np.asarray(derivatives(t, s, u0, N + d)[0]) for d in (h, 2 * h))
    np.testing.assert_allclose(in_N, (4 * above - two_above - 3 * u) / (2 * h), atol=1e-7)


@pytest.mark.slow
def test_second_derivatives_are_those_of_the_first(x64):
    second = jax.jit(jax.grad(jax.grad(saxe_mode, 3), 3))
    h = 1e-4
    for N in (1.5, 2.0, 3.0):
        first = [
            float(derivatives(*map(np.atleast_1d, (0.7, 2.0, 0.3, N + d)))[4][0]) for d in (-h, h)
        ]
        assert abs(float(second(0.7, 2.0, 0.3, N)) - (first[1] - first[0]) / (2 * h)) < 1e-7


@pytest.mark.once
def test_time_inverts_mode_and_runs_backwards():
    eps = float(jnp.finfo(jnp.result_type(float)).eps)
    for N in (1, 2, 3.5):
        t = saxe_time(1.5, 2.0, 0.25, N)
        np.testing.assert_allclose(saxe_mode(t, 2.0, 0.25, N), 1.5, rtol=64 * eps)
        np.testing.assert_allclose(saxe_time(0.25, 2.0, 1.5, N), -t, rtol=64 * eps)
        assert t.dtype == jnp.result_type(float)


@pytest.mark.once
def test_what_does_not_move_stays_and_what_is_not_reached_takes_forever():
    for N in (1.5, 2, 3):
        assert saxe_mode(3.0, 2.0, 0.0, N) == 0
        assert saxe_time(1.0, 2.0, 0.0, N) == jnp.inf
        assert (saxe_time(0.0, 2.0, 1.0, N) == -jnp.inf) == (N >= 2)
    for N in (1, 2, 3):
        assert saxe_mode(3.0, 2.0, 2.0, N) == 2
        assert saxe_mode(0.0, 2.0, 0.0, N) == 0
        assert saxe_time(1.0, 2.0, 1.0, N) == 0
        assert {float(saxe_time(u, 2.0, 1.0, N)) for u in (2.0, 3.0)} == {np.inf}
    # N = 1 leaves 0
    np.testing.assert_allclose(saxe_mode(1.0, 2.0, 0.0, 1), 2 - 2 * np.exp(-1), rtol=1e-6)
    np.testing.assert_allclose(saxe_time(1.0, 2.0, 0.0, 1), np.log(2), rtol=1e-6)


def test_below_depth_two_a_mode_left_zero_a_finite_time_ago(x64):
    """q = v^{2/N−1} makes it a quadrature of a smooth function."""
    for N, u0 in ((1.2, 0.9), (1.5, 0.5), (1.9, 1e-20)):
        with mpmath.workdps(30):
            beta = 2 / mpmath.mpf(N) - 1
            exact = mpmath.quad(
                lambda q, beta=beta: 1 / (beta * (1 - q ** (1 / beta))), [0, mpmath.mpf(u0) ** beta]
            )
        np.testing.assert_allclose(saxe_time(0.0, 1.0, u0, N), -float(exact / N), rtol=1e-12)


def test_at_rest_the_slope_in_the_start_is_that_of_starts_nearby(x64):
    """exp(−N·s^{2−2/N}t) at s, and exp(−t) at 0 for one layer."""
    s, t, N = np.full(2, 2.0), np.full(2, 0.3), np.array([2.0, 3.0])
    _, _, in_s, in_u0, _ = map(np.asarray, derivatives(t, s, s, N))
    expected = np.exp(-N * s ** (2 - 2 / N) * t)
    np.testing.assert_allclose(in_u0, expected, rtol=1e-12)
    np.testing.assert_allclose(in_s, 1 - expected, rtol=1e-12)
    one = derivatives(t, s, 0 * s, np.ones(2))[3]
    np.testing.assert_allclose(one, np.exp(-t), rtol=1e-12)


def test_plateaus_last_as_long_as_the_leading_terms_say(x64):
    """Time to s/2 from u₀ → 0: log(s/u₀)/(2s) at N = 2, u₀^{−(1−2/N)}/(s(N − 2)) beyond."""
    s, u0 = 2.0, 1e-12
    assert abs(float(saxe_time(s / 2, s, u0, 2)) / (np.log(s / u0) / (2 * s)) - 1) < 1e-11
    for N in (3, 4):
        leading = u0 ** (2 / N - 1) / (s * (N - 2))
        # the next term: (s/u₀)^{−(1−2/N)} (twice, at N = 4, times log(s/u₀))
        assert abs(float(saxe_time(s / 2, s, u0, N)) / leading - 1) < 1e-3


@jax.jit
def along_the_rule(W, G, N):
    """σ̇ by autodiff of LAPACK's singular values along −P_W[G], and in closed form."""
    values = jax.jvp(lambda W: jnp.linalg.svd(W, compute_uv=False), (W,), (-end_to_end(W, G, N),))
    return values[1], singular_value_rates(W, G, N)


@pytest.mark.parametrize(("m", "n"), [(3, 4), (1, 3)])
def test_singular_values_move_as_along_the_rule(x64, m, n):
    rng = np.random.default_rng(0)
    W, G = rng.normal(size=(m, n)), rng.normal(size=(m, n))
    U, sigma, Vt = np.linalg.svd(W, full_matrices=False)
    for N in (1.0, 3.5):
        along, found = along_the_rule(W, G, N)
        closed = -N * sigma ** (2 - 2 / N) * np.einsum("ir,ij,rj->r", U, G, Vt)
        np.testing.assert_allclose(found, closed, atol=1e-12)
        np.testing.assert_allclose(found, along, atol=1e-12)


def test_singular_values_move_as_those_of_balanced_layers(x64):
    """Extrapolated to a rate of 0 from steps of plain descent on three factors."""
    rng = np.random.default_rng(1)
    W, G = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    U, sigma, Vt = np.linalg.svd(W, full_matrices=False)
    root = np.diag(np.cbrt(sigma))
    first, middle, last = root @ Vt, root, U @ root

    def speed(eta):
        layers = (
            first - eta * middle.T @ last.T @ G,
            middle - eta * last.T @ G @ first.T,
            last - eta * G @ first.T @ middle.T,
        )
        moved = np.linalg.svd(layers[2] @ layers[1] @ layers[0], compute_uv=False)
        return (moved - sigma) / eta

    found = np.asarray(singular_value_rates(jnp.asarray(W), jnp.asarray(G), 3))
    np.testing.assert_allclose(2 * speed(1e-6) - speed(2e-6), found, atol=1e-7)


@pytest.mark.once
def test_singular_values_at_zero_rest_in_deep_networks():
    W, G = jnp.diag(jnp.array([2.0, 0.0], jnp.bfloat16)), jnp.ones((2, 2), jnp.bfloat16)
    rates = jax.jit(jax.vmap(singular_value_rates, (None, None, 0)))(W, G, jnp.array([1.5, 2, 3]))
    np.testing.assert_array_equal(rates[:, 1], 0)
    chex.assert_type(rates, jnp.bfloat16)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((-1.0, 2.0, 0.1, 2), "`t` must be at least 0"),
        ((1.0, 0.0, 0.1, 2), "`s` must be positive"),
        ((1.0, np.array([1.0, -1.0]), 0.1, 2), "`s` must be positive"),
        ((1.0, 2.0, -0.1, 2), "`u0` must be at least 0"),
        ((float("nan"), 2.0, 0.1, 2), "`t` must be finite"),
        ((1.0, 2.0, 0.1, 0.5), "`depth` must be a number, at least 1"),
    ],
)
def test_bad_arguments_are_refused(untyped, arguments, match):
    with pytest.raises(ValueError, match=match):
        saxe_mode(*arguments)


@pytest.mark.once
def test_bad_strengths_to_reach_are_refused(untyped):
    with pytest.raises(ValueError, match="`u` must be at least 0"):
        saxe_time(-1.0, 2.0, 0.1, 2)
    with pytest.raises(ValueError, match="`G` must be of W's shape"):
        singular_value_rates(jnp.ones((2, 3)), jnp.ones((3, 2)), 2)
