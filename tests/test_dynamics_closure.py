"""Two layers of any width, known by W, W₂W₂ᵀ and W₁ᵀW₁ alone: descent replayed exactly."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdepth.dynamics import Closure, closure_step


def moved(first, second, G, eta, decay):
    """One step of descent on the layers themselves."""
    keep = 1 - eta * decay
    return keep * first - eta * second.T @ G, keep * second - eta * G @ first.T


@pytest.mark.parametrize(("m", "h", "n"), [(2, 1, 3), (3, 7, 2), (1, 4, 5)])
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_step_of_whole_numbers_is_exact(x64, m, h, n, decay):
    """Small integers and a dyadic rate: every product and sum is a float64, none is rounded."""
    rng = np.random.default_rng(0)
    first, second, G = (rng.integers(-8, 9, s).astype(float) for s in ((h, n), (m, h), (m, n)))
    found = closure_step(
        *Closure.of(jnp.asarray(first), jnp.asarray(second)),
        jnp.asarray(G),
        0.25,
        weight_decay=decay,
    )
    expected = Closure.of(*map(jnp.asarray, moved(first, second, G, 0.25, decay)))
    chex.assert_trees_all_equal(found, expected)


@jax.jit
def replay(first, second, target, eta, decay):
    """Descend 300 steps on L = ‖W − target‖²/2, on the layers and on their closure."""

    def step(carry, _):
        layers, closure = carry
        layers = moved(*layers, layers[1] @ layers[0] - target, eta, decay)
        closure = closure_step(*closure, closure.W - target, eta, weight_decay=decay)
        return (layers, closure), (Closure.of(*layers), closure)

    return jax.lax.scan(step, ((first, second), Closure.of(first, second)), None, length=300)[1]


@pytest.mark.parametrize("h", [1, 40])
def test_the_closure_replays_descent_of_any_width_and_balance(x64, h):
    rng = np.random.default_rng(h)
    first, second, target = (jnp.asarray(rng.normal(size=s)) for s in ((h, 3), (2, h), (2, 3)))
    small = 0.3 / np.sqrt(h)  # Gaussian and unbalanced
    layers, closure = replay(small * first, small * second, target, 0.05, 0.01)
    assert float(jnp.abs(closure.W[-1] - closure.W[0]).max()) > 0.1
    # 300 contracting steps, a few roundings of numbers of size 3 in each. Through one unit the
    # layers have rank 1; rounding gives the closure what they lack, and descent makes it grow.
    tolerance = 1e-13 if h > 1 else 1e-9
    chex.assert_trees_all_close(closure, layers, rtol=0, atol=tolerance)
    blocks = np.block(
        [
            [np.asarray(closure.A), np.asarray(closure.W)],
            [np.swapaxes(closure.W, 1, 2), np.asarray(closure.B)],
        ]
    )
    assert np.linalg.eigvalsh(blocks).min() > -tolerance


def test_a_step_is_one_congruence_of_the_block_matrix(x64):
    rng = np.random.default_rng(3)
    W, A, B, G = (rng.normal(size=s) for s in ((2, 3), (2, 2), (3, 3), (2, 3)))
    A, B = A + A.T, B + B.T
    found = closure_step(*map(jnp.asarray, (W, A, B, G)), 0.1, weight_decay=0.2)
    M = np.block([[0.98 * np.eye(2), -0.1 * G], [-0.1 * G.T, 0.98 * np.eye(3)]])
    Q = M @ np.block([[A, W], [W.T, B]]) @ M
    chex.assert_trees_all_close(found, Closure(Q[:2, 2:], Q[:2, :2], Q[2:, 2:]), atol=1e-13)


@pytest.mark.once
def test_the_step_keeps_the_dtype_and_maps_over_rates():
    state = Closure.of(jnp.ones((4, 3)), jnp.ones((2, 4)))
    G, rates = jnp.ones((2, 3)), jnp.array([0.1, 0.2])
    batched = jax.vmap(lambda rate: closure_step(*state, G, rate))(rates)
    loop = [closure_step(*state, G, rate) for rate in rates]
    chex.assert_type(list(batched), G.dtype)
    for i, each in enumerate(loop):
        chex.assert_trees_all_close(jax.tree.map(lambda leaf, i=i: leaf[i], batched), each)


@pytest.mark.once
@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"W": jnp.ones(2)}, "`W` must be a non-empty matrix"),
        ({"A": jnp.ones((3, 3))}, r"`A` must be of shape \(2, 2\), W being 2 by 3"),
        ({"B": jnp.ones((2, 2))}, r"`B` must be of shape \(3, 3\)"),
        ({"G": jnp.ones((3, 2))}, r"`G` must be of shape \(2, 3\)"),
        ({"G": jnp.full((2, 3), jnp.nan)}, "`G` must be finite"),
        ({"A": jnp.ones((2, 2), complex)}, "`A` must be real"),
        ({"learning_rate": float("inf")}, "`learning_rate` must be finite"),
        ({"learning_rate": jnp.ones(2)}, "`learning_rate` must be a real scalar"),
        ({"learning_rate": 0.5j}, "`learning_rate` must be a real scalar"),
        ({"weight_decay": "a"}, "`weight_decay` must be a real scalar"),
        ({"weight_decay": -0.1}, "`weight_decay` must be at least 0"),
    ],
)
def test_bad_arguments_are_refused(untyped, change, match):
    arguments = {
        "W": jnp.ones((2, 3)),
        "A": jnp.eye(2),
        "B": jnp.eye(3),
        "G": jnp.ones((2, 3)),
        "learning_rate": 0.1,
    }
    with pytest.raises(ValueError, match=match):
        closure_step(**{**arguments, **change})


@pytest.mark.once
def test_layers_that_do_not_follow_one_another_are_refused(untyped):
    with pytest.raises(ValueError, match=r"`second` must be a matrix \(m, 2\), to follow `first`"):
        Closure.of(jnp.ones((2, 3)), jnp.ones((3, 4)))
    with pytest.raises(ValueError, match="`first` must be a non-empty matrix"):
        Closure.of(jnp.ones(2), jnp.ones((3, 2)))
