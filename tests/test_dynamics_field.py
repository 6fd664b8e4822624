"""Theorem 2: depth's field is no gradient, by its curl and by its integral along closed curves."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxdepth.dynamics import (
    ContourResult,
    LpRegression,
    circulation,
    constant_gradient_integral,
    contour_integral,
    curl,
    curl_one_output,
    end_to_end,
    field,
    paper_curve,
)


class Quadratic(eqx.Module):
    """L(w) = ⟨g, w⟩ + wᵀHw/2, so that every loss here shares its compilations."""

    g: jax.Array
    H: jax.Array

    def loss(self, W):
        w = W.ravel()
        return jnp.vdot(self.g, w) + jnp.vdot(w, self.H @ w) / 2


G = np.array([3.0, -4.0, 0.0])
SKEWED = np.array([[2.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 1.0]])
LOSSES = {"linear": 0 * SKEWED, "isotropic": 1.5 * np.eye(3), "generic": SKEWED}
W = np.array([0.5, 1.0, -0.7])


def quadratic(name):
    return Quadratic(jnp.asarray(G), jnp.asarray(LOSSES[name])).loss


@eqx.filter_jit
def integral(loss, N, r, R, toward):
    return contour_integral(loss, N, r, R, shape=3, toward=toward)


TOWARD = np.array([0.0, 1.0, 2.0])


@pytest.mark.once
def test_the_field_is_the_rule_at_the_gradient_in_any_shape():
    def loss(W):
        return (W**3).sum() / 3

    for shape in ((3,), (3, 1)):
        w = jnp.array([1.0, 2.0, -1.0]).reshape(shape)
        expected = end_to_end(w.reshape(1, 3), w.reshape(1, 3) ** 2, 3).reshape(shape)
        for N in (3, jnp.int32(3)):
            chex.assert_trees_all_close(field(w, loss, N), expected, rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_the_curl_is_its_closed_form(x64, name):
    for N in (1, 1.5, 2, 3, 50):
        closed = curl_one_output(jnp.asarray(W), quadratic(name), N)
        found = curl(jnp.asarray(W), quadratic(name), N)
        np.testing.assert_allclose(found, closed, atol=1e-12 * N)
        np.testing.assert_array_equal(found, -found.T)
        flat = N == 1 or (N == 2 and name != "generic")
        assert (float(jnp.abs(closed).max()) < 1e-13) == flat


def test_the_closed_form_is_theorem_twos_two_terms_in_fifty_digits(x64):
    with mpmath.workdps(50):
        w, H = mpmath.matrix(W.tolist()), mpmath.matrix(SKEWED.tolist())
        g, Hw = mpmath.matrix(G.tolist()) + H * w, H * w
        N = mpmath.mpf(3)
        size = mpmath.norm(w) ** (-2 / N)
        wedge = [
            -(N - 1) * (N - 2) / N * size * (w * g.T - g * w.T),
            (N - 1) * size * (Hw * w.T - w * Hw.T),
        ]
        expected = np.array((wedge[0] + wedge[1]).tolist(), float)
    found = curl_one_output(jnp.asarray(W), quadratic("generic"), 3)
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_the_curl_of_several_outputs_is_that_of_finite_differences(x64):
    rng = np.random.default_rng(0)
    H = rng.normal(size=(6, 6))
    loss = Quadratic(jnp.asarray(rng.normal(size=6)), jnp.asarray(H + H.T)).loss
    W, h = rng.normal(size=(2, 3)), 1e-5
    along = jax.jit(jax.vmap(lambda w: field(w.reshape(2, 3), loss, 3.0).ravel()))
    steps = h * np.eye(6)
    slopes = (along(W.ravel() + steps) - along(W.ravel() - steps)) / (2 * h)
    np.testing.assert_allclose(curl(jnp.asarray(W), loss, 3.0), slopes - slopes.T, atol=1e-7)


def test_theorem_two_is_of_one_output(x64):
    """Diagonal matrices along a trace move each entry by itself; N = 2 curls for a linear loss."""
    toward = jnp.diag(jnp.array([1.0, -1.0]))
    answer = contour_integral(jnp.trace, 3, 0.05, 0.1, shape=(2, 2), toward=toward)
    assert abs(float(answer.value)) < float(answer.error) < 1e-4
    assert bool(answer.result == ContourResult.undecided)
    C, W = jnp.array([[1.0, 2.0], [-0.5, 0.3]]), jnp.array([[2.0, 0.3], [0.1, 1.0]])
    np.testing.assert_allclose(jnp.abs(curl(W, lambda W: (C * W).sum(), 2)).max(), 1.61, atol=0.01)


@pytest.mark.once
def test_the_paper_curve_has_the_dtype_of_its_directions_and_checks_them(untyped):
    e, second = jnp.array([1, 0]), jnp.array([0, 1])
    ends = [float(piece(jnp.array(0.0))[0]) for piece in paper_curve(e, second, 0.5, 1.5)]
    np.testing.assert_array_equal(ends, [-1.5, -0.5, 0.5, 1.5])
    with jax.enable_x64(True):
        single = paper_curve(e.astype(jnp.float32), second.astype(jnp.float32), 0.5, 1.5)
        chex.assert_type(circulation(lambda w: w[0], 4, single, order=4).value, jnp.float32)
    for change, match in (
        ({"e": 2 * e}, "`e` must be of norm 1"),
        ({"toward": e}, "`toward` must be of norm 1 and orthogonal to e"),
        ({"toward": jnp.ones(3)}, r"`toward` must be of e's shape \(2,\)"),
        ({"r": 2.0}, "`R` must be larger than r=2.0"),
        ({"r": -0.5}, "`r` must be positive"),
    ):
        with pytest.raises(ValueError, match=match):
            paper_curve(**{"e": e, "toward": second, "r": 0.5, "R": 1.5, **change})


@pytest.mark.once
def test_the_smallest_and_largest_numbers_are_neither_lost_nor_refused():
    """1e-25 and 1e25 have no square in float32, and 1e-30 no power −4/3."""
    for size in (1e-25, 1e25):
        answer = contour_integral(lambda w, size=size: size * w[0], 4, 0.5, 1.0, shape=2)
        expected = constant_gradient_integral(size, 4, 0.5, 1.0)
        np.testing.assert_allclose(answer.value, expected, rtol=1e-5)
    found = curl_one_output(jnp.array([1e-30, 0.0]), lambda w: w[1], 1.5)[0, 1]
    np.testing.assert_allclose(found, 1e10 / 6, rtol=1e-4)


@pytest.mark.once
def test_the_origin_has_no_curl_whatever_the_depth():
    for N in (1, 1.5, 2, 3):
        np.testing.assert_array_equal(curl_one_output(jnp.zeros(3), quadratic("generic"), N), 0)
    np.testing.assert_array_equal(curl(jnp.zeros(3), quadratic("generic"), 3), 0)


@pytest.mark.parametrize("N", [1.0, 1.5, 2.0, 3.0, 10.0])
def test_a_constant_gradient_has_the_closed_form(x64, N):
    """Whatever the plane, by quadrature; and by hand, piece by piece."""
    r, R = 0.01, 2.0
    answer = integral(quadratic("linear"), N, r, R, TOWARD)
    expected = constant_gradient_integral(5.0, N, r, R)
    assert abs(answer.value - expected) <= answer.error < 1e-10 * (1 + R**3)
    q = 3 - 2 / N
    axis, half = N * 5 * (R**q - r**q) / q, 2 * 5 * np.array([r, R]) ** q
    np.testing.assert_allclose(answer.pieces, [axis, half[0], axis, -half[1]], rtol=1e-12)
    assert bool(answer.trusted)
    verdict = ContourResult.undecided if N in (1, 2) else ContourResult.not_a_gradient
    assert bool(answer.result == verdict)


@pytest.mark.parametrize("N", [2.0, 3.0])
@pytest.mark.parametrize("name", LOSSES)
def test_every_quadratic_loss_has_the_integral_of_its_linear_part(x64, name, N):
    """The Hessian's share of the curl turns twice on a half circle, and adds up to nothing."""
    answer = integral(quadratic(name), N, 0.1, 0.5, TOWARD)
    assert abs(answer.value - constant_gradient_integral(5.0, N, 0.1, 0.5)) <= answer.error
    assert bool(answer.trusted)


@pytest.mark.parametrize("name", LOSSES)
def test_two_layers_are_conservative_for_isotropic_losses_and_not_in_general(x64, name):
    """N = 2, where Theorem 2 is silent: a quarter turn sees what its half circles cancel."""
    e, second = jnp.eye(3)[:2]

    def ray(start, end, along):
        return lambda t: (start + (end - start) * t) * along

    def turn(radius, angle, size):
        def at(t):
            phi = angle + size * t
            return radius * (jnp.cos(phi) * e + jnp.sin(phi) * second)

        return at

    quarter = jnp.pi / 2
    curve = [ray(0.1, 1, e), turn(1, 0, quarter), ray(1, 0.1, second), turn(0.1, quarter, -quarter)]
    answer = circulation(quadratic(name), 2, curve, order=24)
    gradient = ContourResult.undecided, ContourResult.not_a_gradient
    assert bool(answer.result == gradient[name == "generic"])
    if name == "generic":  # Stokes: ∫∫ ‖w‖^{−1}(Hw∧w)₁₂ = (h₁₁ − h₂₂)·½·(R³ − r³)/3
        np.testing.assert_allclose(answer.value, -0.5 * (1 - 0.1**3) / 3, rtol=1e-12)


def test_the_integral_is_the_flux_of_the_curl(x64):
    """Stokes: over the half annulus of the upper half plane, by its own quadrature."""
    r, R, N = 0.3, 1.0, 3.0
    loss = quadratic("generic")
    e = G / 5
    second = np.array([0.0, 0.0, 1.0])
    found = integral(loss, N, r, R, second)
    x, weights = np.polynomial.legendre.leggauss(24)
    radius, angle = r + (R - r) * (1 + x) / 2, np.pi * (1 + x) / 2
    rho, phi = (each.ravel() for each in np.meshgrid(radius, angle))
    points = np.outer(rho * np.cos(phi), e) + np.outer(rho * np.sin(phi), second)
    curls = jax.vmap(lambda w: curl_one_output(w, loss, N))(jnp.asarray(points))
    density = np.einsum("i,pij,j->p", e, np.asarray(curls), second) * rho
    area = np.outer(weights, weights).ravel() * (R - r) / 2 * np.pi / 2
    np.testing.assert_allclose(found.value, (density * area).sum(), rtol=1e-12)


def test_the_integral_of_an_lp_loss_starts_as_that_of_its_gradient_at_zero(x64):
    """Its order is R^{3−2/N}; the next is R² times it, for the Hessian has no share."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(9, 3)), rng.normal(size=9)

    @jax.jit
    @jax.vmap
    @jax.value_and_grad
    def value(R):
        problem = LpRegression(jnp.asarray(X), jnp.asarray(y), 4)
        return contour_integral(problem.loss, 4.0, R / 10, R, shape=3).value

    sizes = 2.0 ** -np.arange(5, 9)
    values, slopes = value(jnp.asarray(sizes))
    size = float(np.linalg.norm(X.T @ y**3) / 9)
    leading = [constant_gradient_integral(size, 4.0, R / 10, R) for R in sizes]
    off = np.asarray(values) / leading - 1
    np.testing.assert_allclose(off[:-1] / off[1:], 4, rtol=0.1)
    np.testing.assert_allclose(slopes * sizes / values, 3 - 2 / 4, atol=4 * np.abs(off).max())


def test_two_layers_are_not_conservative_for_an_l4_loss(x64):
    rng = np.random.default_rng(0)
    problem = LpRegression(jnp.asarray(rng.normal(size=(9, 3))), jnp.asarray(rng.normal(size=9)), 4)
    verdicts = {1: ContourResult.undecided, 2: ContourResult.not_a_gradient}
    for N, verdict in verdicts.items():
        assert bool(integral(problem.loss, float(N), 0.1, 0.5, TOWARD).result == verdict)


def test_a_curve_of_the_callers_own_may_be_any_closed_one(x64):
    e, second = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])

    def circle(t):  # about (0, 3), which leaves 0 outside
        return jnp.stack([jnp.cos(2 * jnp.pi * t), 3 + jnp.sin(2 * jnp.pi * t)])

    answer = circulation(lambda w: w[0], 2, [circle])
    assert bool(answer.result == ContourResult.undecided)
    curve = paper_curve(e, second, 0.5, 1.0)
    backwards = [lambda t, piece=piece: piece(1 - t) for piece in curve[::-1]]
    found = circulation(lambda w: w[0], 3, backwards, order=24)
    np.testing.assert_allclose(found.value, -constant_gradient_integral(1.0, 3, 0.5, 1.0))


def test_a_kink_on_the_way_shows_in_the_error(x64):
    """A circle through 0 at N = 3/2: the error says more than the distance to twice the order."""

    def circle(t):
        return jnp.stack([jnp.sin(2 * jnp.pi * t), 1 + jnp.cos(2 * jnp.pi * t)])

    rough = circulation(lambda w: w[0], 1.5, [circle], order=8)
    fine = circulation(lambda w: w[0], 1.5, [circle], order=64)
    assert abs(rough.value - fine.value) < rough.error


@pytest.mark.once
@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"r": 0.0}, "`r` must be positive"),
        ({"R": 0.5}, "`R` must be larger than r=0.5"),
        ({"R": float("inf")}, "`R` must be finite"),
        ({"depth": 0.9}, "`depth` must be a number, at least 1"),
        ({"shape": 1}, r"`shape` must be d or \(m, n\), two entries at least"),
        ({"shape": (2, 0)}, "`shape` must be an integer, at least 1"),
        ({"loss": lambda w: (w**2).sum()}, "`loss` must be of gradient different from 0 at W = 0"),
        ({"loss": lambda w: w}, "`loss` must be a function of W to a real scalar"),
        ({"loss": 3}, "`loss` must be a callable of W"),
        ({"toward": jnp.array([2.0, 2.0])}, "`toward` must be not parallel to the gradient"),
        ({"toward": jnp.ones(3)}, r"`toward` must be of W's shape \(2,\)"),
        ({"order": 3}, "`order` must be an integer, at least 4"),
    ],
)
def test_contours_outside_the_theorem_are_refused(untyped, change, match):
    arguments = {"loss": lambda w: w.sum(), "depth": 3, "r": 0.5, "R": 1.0, "shape": 2}
    with pytest.raises(ValueError, match=match):
        contour_integral(**{**arguments, **change})


@pytest.mark.once
def test_other_bad_arguments_are_refused(untyped):
    with pytest.raises(ValueError, match="`curve` must be closed; got 'a jump from"):
        circulation(lambda w: w.sum(), 3, [lambda t: jnp.stack([t, t])])
    with pytest.raises(ValueError, match="`curve` must be callables of t, one at least"):
        circulation(lambda w: w.sum(), 3, [])
    with pytest.raises(ValueError, match="`curve` must be of points of one shape"):
        circulation(lambda w: w.sum(), 3, [lambda t: t])
    with pytest.raises(ValueError, match="`W` must be a non-empty vector or matrix"):
        field(jnp.ones((2, 2, 2)), jnp.sum, 3)
    with pytest.raises(ValueError, match="`W` must be finite"):
        curl(jnp.array([jnp.nan, 1.0]), jnp.sum, 3)
    with pytest.raises(ValueError, match="`w` must be a vector, one row or one column"):
        curl_one_output(jnp.ones((2, 2)), jnp.sum, 3)
    with pytest.raises(ValueError, match="`gradient_norm` must be at least 0"):
        constant_gradient_integral(-1.0, 3, 0.5, 1.0)
