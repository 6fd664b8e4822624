"""The l_p loss: exact values, the reach of the sufficient statistics, and the optimum."""

from fractions import Fraction

import chex
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxdepth.dynamics import LpRegression
from jaxdepth.networks import DeepLinear


def draw(n, d, p, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(n, d)), rng.normal(size=d)
    y = X @ w + noise * rng.normal(size=n)
    return LpRegression(jnp.asarray(X), jnp.asarray(y), p), X, y, w


@pytest.mark.parametrize("p", [2, 4, 6])
def test_the_loss_of_integers_is_the_exact_fraction(p):
    X, y, w = [[1, 2], [3, -1], [0, 2]], [1, 2, -1], [1, -1]
    residuals = [
        sum(a * b for a, b in zip(x, w, strict=True)) - t for x, t in zip(X, y, strict=True)
    ]
    exact = sum(Fraction(r) ** p for r in residuals) / p / len(y)
    problem = LpRegression(jnp.array(X, float), jnp.array(y, float), p)
    eps = float(jnp.finfo(problem.X.dtype).eps)
    np.testing.assert_allclose(problem.loss(jnp.array(w, float)), float(exact), rtol=32 * eps)


def test_every_form_of_the_weights_has_one_loss(x64):
    problem, _, _, w = draw(8, 3, 4)
    row = jnp.asarray(w)[None]
    net = DeepLinear.balanced_from(row, 3)
    chex.assert_trees_all_close(problem.loss(row), problem.loss(row[0]), rtol=1e-14)
    chex.assert_trees_all_close(problem.loss(net), problem.loss(row[0]), rtol=1e-12)


def test_a_quadratic_step_touches_no_sample():
    """p = 2: nothing of the sample count is left in the program of the loss and its gradient."""
    n, d = 977, 3
    problem, *_ = draw(n, d, 2)
    program = jax.make_jaxpr(lambda q, w: jax.value_and_grad(q.loss)(w))(problem, problem.X[0])
    touched = {size for e in program.eqns for v in e.invars for size in jnp.shape(v.aval)}
    assert n not in touched
    assert d in touched


def test_sufficient_statistics_lose_no_small_loss():
    """A realizable float32 fit: the normal equations would leave ε·‖y‖², squares leave ε²·‖y‖²."""
    rng = np.random.default_rng(0)
    X = jnp.asarray(rng.normal(size=(50, 3)), jnp.float32)
    w = jnp.array([100.0, -50.0, 25.0], jnp.float32)
    problem = LpRegression(X, X @ w, 2)
    start = float(problem.loss(jnp.zeros(3, jnp.float32)))
    assert float(problem.loss(w)) < 1e-11 * start


@pytest.mark.parametrize("p", [2, 4])
def test_the_loss_and_its_gradient_are_the_samples_mean(x64, p):
    problem, X, y, w = draw(20, 4, p)
    residual = X @ (w + 1) - y
    np.testing.assert_allclose(
        problem.loss(jnp.asarray(w + 1)), (residual**p).mean() / p, rtol=1e-13
    )
    np.testing.assert_allclose(
        jax.grad(problem.loss)(jnp.asarray(w + 1)),
        X.T @ residual ** (p - 1) / len(y),
        rtol=1e-11,
    )


@pytest.mark.parametrize("p", [2, 4, 6])
def test_the_gradient_vanishes_at_the_optimum(p):
    problem, X, y, _ = draw(30, 4, p)
    found = problem.optimum()
    X, y = np.asarray(problem.X, float), np.asarray(problem.y, float)  # as stored
    residual = X @ found.minimiser - y
    assert found.minimiser.dtype == np.float64
    assert isinstance(found.value, float)
    np.testing.assert_allclose(found.value, (residual**p).mean() / p, rtol=1e-14)
    # Newton stops when a step gains less than a rounding of the loss: the slope is √ε of its scale
    scale = (np.abs(X).T @ np.abs(residual) ** (p - 1)).max()
    assert np.abs(X.T @ residual ** (p - 1)).max() < 1e-6 * scale


def test_the_quartic_optimum_of_one_feature_is_the_root_of_a_cubic():
    x, y = [1.0, 2.0, -1.5], [1.0, 0.5, 2.0]
    with mpmath.workdps(30):
        root = mpmath.findroot(
            lambda w: sum(a * (a * w - b) ** 3 for a, b in zip(x, y, strict=True)), 0
        )
        value = sum((a * root - b) ** 4 for a, b in zip(x, y, strict=True)) / 12
    found = LpRegression(jnp.array(x)[:, None], jnp.array(y), 4).optimum()
    np.testing.assert_allclose(found.value, float(value), rtol=1e-14)
    np.testing.assert_allclose(found.minimiser, [float(root)], rtol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize("p", [100, 1100, 2000])
def test_the_optimum_of_a_large_power_is_the_closed_form(p):
    """X = 1, y = (1, −1, …, −1): (1−w)^{p−1} = 99(1+w)^{p−1}; from least squares, w = −.98, the
    loss falls by more than any float holds."""
    with mpmath.workdps(30):
        root = mpmath.mpf(99) ** (mpmath.mpf(1) / (p - 1))
        w = (1 - root) / (1 + root)
        value = ((1 - w) ** p + 99 * (1 + w) ** p) / (100 * p)
    y = jnp.concatenate([jnp.ones(1), -jnp.ones(99)])
    found = LpRegression(jnp.ones((100, 1)), y, p).optimum()
    # p·ε of the loss is rounding: √ε/p of w at its minimum.
    np.testing.assert_allclose(found.minimiser, [float(w)], rtol=0, atol=2e-8 / p**0.5)
    np.testing.assert_allclose(found.value, float(value), rtol=p * 1e-15)


def test_a_realizable_quartic_has_optimum_zero():
    problem, _, _, w = draw(12, 3, 4, noise=0.0)
    found = problem.optimum()
    assert found.value < 1e-25  # (ε‖y‖)⁴ and less; the stored samples may be rounded to float32
    np.testing.assert_allclose(found.minimiser, w, rtol=1e-5)


@pytest.mark.parametrize("p", [2, 4])
def test_a_repeated_column_leaves_the_optimum_where_it_is(x64, p):
    problem, X, y, _ = draw(15, 2, p)
    twice = LpRegression(jnp.asarray(X[:, [0, 1, 1]]), jnp.asarray(y), p)
    found, alone = twice.optimum(), problem.optimum()
    np.testing.assert_allclose(found.value, alone.value, rtol=1e-12)
    if p == 2:  # the shortest minimiser shares the weight evenly
        w = alone.minimiser
        np.testing.assert_allclose(found.minimiser, [w[0], w[1] / 2, w[1] / 2], rtol=1e-10)


@pytest.mark.parametrize("p", [2, 4])
def test_data_that_say_nothing_leave_the_weights_at_zero(p):
    found = LpRegression(jnp.zeros((3, 2)), jnp.ones(3), p).optimum()
    assert found.value == 1 / p
    np.testing.assert_array_equal(found.minimiser, [0, 0])


@pytest.mark.parametrize("scale", [1e-80, 1e80])
def test_the_minimiser_does_not_depend_on_the_unit(x64, scale):
    """At p = 6 the loss is 0 or infinite in these units, and the minimiser where it was."""
    problem, X, y, _ = draw(15, 3, 6)
    found = LpRegression(jnp.asarray(scale * X), jnp.asarray(scale * y), 6).optimum()
    np.testing.assert_allclose(found.minimiser, problem.optimum().minimiser, rtol=1e-6)


@pytest.mark.parametrize("p", [2, 4])
def test_half_precision_is_kept(p):
    X, y, w = (jnp.ones(shape, jnp.bfloat16) for shape in ((3, 2), 3, 2))
    loss = LpRegression(X, y, p).loss(w)
    chex.assert_type(loss, jnp.bfloat16)
    np.testing.assert_allclose(float(loss), 1 / p, rtol=0.02)


def test_fewer_samples_than_features_can_be_fitted(x64):
    problem, *_ = draw(2, 5, 2)
    assert problem.optimum().value < 1e-28
    chex.assert_shape(problem.optimum().minimiser, (5,))


def test_vmap_over_weights_equals_a_loop():
    problem, *_ = draw(6, 3, 4)
    W = jnp.stack([problem.X[0], problem.X[1]])
    eps = float(jnp.finfo(W.dtype).eps)
    chex.assert_trees_all_close(
        jax.vmap(problem.loss)(W), jnp.stack([problem.loss(w) for w in W]), rtol=64 * eps
    )


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"p": 3}, "`p` must be even; got 3. The loss of an odd power has no lower bound"),
        ({"p": 0}, "`p` must be an integer, at least 2"),
        ({"p": 2.0}, "`p` must be an integer"),
        ({"X": jnp.ones(3)}, "`X` must be samples of shape"),
        ({"X": jnp.ones((0, 2)), "y": jnp.ones(0)}, "`X` must be samples of shape"),
        ({"X": jnp.ones((3, 2), complex)}, "`X` must be real; got dtype"),
        ({"y": jnp.ones(3, complex)}, "`y` must be real; got dtype"),
        ({"y": jnp.ones(2)}, "`y` must be one target for each of the 3 samples"),
        ({"X": jnp.full((3, 2), jnp.nan)}, "`X` must be finite"),
        ({"y": jnp.array([1.0, jnp.inf, 1.0])}, "`y` must be finite"),
    ],
)
def test_bad_problems_are_refused(untyped, change, match):
    with pytest.raises(ValueError, match=match):
        LpRegression(**{"X": jnp.ones((3, 2)), "y": jnp.ones(3), "p": 4, **change})


def test_weights_of_another_shape_are_refused(untyped):
    problem = LpRegression(jnp.ones((3, 2)), jnp.ones(3), 2)
    for w in (jnp.ones(3), jnp.ones((2, 1)), jnp.array(1.0)):
        with pytest.raises(ValueError, match=r"`W` must be of shape \(2,\) or \(1, 2\)"):
            problem.loss(w)


def test_the_optimum_is_refused_under_a_transformation():
    problem = LpRegression(jnp.ones((3, 2)), jnp.ones(3), 2)
    with pytest.raises(ValueError, match="`problem` must be an LpRegression of concrete data"):
        jax.jit(lambda problem: problem.optimum().value)(problem)
