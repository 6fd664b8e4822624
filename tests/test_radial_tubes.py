"""What k tubes hold: shares against mpmath, and sums over parts against plain ones, for any k."""

import chex
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import jaxdepth as jd
from jaxdepth.radial._masses import PARTS, Masses
from jaxdepth.radial._tubes import floors, ladder, log_share

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize("dim", [2, 3, 10, 101, 1000])
def test_tube_shares_are_within_the_model_above_the_truth(dim):
    u = np.array([1 + 1e-9, 1.001, 1.4, 1.5, 4.0, 30.0, 1e4])
    shares = np.asarray(log_share(dim, jnp.asarray(u)))
    with mpmath.workdps(30):
        for got, x in zip(shares, u, strict=True):
            a, x = mpmath.mpf(dim - 1) / 2, 1 / mpmath.mpf(float(x)) ** 2
            truth = mpmath.log(mpmath.betainc(a, 0.5, 0, x, regularized=True))
            # 1e-10 of the share itself, and what rounding of a logarithm so large may add.
            assert 0 <= got - truth <= 2e-10 + 1e-14 * abs(truth)


def masses(dim, rng):
    """Positive masses on three panels of parts, as `place` would give them."""
    edges = np.array([0.0, 1.0, 1.4, 2.0])
    part = np.arange(PARTS) / PARTS
    left = edges[:-1, None] + np.diff(edges)[:, None] * part[None, :]
    mass = rng.uniform(size=left.shape) / left.size
    error = rng.uniform(size=left.shape) * 1e-9
    norm = mass.sum() * 1.1
    parts = (mass, error, left, edges[-1], norm, 1e-9)
    return Masses(*(jnp.asarray(leaf) for leaf in parts))


@pytest.mark.parametrize("dim", [1, 2, 10, 1000])
def test_floors_are_the_plain_sums_for_numbers_of_any_size(dim):
    placed = masses(dim, np.random.default_rng(dim))
    log_k = np.array([-np.inf, 0.0, 0.3, 2.0, 15.0, 300.0, 900.0, 1900.0, 3000.0])
    computed, slack = floors(jax.jit(ladder, static_argnums=0)(dim, placed), jnp.asarray(log_k))
    log_q = [mpmath.mpf(float(x)) for x in np.ravel(log_share(dim, placed.left))]
    log_end = mpmath.mpf(float(log_share(dim, placed.end)))
    free = np.ravel(placed.left) < 1
    for index, k in enumerate(log_k):
        if k == -np.inf:
            charge, end = [mpmath.mpf(int(inner)) for inner in free], mpmath.mpf(0)
        else:
            charge = [mpmath.exp(min(0, mpmath.mpf(float(k)) + q)) for q in log_q]
            end = mpmath.exp(min(0, mpmath.mpf(float(k)) + log_end))
        excess = [c - end for c in charge]
        pairs = zip(excess, np.ravel(placed.mass), strict=True)
        truth = (1 - end) * float(placed.norm_squared) - sum(c * float(m) for c, m in pairs)
        pairs = zip(excess, np.ravel(placed.error), strict=True)
        doubt = (1 - end) * float(placed.norm_error) + sum(c * float(e) for c, e in pairs)
        assert abs(float(computed[index]) - truth) <= 1e-12
        assert doubt <= float(slack[index]) <= doubt + 1e-12


def test_the_logarithm_of_the_least_number_has_the_derivatives_of_the_floors_passing():
    method = jd.radial.Bounded(cutoff=8.0, panels_u=16, panels_z=1)

    @jax.jit
    @jax.value_and_grad
    def log10(at):
        target = jd.radial.Cosine(at[0], 8.0)
        return jd.radial.min_directions(target, 6, at[1], method=method).log10

    at, step = np.array([3.0, 0.05]), 2e-3
    _, gradient = log10(at)
    for slope, e in zip(gradient, step * np.eye(2), strict=True):
        difference = float(log10(at + e)[0] - log10(at - e)[0]) / (2 * step)
        # The numbers are whole: at some hundreds a step in log10 is 1e-3, beside .01 of change.
        assert float(slope) == pytest.approx(difference, rel=0.2)


def test_least_numbers_vmap_over_targets():
    method = jd.radial.Bounded(cutoff=8.0, panels_u=16, panels_z=1)

    def least(frequency):
        target = jd.radial.Cosine(frequency, 8.0)
        found = jd.radial.min_directions(target, 6, jnp.array([0.1, 0.05]), method=method)
        return found.value

    batch = jax.jit(jax.vmap(least))(jnp.array([2.0, 3.0, 4.0]))
    chex.assert_shape(batch, (3, 2))
    assert (np.diff(np.asarray(batch), axis=0) > 0).all()  # faster waves are harder
    single = jd.radial.min_directions(
        jd.radial.Cosine(3.0, 8.0), 6, np.array([0.1, 0.05]), method=method
    )
    chex.assert_trees_all_equal(np.asarray(batch[1]), single.value)


def test_errors_that_are_none_are_refused():
    for error in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="`error` must be positive and finite"):
            jd.radial.min_directions(jd.radial.Ball(2.0), 3, error)


def test_beyond_what_is_asked_nothing_is_needed():
    # In the shapes of the test above.
    method, target = (
        jd.radial.Bounded(cutoff=8.0, panels_u=16, panels_z=1),
        jd.radial.Cosine(3.0, 8.0),
    )
    found = jd.radial.min_directions(target, 6, np.array([10.0, 0.05]), method=method)
    assert found.value[0] == 0 < found.value[1]
    assert found.log10[0] == -np.inf
