"""The measure's density, distribution, characteristic function and samples."""

import chex
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import jaxdepth as jd

DIMS = (1, 2, 3, 10)  # both parities, and both ends of the recurrence


@pytest.mark.parametrize("dim", DIMS)
def test_distribution_is_the_integral_of_the_density(x64, dim):
    mu = jd.radial.Measure(dim)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    for z in (0.5, 3.0, 20.0, 45.0):
        t = z / 4 * np.concatenate([nodes + 1, nodes + 3])  # two panels, resolved to rounding
        integral = z / 4 * np.tile(weights, 2) @ mu.pdf(t)
        assert mu.cdf(z) == pytest.approx(integral, abs=1e-12)
        assert mu.cdf(z) + mu.sf(z) == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize("dim", DIMS)
def test_the_tail_is_heavy_as_d_over_pi_z(x64, dim):
    z = 1e6
    # Relative corrections are O(1/z) and O(d²/z²).
    assert jd.radial.Measure(dim).sf(z) * np.pi * z / dim == pytest.approx(1, abs=2e-6)


def exact_tail(dim, z):
    """1 − F(z) at 40 digits: finite sums for even d; for odd d, on the sine integral."""
    with mpmath.workdps(40):
        z, top = mpmath.mpf(z), dim // 2
        squares = [mpmath.besselj(mpmath.mpf(dim) / 2 - k, z) ** 2 for k in range(top + dim % 2)]
        if dim % 2 == 0:
            return float(squares[0] + 2 * sum(squares[1:]) + mpmath.besselj(0, z) ** 2)
        tail = 2 / mpmath.pi * (mpmath.pi / 2 - mpmath.si(2 * z) + mpmath.sin(z) ** 2 / z)
        if dim == 1:
            return float(tail)
        return float(tail + squares[0] + 2 * sum(squares[1:-1]) + squares[-1])


@pytest.mark.once
@pytest.mark.parametrize("dim", [1, 2, 3, 5, 20])
def test_the_upper_tail_keeps_its_relative_accuracy(dim):
    z = np.array([30.5, 77.0, 1e3, 12345.6, 1e5])
    exact = [exact_tail(dim, x) for x in z]
    np.testing.assert_allclose(jd.radial.Measure(dim).sf(z), exact, rtol=1e-14)


@pytest.mark.once
@pytest.mark.parametrize("dim", [3, 20])
def test_the_inverse_square_has_the_mean_of_webers_integral(dim):
    # E Z^−2 = 1/(2(ν²−1)), by ∫ J_ν² t^−3 dt = 1/(4ν(ν²−1)); beyond Z, d/(3πZ³) of it to O(1/Z²).
    nodes, weights = np.polynomial.legendre.leggauss(30)
    panels, end = 40, 400.0
    z = (np.arange(panels)[:, None] + (nodes + 1) / 2) * end / panels
    density = jd.radial.Measure(dim).pdf(z)
    inside = (density / z**2 @ weights).sum() * end / panels / 2
    moment = 1 / (2 * (dim**2 / 4 - 1))
    assert inside + dim / (3 * np.pi * end**3) == pytest.approx(moment, abs=1e-9)


@pytest.mark.once
@pytest.mark.parametrize(
    "dim", [1, 20, 1000, *(pytest.param(dim, marks=pytest.mark.slow) for dim in (2, 3, 10, 100))]
)
def test_quantiles_invert_both_tails_to_rounding(dim):
    mu, rng = jd.radial.Measure(dim), np.random.default_rng(dim)
    q = np.concatenate([[0.0, 1.0], np.geomspace(1e-290, 0.1, 98), rng.uniform(0, 1, 900)])
    # F is flat to third order where J_{d/2} = 0, so compare probabilities, not radii.
    z = mu.icdf(q)
    np.testing.assert_array_equal(z[:2], [0, np.inf])
    np.testing.assert_allclose(mu.cdf(z), q, rtol=0, atol=5e-15)
    s = np.where(q > 0.1, q / 10, q)
    # 1 − F is a difference below z = 30, where it may be a hundredth.
    np.testing.assert_allclose(mu.sf(mu.isf(s)), s, rtol=5e-14)


@pytest.mark.parametrize("dim", [1, 3])
def test_distribution_and_quantile_have_the_density_as_derivative(dim, x64):
    mu = jd.radial.Measure(dim)
    for z in (0.0, 2.0, 40.0):
        upwards, downwards = jax.grad(mu.cdf)(z), jax.grad(mu.sf)(z)
        assert float(upwards) == pytest.approx(float(mu.pdf(z)), rel=1e-13)
        assert float(downwards) == -float(upwards)
    q = float(mu.cdf(2.0))
    assert float(jax.grad(mu.icdf)(q)) == pytest.approx(1 / float(mu.pdf(2.0)), rel=1e-12)
    assert float(jax.grad(mu.isf)(1 - q)) == pytest.approx(-1 / float(mu.pdf(2.0)), rel=1e-12)


@pytest.mark.parametrize("dim", DIMS)
def test_characteristic_function_is_the_overlap_of_two_balls(x64, dim):
    mu = jd.radial.Measure(dim)
    u = np.array([0.0, 0.01, 0.7, 1.0, 1.5, 1.99, 2.0, 5.0])
    with mpmath.workdps(30):
        truth = [
            float(mpmath.betainc((dim + 1) / 2, 0.5, 0, 1 - (x / 2) ** 2, regularized=True))
            if x < 2
            else 0.0
            for x in map(mpmath.mpf, u)
        ]
    np.testing.assert_allclose(mu.characteristic(u), truth, rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize("dim", [20, 1000])
def test_overlaps_of_balls_in_high_dimension_keep_their_relative_accuracy(x64, dim):
    with mpmath.workdps(30):
        u = mpmath.mpf(0.9)
        truth = mpmath.betainc((dim + 1) / 2, 0.5, 0, 1 - (u / 2) ** 2, regularized=True)
    # exp(log) of a number near 1e-50: a hundred roundings.
    assert jd.radial.Measure(dim).characteristic(0.9) == pytest.approx(float(truth), rel=1e-12)


@pytest.mark.parametrize("dim", [1, 3])
def test_both_ends_of_the_half_line_are_served(x64, dim):
    mu, ends = jd.radial.Measure(dim), np.array([0.0, np.inf])
    np.testing.assert_allclose(mu.pdf(ends), [2 / np.pi if dim == 1 else 0, 0], rtol=1e-12)
    np.testing.assert_array_equal(mu.cdf(ends), [0, 1])
    np.testing.assert_array_equal(mu.sf(ends), [1, 0])
    assert mu.isf(1e-290) == pytest.approx(dim / np.pi / 1e-290, rel=1e-12)
    assert np.isfinite(mu.isf(2.3e-308))


def test_samples_have_the_measures_distribution_and_characteristic_function(getkey):
    dim, num = 3, 4000
    mu = jd.radial.Measure(dim)
    x = mu.sample(getkey(), num)
    chex.assert_shape(x, (num, dim))
    z = np.sort(np.linalg.norm(np.asarray(x, np.float64), axis=1)) * mu.radius_unit
    steps = np.arange(num + 1) / num
    distance = max((steps[1:] - mu.cdf(z)).max(), (mu.cdf(z) - steps[:-1]).max())
    assert distance < 1.95 / num**0.5  # Kolmogorov–Smirnov at level .001
    xi = np.zeros(dim)
    xi[-1] = 1.0 * mu.radius_unit / (2 * np.pi)  # u = 1
    mean = np.cos(2 * np.pi * np.asarray(x) @ xi).mean()
    assert mean == pytest.approx(float(mu.characteristic(1.0)), abs=3.3 / num**0.5)


def test_radii_of_samples_are_quantiles_of_uniform_numbers(getkey):
    dim, num = 3, 4000  # enough for the table; compiled by the test above
    mu, key = jd.radial.Measure(dim), getkey()
    x = mu.sample(key, num)
    q = np.asarray(jax.random.uniform(jax.random.split(key)[0], (num,), x.dtype), np.float64)
    got = mu.cdf(np.linalg.norm(np.asarray(x, np.float64), axis=1) * mu.radius_unit)
    assert (q > mu.cdf(10 * dim + 60)).any()  # the tail, past the table
    # The interpolant's error, or some ten roundings of F and as many of z, where zF' is about 1.
    np.testing.assert_allclose(got, q, rtol=0, atol=1e-11 if x.dtype == np.float64 else 1e-5)


def test_samples_follow_the_callers_dtype_and_pass_through_vmap(x64, getkey):
    mu = jd.radial.Measure(3)
    assert jax.eval_shape(lambda key: mu.sample(key, 2), getkey()).dtype == jnp.float64
    keys = jax.random.split(getkey(), 2)
    batch = jax.jit(jax.vmap(lambda key: mu.sample(key, 5, jnp.float32)))(keys)
    chex.assert_shape(batch, (2, 5, 3))
    chex.assert_type(batch, jnp.float32)
    chex.assert_trees_all_close(batch[1], mu.sample(keys[1], 5, jnp.float32), rtol=1e-5)


def test_radius_unit_is_that_of_the_ball_of_unit_volume():
    # Volume πR² = 1 in the plane, 4πR³/3 = 1 in space.
    assert jd.radial.Measure(2).radius_unit == pytest.approx(2 * np.pi / np.pi**0.5)
    assert jd.radial.Measure(3).radius_unit == pytest.approx(
        2 * np.pi * (3 / (4 * np.pi)) ** (1 / 3)
    )


def test_concrete_answers_are_float64_whatever_the_setting(x32):
    answer = jd.radial.Measure(3).cdf(2.0)
    assert answer.dtype == np.float64
    with jax.enable_x64(True):
        assert float(jd.radial.Measure(3).cdf(2.0)) == float(answer)


def test_a_float32_trace_is_refused(x32):
    with pytest.raises(ValueError, match="needs float64"):
        jax.jit(jd.radial.Measure(3).cdf)(jnp.ones(2))


def test_values_out_of_range_are_refused():
    mu = jd.radial.Measure(2)
    with pytest.raises(ValueError, match="`z` must be non-negative"):
        mu.cdf(-1.0)
    with pytest.raises(ValueError, match="`q` must be a probability"):
        mu.icdf(1.5)
    with pytest.raises(ValueError, match="`dim` must be an integer, at least 1"):
        jd.radial.Measure(0)
    with pytest.raises(ValueError, match="`num` must be an integer"):
        mu.sample(jax.random.key(0), 0)
    for dtype in (jnp.bfloat16, jnp.float16, jnp.int32):
        with pytest.raises(ValueError, match="`dtype` must be float32 or float64"):
            mu.sample(jax.random.key(0), 2, dtype)
