"""The sharpness against dense spectra, and a monitor that speaks before a run diverges."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdepth.dynamics import (
    Dense,
    DescentResult,
    InstabilityWarning,
    Lanczos,
    SharpnessResult,
    Stability,
    descend,
    end_to_end_sgd,
    sharpness,
)
from jaxdepth.networks import DeepLinear


class Quadratic(eqx.Module):
    """L(W) = ⟨W − M, H(W − M)⟩/2 for a matrix or for layers of it; H acts on its entries."""

    H: jax.Array
    M: jax.Array

    def loss(self, W):
        W = W.end_to_end() if isinstance(W, DeepLinear) else W
        distance = (W - self.M).ravel()
        return distance @ self.H @ distance / 2


def symmetric(values, seed=0):
    Q = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values),) * 2))[0]
    return (Q * np.asarray(values)) @ Q.T


def quadratic(shape, distance=1.0):
    """A loss whose minimum is `distance` away, and where from."""
    rng = np.random.default_rng(1)
    W, D = rng.normal(size=shape), rng.normal(size=shape)
    H = symmetric(np.linspace(0.5, 3.0, W.size))
    return Quadratic(jnp.asarray(H), jnp.asarray(W + distance * D)), jnp.asarray(W)


# ---- The number ----


def test_of_a_quadratic_it_is_the_largest_eigenvalue(x64):
    spectra = np.array([[1.0, 2, 7, 7], [-9, -1, 0.5, 2.5], [-3, -2, -1, -0.5], [0, 0, 0, 0]])
    H = jnp.stack([jnp.asarray(symmetric(values)) for values in spectra])
    for method in (None, Lanczos(4, key=jax.random.key(1))):

        @jax.jit
        @jax.vmap
        def found(H, method=method):
            problem = Quadratic(H, jnp.zeros(4))
            return sharpness(jnp.ones(4), problem.loss, 0.1, method=method)

        answer = found(H)
        np.testing.assert_allclose(answer.value, 0.1 * spectra.max(axis=1), rtol=1e-12)
        assert bool((answer.result == SharpnessResult.exact).all())
        assert bool(answer.trusted.all())
        chex.assert_trees_all_equal(answer.upper, answer.value)


@pytest.mark.parametrize(
    ("shape", "N"),
    [
        ((2, 3), 3),
        pytest.param((2, 3), 1, marks=pytest.mark.slow),
        pytest.param((3, 2), 2, marks=pytest.mark.slow),
        pytest.param((1, 4), 5, marks=pytest.mark.slow),
    ],
)
def test_of_the_rule_it_is_that_of_the_layers_gauss_newton_part(x64, shape, N):
    """JJᵀ = P_W for balanced layers, so that JᵀHJ and P^{1/2}HP^{1/2} share their eigenvalues."""
    problem, W = quadratic(shape)
    layers = DeepLinear.balanced_from(W, N)
    parts = jax.tree.leaves(jax.jacfwd(lambda net: net.end_to_end())(layers))
    J = np.concatenate([np.reshape(part, (W.size, -1)) for part in parts], axis=1)
    expected = np.linalg.eigvalsh(J.T @ np.asarray(problem.H) @ J)[-1]
    np.testing.assert_allclose(sharpness(W, problem.loss, depth=N).value, expected, rtol=1e-12)


def test_at_a_minimum_it_is_that_of_the_layers_and_elsewhere_within_the_gradient(x64):
    differences = []
    for distance in (0.0, 1e-3, 5e-4):
        problem, W = quadratic((2, 3), distance)
        of_layers = sharpness(DeepLinear.balanced_from(W, 3), problem.loss).value
        differences.append(float(abs(of_layers - sharpness(W, problem.loss, depth=3).value)))
    assert differences[0] < 1e-12
    np.testing.assert_allclose(differences[1] / differences[2], 2, rtol=0.01)  # first order


def test_other_leaves_are_left_alone_by_the_rule(x64):
    def loss(model):
        return 2.0 * (model["W"] ** 2).sum() + 7.5 * (model["b"] ** 2).sum()

    model = {"W": jnp.array([[0.5, 0.0]]), "b": jnp.ones(2)}  # P has eigenvalues 1 and ½
    np.testing.assert_allclose(sharpness(model, loss, depth=2).value, 15.0, rtol=1e-12)


# 400 eigenvalues crowding towards the largest, 1: what Lanczos finds hardest.
CROWDED = tuple((1 - np.linspace(0, 1, 400) ** 4).tolist())


def test_lanczos_is_a_lower_bound_and_its_upper_holds(x64):
    """At every one of 64 keys, for a space too small to find λ_max = 1."""
    problem = Quadratic(jnp.diag(jnp.array(CROWDED)), jnp.zeros(400))

    @jax.jit
    @jax.vmap
    def found(key):
        return sharpness(jnp.ones(400), problem.loss, method=Lanczos(16, key=key))

    answer = found(jax.random.split(jax.random.key(0), 64))
    assert bool((answer.value < 1).all())
    assert bool((answer.value > 0.97).all())
    assert bool((answer.upper > 1).all())
    assert bool((answer.upper < 1.25).all())
    assert not answer.trusted.any()
    assert bool((answer.result == SharpnessResult.lower_bound).all())


@pytest.mark.once
def test_above_256_parameters_the_answer_says_that_it_is_a_lower_bound():
    crowded = jnp.array(CROWDED, jnp.float32)
    found = sharpness(jnp.ones(400), lambda w: (crowded * w**2).sum() / 2)
    assert found.result == SharpnessResult.lower_bound
    assert 0.99 < float(found.value) < 1 < float(found.upper) < 1.1


@pytest.mark.once
def test_fewer_products_than_parameters_prove_nothing():
    """Where the space is used up: by 6, the one eigenvalue, or by 1 and 1.0005, rarely met."""
    key = jax.random.key(0)
    spectra = [([6.0] * 9, 4), ([1.0005] + 999 * [1.0], 32), (range(1, 301), 1)]
    for H, k in spectra:
        H = jnp.asarray(np.array(H, np.float32))
        found = sharpness(
            jnp.ones(H.size), lambda w, H=H: (H * w**2).sum() / 2, method=Lanczos(k, key=key)
        )
        assert found.result == SharpnessResult.lower_bound
        assert not found.trusted
        assert float(found.value) < float(H.max()) * (1 + 1e-6) < float(found.upper)
        if k > 1:
            np.testing.assert_allclose(found.value, H.max(), rtol=1e-6)
            assert float(found.upper) < 1.1 * float(H.max())
        else:
            assert found.upper == jnp.inf


@pytest.mark.parametrize(
    "method",
    [Dense(), pytest.param(Lanczos(6, key=jax.random.key(0)), marks=pytest.mark.slow)],
    ids=["dense", "lanczos"],
)
def test_its_gradient_is_that_of_the_eigenvalue(x64, method):
    """At the identity too, where singular vectors have no derivative."""
    problem, W = quadratic((2, 2))
    direction = jnp.array([[0.3, -1.0], [0.7, 0.2]])

    def along(t, base, N):
        def loss(W):  # a Hessian that moves with W
            return problem.loss(W) + (W**4).sum() / 4

        return sharpness(base + t * direction, loss, 0.5, depth=N, method=method).value

    both = jax.jit(jax.value_and_grad(along))
    for base in (W, jnp.eye(2)):
        for N in (jnp.array(1.0), jnp.array(3.0)):
            h = 1e-3
            a, b, c, d = (both(k * h, base, N)[0] for k in (-2.0, -1.0, 1.0, 2.0))
            expected = (a - 8 * b + 8 * c - d) / (12 * h)
            np.testing.assert_allclose(both(0.0, base, N)[1], expected, rtol=1e-7)


def bowl(w):
    return (w**2).sum() / 2


@pytest.mark.once
def test_depths_and_rates_are_traced_and_mapped():
    """H = I leaves the largest eigenvalue of P, N‖w‖^{2−2/N}."""
    w, depths, rates = jnp.array([[3.0, 4.0]]), np.array([1.0, 2.0, 3.5]), np.array([0.1, 0.2, 0.3])

    def found(depth, rate):
        return sharpness(w, bowl, rate, depth=depth).value

    batched = jax.jit(jax.vmap(found))(jnp.asarray(depths), jnp.asarray(rates))
    np.testing.assert_allclose(batched, rates * depths * 5 ** (2 - 2 / depths), rtol=1e-5)


@pytest.mark.once
def test_half_precision_is_computed_in_float32():
    found = sharpness(jnp.ones((1, 2), jnp.bfloat16), lambda w: (w**2).sum(), depth=2)
    chex.assert_type(found.value, jnp.float32)
    np.testing.assert_allclose(found.value, 2 * 2 * np.sqrt(2), rtol=1e-2)


@pytest.mark.once
def test_a_hessian_that_is_not_finite_is_told():
    found = sharpness(jnp.zeros(2), lambda w: jnp.sqrt(jnp.abs(w)).sum())
    assert found.result == SharpnessResult.not_finite
    assert not found.trusted


# ---- What it is for ----


@pytest.mark.parametrize("N", [1, 2])
def test_descent_turns_from_converging_to_diverging_at_two(x64, N):
    problem, W = quadratic((2, 2), 0.0)
    rate = 2 / float(sharpness(W, problem.loss, depth=N).value)
    start = W + 1e-6 * jnp.array([[1.0, 2.0], [-1.0, 0.5]])

    @jax.jit
    def growth(share):
        settings = {"learning_rate": share * rate, "depth": float(N)}
        run = descend(start, problem.loss, end_to_end_sgd, 400, hyperparameters=settings)
        return run.losses[-1] / run.losses[-101]

    assert float(growth(0.98)) < 0.2
    assert float(growth(1.02)) > 5


class Slope(eqx.Module):
    """L(w) = w⁴/4, of curvature 3w²."""

    def loss(self, w):
        return (w**4).sum() / 4


@pytest.mark.once
def test_a_run_that_will_diverge_is_warned_of_while_its_loss_is_finite():
    with pytest.warns(InstabilityWarning, match=r"unstable from step 0 on.*is 7\.5, 2 or more"):
        run = descend(jnp.array([5.0]), Slope().loss, optax.sgd(0.1), 40, monitor=Stability(0.1))
    assert run.result == DescentResult.diverged
    first = int(np.argmin(np.isfinite(run.losses)))
    assert 0 <= int(run.unstable_from) < first


def heavy_ball(rate, momentum=0.0, limit=2.0):
    """Descend on curvature 1, by one program for all."""
    settings = {"learning_rate": rate, "momentum": momentum}
    return descend(
        jnp.array([1.0]),
        bowl,
        optax.sgd,
        200,
        hyperparameters=settings,
        record_every=50,
        monitor=Stability(limit=limit),
    )


@pytest.mark.once
def test_a_run_that_is_unstable_and_finite_is_told_apart():
    """|w| grows by 1.1 a step, to 1.1²⁰⁰ = 1.9e8."""
    with pytest.warns(InstabilityWarning, match=r"below 0\.952 of this one is stable"):
        run = heavy_ball(2.1)
    assert run.trusted
    assert run.result == DescentResult.unstable
    np.testing.assert_allclose(run.readings.value, 2.1, rtol=1e-6)
    np.testing.assert_allclose(run.model, 1.1**200, rtol=1e-4)


@pytest.mark.once
def test_a_curvature_that_is_not_finite_is_warned_of_in_words():
    with pytest.warns(InstabilityWarning, match=r"Hessian is not a number: .* no finite curvature"):
        descend(jnp.ones(1), lambda w: (w - 1).sum() ** 1.5, optax.sgd(1), 1, monitor=Stability(1))


@pytest.mark.once
def test_momentum_moves_the_limit():
    """The heavy ball bears ηλ < 2 + 2β: here 3, with β = ½."""
    limit = 2 + 2 * 0.5
    assert float(heavy_ball(2.8, 0.5, limit).losses[-1]) < 1e-6
    with pytest.warns(InstabilityWarning):
        assert float(heavy_ball(3.1, 0.5, limit).losses[-1]) > 1e6


@pytest.mark.once
def test_under_a_transformation_the_answer_tells_instead():
    runs = jax.vmap(heavy_ball)(jnp.array([1.0, 2.1]))  # warnings are errors here
    np.testing.assert_array_equal(runs.unstable_from, [-1, 0])


@pytest.mark.once
def test_the_loss_of_a_minibatch_is_read_on_that_batch():
    def loss(w, key):
        return jax.random.uniform(key, dtype=w.dtype) * (w**2).sum() / 2

    key = jax.random.key(5)
    settings = {"learning_rate": 1.0}
    run = descend(
        jnp.array([1.0]), loss, optax.sgd, 2, hyperparameters=settings, monitor=Stability(), key=key
    )
    drawn = [jax.random.uniform(jax.random.fold_in(key, i), dtype=jnp.float32) for i in range(3)]
    np.testing.assert_allclose(run.readings.value, drawn, rtol=1e-6)


@pytest.mark.once
def test_a_stable_run_says_nothing():
    monitor = Stability(depth=2)  # warnings are errors here
    settings = {"learning_rate": 0.2, "depth": 2}
    run = descend(
        jnp.array([[1.0, 0.0]]),
        lambda w: ((w - 1) ** 2).sum() / 2,
        end_to_end_sgd,
        20,
        hyperparameters=settings,
        record_every=10,
        monitor=monitor,
    )
    assert run.result == DescentResult.successful
    assert int(run.unstable_from) == -1
    chex.assert_shape(run.readings.value, (3,))
    np.testing.assert_allclose(run.readings.value[0], 0.2 * 2, rtol=1e-5)  # P's eigenvalue N‖w‖


@pytest.mark.once
def test_the_rate_of_a_schedule_is_that_of_its_step():
    schedule = optax.piecewise_constant_schedule(1.0, {4: 2.5})
    with pytest.warns(InstabilityWarning, match="unstable from step 4 on"):
        run = descend(
            jnp.array([1.0]),
            bowl,
            optax.sgd(schedule),
            8,
            record_every=2,
            monitor=Stability(schedule),
        )
    np.testing.assert_allclose(run.readings.value, [1.0, 1.0, 2.5, 2.5, 2.5], rtol=1e-6)


@pytest.mark.once
def test_bad_arguments_are_refused(untyped):
    def loss(w):
        return (w**2).sum()

    with pytest.raises(ValueError, match="`depth` must be a number, at least 1"):
        sharpness(jnp.ones((2, 2)), loss, depth=0)
    with pytest.raises(ValueError, match="`learning_rate` must be at least 0"):
        sharpness(jnp.ones(2), loss, -1.0)
    with pytest.raises(ValueError, match="`model` must be a pytree with at least one float"):
        sharpness("none", loss)
    with pytest.raises(ValueError, match="`num_products` must be an integer, at least 1"):
        Lanczos(0, key=jax.random.key(0))
    with pytest.raises(ValueError, match="`key` must be one random key"):
        Lanczos(key=0)
    with pytest.raises(ValueError, match="`limit` must be positive"):
        Stability(limit=0.0)
    with pytest.raises(ValueError, match="`learning_rate` must be at least 0"):
        Stability(-1.0)
    with pytest.raises(ValueError, match=r"`model` must be one with a matrix.*`w\[None\]`"):
        sharpness(jnp.ones(2), loss, depth=2)
    with pytest.raises(ValueError, match="`learning_rate` must be given to `Stability` or among"):
        descend(jnp.ones(1), loss, optax.sgd(0.1), 1, monitor=Stability())
