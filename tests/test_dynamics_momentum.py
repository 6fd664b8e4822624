"""Depth two with a scalar layer as momentum: replayed against descent on (w₁, ω) itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdepth.dynamics import LpRegression, end_to_end, momentum_form

ETA, STEPS = 0.02, 25


def replay():
    """Descend on (w₁, ω) by autodiff alone; return the start, every gradient, w and ω."""
    rng = np.random.default_rng(0)
    problem = LpRegression(jnp.asarray(rng.normal(size=(9, 3))), jnp.asarray(rng.normal(size=9)), 4)
    w1, omega = jnp.asarray(0.3 * rng.normal(size=3)), jnp.asarray(0.8)
    slope = jax.jit(jax.grad(lambda w1, omega: problem.loss(omega * w1), (0, 1)))
    outer = jax.jit(jax.grad(problem.loss))
    path, gradients = [(w1, omega)], []
    for _ in range(STEPS):
        gradients.append(outer(omega * w1))
        dw, domega = slope(w1, omega)
        w1, omega = w1 - ETA * dw, omega - ETA * domega
        path.append((w1, omega))
    w = np.array([omega * w1 for w1, omega in path])
    return w, np.array([omega for _, omega in path]), np.array(gradients)


@pytest.fixture
def run(x64):
    w, omega, gradients = replay()
    return (
        w,
        omega,
        gradients,
        momentum_form(jnp.asarray(w[0]), float(omega[0]), jnp.asarray(gradients), ETA),
    )


def test_the_form_replays_descent_on_both_layers_to_rounding(run):
    w, omega, _, form = run
    np.testing.assert_allclose(form.w, w, atol=1e-14)
    np.testing.assert_allclose(form.omega, omega, rtol=1e-14)


def test_each_step_is_an_adaptive_rate_and_a_shrinkage(run):
    w, _, gradients, form = run
    rho, gamma = np.asarray(form.rho)[:, None], np.asarray(form.gamma)[:, None]
    np.testing.assert_allclose(w[1:], w[:-1] - rho * gradients - gamma * w[:-1], atol=1e-14)


def test_the_shrinkage_is_a_momentum_of_all_past_gradients_and_the_start(run):
    w, _, gradients, form = run
    past = np.asarray(form.mu) @ gradients + np.asarray(form.initial)[:, None] * w[0]
    np.testing.assert_allclose(past, np.asarray(form.gamma)[:, None] * w[:-1], atol=1e-14)


def test_the_coefficients_are_the_products_of_the_unrolled_recursion(run):
    """μ(t,τ) = −γ_t ρ_τ Π_{τ<s<t}(1−γ_s), multiplied out as the paper writes it."""
    *_, form = run
    rho, gamma = np.asarray(form.rho), np.asarray(form.gamma)
    products = np.zeros((STEPS, STEPS))
    for t in range(STEPS):
        for tau in range(t):
            products[t, tau] = -gamma[t] * rho[tau] * np.prod(1 - gamma[tau + 1 : t])
    np.testing.assert_allclose(form.mu, products, atol=1e-15)
    initial = gamma * np.array([np.prod(1 - gamma[:t]) for t in range(STEPS)])
    np.testing.assert_allclose(form.initial, initial, atol=1e-15)


def test_the_papers_rate_is_off_by_second_order_in_the_learning_rate(x64):
    w, gradient = jnp.array([0.5, -1.0]), jnp.array([[2.0, 1.0]])
    gaps = []
    for eta in (0.1, 0.05):
        form = momentum_form(w, 0.5, gradient, eta)
        gaps.append(float(form.rho_paper[0] - form.rho[0]))
    # ηω² − ηω(ω − η∇_ω) = η²ω∇_ω = η²⟨w, ∇⟩, which is 0 here by orthogonality
    np.testing.assert_allclose(gaps, [0, 0], atol=1e-17)
    skew = [momentum_form(w, 0.5, gradient[:, ::-1], eta) for eta in (0.1, 0.05)]
    gaps = [float(form.rho_paper[0] - form.rho[0]) for form in skew]
    np.testing.assert_allclose(gaps, [0.1**2 * -1.5, 0.05**2 * -1.5], rtol=1e-12)


def test_the_form_keeps_the_dtype_and_maps_over_rates():
    w, gradients = jnp.array([1.0, 2.0]), jnp.ones((3, 2))
    rates = jnp.array([0.1, 0.2])
    batched = jax.vmap(lambda eta: momentum_form(w, 1.0, gradients, eta).w)(rates)
    loop = jnp.stack([momentum_form(w, 1.0, gradients, eta).w for eta in rates])
    assert batched.dtype == w.dtype
    np.testing.assert_allclose(batched, loop, rtol=1e-6)


def test_numpy_arrays_of_64_bits_are_taken_with_64_bit_off(x32, untyped):
    """Silently, as JAX takes them; in the tests a warning is an error."""
    W, row = np.ones((3, 2)), np.ones(2)
    for found in (
        momentum_form(row, 1.0, W, 0.1).w,
        end_to_end(W, W, 2),
        LpRegression(W, np.ones(3), 2).loss(row),
    ):
        assert found.dtype == jnp.float32


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"w": jnp.ones((1, 2))}, "`w` must be a vector"),
        ({"w": jnp.ones(2, complex)}, "`w` must be real; got dtype"),
        ({"omega": 0.0}, "`omega` must be different from 0"),
        ({"omega": float("inf")}, "`omega` must be finite"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be finite"),
        ({"gradients": jnp.ones((3, 4))}, r"`gradients` must be of shape \(steps, 2\)"),
        ({"gradients": jnp.ones((0, 2))}, r"`gradients` must be of shape \(steps, 2\)"),
        ({"gradients": jnp.full((3, 2), jnp.nan)}, "`gradients` must be finite"),
    ],
)
def test_bad_arguments_are_refused(untyped, change, match):
    arguments = {
        "w": jnp.ones(2),
        "omega": 1.0,
        "gradients": jnp.ones((3, 2)),
        "learning_rate": 0.1,
    }
    with pytest.raises(ValueError, match=match):
        momentum_form(**{**arguments, **change})
