"""`bessel_pair` against mpmath, and its derivatives against Bessel's equation."""

import chex
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import jaxdepth as jd

ORDERS = (0, 0.5, 1, 1.5, 2, 2.5, 5, 15.5, 50, 500)


def points(nu):
    """Small, turning and large arguments, with both branches' common border among them."""
    turn = max(nu, 30)
    return np.concatenate(
        [
            np.geomspace(0.02 * max(nu, 1), 1.2 * turn, 9),
            turn * np.array([0.999, 1.0, 1.001]),
            np.geomspace(1.3 * turn, 1e5, 6),
        ]
    )


def truth(nu, z):
    with mpmath.workdps(30):
        return np.array([float(mpmath.besselj(nu, mpmath.mpf(float(x)))) for x in z])


def envelope(nu, z, exact):
    """What an error is relative to: |J_ν| where z < |ν|, from there on no less than √(2/πz)."""
    return np.where(z < abs(nu), abs(exact), np.maximum(abs(exact), np.sqrt(2 / (np.pi * z))))


@pytest.mark.parametrize("nu", ORDERS)
def test_both_orders_are_right_to_a_hundred_roundings(nu, x64):
    z = points(nu)
    pair = jd.radial.bessel_pair(nu, z)
    chex.assert_type(pair, jnp.float64)
    for degree, got in zip((nu, nu - 1), pair, strict=True):
        exact = truth(degree, z)
        assert (abs(got - exact) <= 2e-14 * envelope(degree, z, exact) + 1e-300).all()
        # The rounding model of `certify` has 2^-46 in absolute terms; J_{−½} is unbounded.
        assert (abs(got - exact) <= 2.0**-46 * np.where(degree == -0.5, abs(exact), 1)).all()


@pytest.mark.slow
@pytest.mark.parametrize("dim", [1, 2, 3, 4, 10, 59, 60, 61, 100, 301, 600, 999, 1000])
def test_both_orders_are_right_at_random_points(dim, x64):
    nu, rng = dim / 2, np.random.default_rng(dim)
    z = nu * np.exp(rng.uniform(np.log(0.02), np.log(40), 300))
    for degree, got in zip((nu, nu - 1), jd.radial.bessel_pair(nu, z), strict=True):
        exact = truth(degree, z)
        assert (abs(got - exact) <= 1e-14 * envelope(degree, z, exact) + 1e-300).all()


@pytest.mark.once
def test_what_no_float_can_hold_is_zero():
    order, below = jd.radial.bessel_pair(500, np.array([0.0, 1e-12, 0.5, 10.0]))  # J = 1e-785
    np.testing.assert_array_equal([order, below], 0)


@pytest.mark.parametrize("nu", [0.5, 2, 15.5])
def test_float32_arguments_give_float32_values(nu):
    z = points(nu).astype(np.float32)[:-3]
    order, below = jd.radial.bessel_pair(nu, z)
    chex.assert_type([order, below], jnp.float32)
    np.testing.assert_allclose(order, truth(nu, z), rtol=0, atol=2e-6)  # ~20 roundings of 2^-24


@pytest.mark.parametrize("nu", [0, 1, 1.5, 2, 2.5, 3])
def test_values_at_zero_are_the_limits(nu):
    order, below = jd.radial.bessel_pair(nu, jnp.zeros(()))
    eps = float(jnp.finfo(order.dtype).eps)
    assert float(order) == pytest.approx(1.0 if nu == 0 else 0.0, abs=eps)
    assert float(below) == pytest.approx(1.0 if nu == 1 else 0.0, abs=eps)


@pytest.mark.parametrize("nu", [0, 1, 1.5, 2, 3])
def test_both_derivatives_near_zero_are_those_of_the_series(nu, x64):
    # At 0, and where 1/z² would overflow or cancel: (z/2)^ν/Γ(ν+1)·(1 − …), term by term.
    def series(order, z, derivative):
        if order < 0:
            return -series(1, z, derivative)  # J_{−1}
        first = mpmath.mpf(0.5) ** order / mpmath.gamma(order + 1)
        power = order - derivative
        falling = mpmath.ff(order, derivative)
        second = -first / (4 * (order + 1)) * mpmath.ff(order + 2, derivative)
        total = second * mpmath.mpf(z) ** (power + 2)
        return float(total + (first * falling * mpmath.mpf(z) ** power if falling else 0))

    pair = lambda z: jd.radial.bessel_pair(nu, z)  # noqa: E731
    derivatives = jax.jit(lambda z: (jax.jacfwd(pair)(z), jax.jacfwd(jax.jacfwd(pair))(z)))
    for z in (0.0, 1e-200, 1e-12):
        for derivative, (order, below) in enumerate(derivatives(z), start=1):
            for got, degree in ((order, nu), (below, nu - 1)):
                if z == 0 and degree not in (-1, 0, 1, 2, 3) and degree < derivative:
                    assert np.isinf(got)
                else:
                    expected = series(degree, z, derivative)
                    assert float(got) == pytest.approx(expected, rel=1e-12, abs=1e-11)


def test_derivatives_satisfy_bessels_equation_in_both_modes(x64):
    nu, z = 2.5, jnp.array([0.3, 2.0, 29.0, 31.0, 400.0])
    j = lambda x: jd.radial.bessel_pair(nu, x)[0]  # noqa: E731
    first = jax.vmap(jax.grad(j))(z)
    second = jax.vmap(jax.grad(jax.grad(j)))(z)
    residual = z**2 * second + z * first + (z**2 - nu**2) * j(z)
    # Every term is of the size z²·J: rounding of J (1e-15) times z².
    np.testing.assert_allclose(residual / (1 + z**2), 0, atol=1e-13)
    forward = jax.vmap(jax.jacfwd(j))(z)
    np.testing.assert_allclose(forward, first, rtol=1e-14)


def test_one_compilation_serves_all_points_and_vmap_equals_the_array(x64):
    chex.clear_trace_counter()
    pair = jax.jit(chex.assert_max_traces(lambda z: jd.radial.bessel_pair(3, z), n=1))
    for shift in (0.0, 1.0):
        pair(jnp.linspace(0.0, 50.0, 7) + shift)
    z = jnp.linspace(0.0, 50.0, 7)
    chex.assert_trees_all_close(
        jax.vmap(lambda x: jd.radial.bessel_pair(3, x))(z), pair(z), atol=1e-16
    )


@pytest.mark.parametrize("nu", [-0.5, 0.3, float("nan"), float("inf"), 1e300, True, "1", None])
def test_orders_that_are_no_multiple_of_one_half_are_refused(nu, untyped):
    with pytest.raises(ValueError, match="`nu` must be a non-negative multiple of 1/2"):
        jd.radial.bessel_pair(nu, jnp.ones(()))


@pytest.mark.parametrize("z", [-1.0, float("nan"), 1j, "1", None])
def test_points_off_the_half_line_are_refused(z, untyped):
    with pytest.raises(ValueError, match="`z` must be non-negative"):
        jd.radial.bessel_pair(1, np.asarray(z))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_refused(dtype):
    with pytest.raises(ValueError, match="`z` must be float32 or float64"):
        jd.radial.bessel_pair(1, jnp.ones((), dtype))
