"""The bracket from above: exact least squares against two other ways, and against the floors."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdepth as jd

pytestmark = pytest.mark.usefixtures("x64")

FREQUENCIES = np.array([0.5, 1.0, 2.0, 3.0, 4.5])


def spiral(count):
    """Spread directions over half the sphere of three dimensions."""
    i = np.arange(count) + 0.5
    angle, height = np.pi * (1 + 5**0.5) * i, 1 - i / count
    across = np.sqrt(1 - height**2)
    return np.stack([np.cos(angle) * across, np.sin(angle) * across, height], axis=1)


def reference(target, directions, frequencies, norm):
    """The same fit in three dimensions, where the mean of a cosine over a sphere is sin(t)/t."""
    mu, radius = jd.radial.Measure(3), float(target.radius)
    v = directions / np.linalg.norm(directions, axis=1)[:, None]
    xi = (v[:, None, :] * frequencies[None, :, None]).reshape(-1, 3)
    xi = np.concatenate([np.zeros((1, 3)), xi])
    distance = np.linalg.norm(xi[:, None] - xi[None], axis=-1)
    total = np.linalg.norm(xi[:, None] + xi[None], axis=-1)
    gram = (mu.characteristic(distance) + mu.characteristic(total)) / 2
    nodes, weights = np.polynomial.legendre.leggauss(60)
    z, w = radius / 2 * (nodes + 1), radius / 2 * weights
    g = w * np.asarray(target.profile(jnp.asarray(z)), np.float64) * mu.pdf(z)
    norms = np.linalg.norm(xi, axis=1)
    moment = np.sinc(norms[:, None] * z[None, :] / np.pi) @ g
    fit = np.linalg.lstsq(gram, moment, rcond=1e-12)[0]
    return norm - 2 * fit @ moment + fit @ gram @ fit


def test_the_fit_is_the_least_squares_fit():
    target, v = jd.radial.Ball(2.0), spiral(6)
    found = jd.radial.ridge_error(target, 3, v, frequencies=FREQUENCIES)
    norm = jd.radial.Measure(3).cdf(2.0)
    expected = reference(target, v, FREQUENCIES, norm)
    # The ridge of 1e-10 keeps 1e-10 times the fit's squared coefficients from its optimum.
    assert found == pytest.approx(expected, abs=1e-7)
    assert found >= expected - 1e-12


def test_no_sample_is_needed_for_what_samples_agree_with():
    target, v, dim = jd.radial.Cosine(2.0, 6.0), np.eye(4)[:3], 4
    found = jd.radial.ridge_error(target, dim, v, frequencies=FREQUENCIES)
    mu = jd.radial.Measure(dim)
    x = np.asarray(mu.sample(jax.random.key(0), 60_000))
    scale = mu.radius_unit * FREQUENCIES
    columns = np.cos(x[:, :3, None] * scale).reshape(len(x), -1)
    columns = np.concatenate([np.ones((len(x), 1)), columns], axis=1)
    g = np.asarray(jax.vmap(target)(jnp.asarray(x)))
    fit = np.linalg.lstsq(columns[:30_000], g[:30_000], rcond=None)[0]
    squares = np.square(columns[30_000:] @ fit - g[30_000:])
    # 16 fitted numbers cost 16/30,000 of the error; the mean's own spread is the rest.
    spread = 4 * squares.std() / len(squares) ** 0.5
    assert abs(squares.mean() - found) < spread + 16 / 30_000 * found


@pytest.mark.parametrize("count", [1, 35])
def test_floors_are_never_above_fits(count):
    target = jd.radial.Ball(2.02)
    found = jd.radial.ridge_error(target, 3, spiral(count))
    floor = jd.radial.certify(target, 3, float(count)).floor
    assert floor < found < jd.radial.Measure(3).cdf(2.02)
    if count == 35:
        assert found < 0.027  # spread directions come near: the floor is .0186


def test_more_directions_and_frequencies_fit_better():
    target, v = jd.radial.Ball(2.0), spiral(6)
    errors = [
        jd.radial.ridge_error(target, 3, v[:3], frequencies=FREQUENCIES[:3]),
        jd.radial.ridge_error(target, 3, v[:3], frequencies=FREQUENCIES),
        jd.radial.ridge_error(target, 3, v, frequencies=FREQUENCIES),
    ]
    assert errors[0] > errors[1] > errors[2] > 0


def test_gradients_with_respect_to_directions_are_those_of_the_error():
    v = jnp.asarray(spiral(3))

    @jax.jit
    def error(v):
        return jd.radial.ridge_error(jd.radial.Ball(2.0), 3, v, frequencies=FREQUENCIES[:3])

    gradient, step = jax.grad(error)(v), 1e-5
    for index in ((0, 0), (1, 2), (2, 1)):
        e = jnp.zeros((3, 3)).at[index].set(step)
        difference = (error(v + e) - error(v - e)) / (2 * step)
        assert float(gradient[index]) == pytest.approx(float(difference), abs=1e-7)
    # Lengths do not matter: a gradient is across its direction.
    chex.assert_trees_all_close(jnp.sum(gradient * v, axis=1), jnp.zeros(3), atol=1e-10)


@pytest.mark.parametrize("length", [1e-200, 1e200])
def test_lengths_of_directions_do_not_matter(length):
    v, target = spiral(6), jd.radial.Ball(2.0)
    plain = jd.radial.ridge_error(target, 3, v, frequencies=FREQUENCIES)
    scaled = jd.radial.ridge_error(target, 3, length * v, frequencies=FREQUENCIES)
    assert scaled == pytest.approx(plain, abs=1e-9)


@pytest.mark.parametrize("dim", [1, 2, 7, 100, 1000])
def test_mean_cosines_and_overlaps_are_the_measures_own(dim):
    import mpmath

    from jaxdepth.radial._ridge import _mean_cosine, _overlap

    ts = np.array([0.0, 0.3, (12 * dim) ** 0.5 - 1e-6, (12 * dim) ** 0.5 + 1e-6, 300.0])
    means = jax.jit(_mean_cosine, static_argnums=0)(dim, jnp.asarray(ts))
    for found, t in zip(means, ts, strict=True):
        truth = mpmath.hyp0f1(mpmath.mpf(dim) / 2, -(mpmath.mpf(t) ** 2) / 4)
        assert float(found) == pytest.approx(
            float(truth), abs=1e-11
        )  # roundings of e⁶ and of lgamma(500)
    xi = np.zeros((5, dim))
    xi[:, 0] = [0.0, 0.3, 1.1, 1.999, 2.5]
    overlap = np.asarray(jax.jit(_overlap, static_argnums=(0, 2))(dim, jnp.asarray(xi), -1))
    expected = jd.radial.Measure(dim).characteristic(np.abs(xi[:, None, 0] - xi[None, :, 0]))
    np.testing.assert_allclose(overlap, expected, atol=1e-13)


def test_directions_that_are_none_are_refused(untyped):
    ball = jd.radial.Ball(2.0)
    with pytest.raises(ValueError, match="`directions` must be rows of length 3, at least one"):
        jd.radial.ridge_error(ball, 3, np.eye(4))
    with pytest.raises(ValueError, match="`directions` must be rows that are not 0"):
        jd.radial.ridge_error(ball, 3, np.zeros((2, 3)))
    with pytest.raises(ValueError, match="`directions` must be finite"):
        jd.radial.ridge_error(ball, 3, np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match="`frequencies` must be non-negative"):
        jd.radial.ridge_error(ball, 3, np.eye(3), frequencies=np.array([-1.0]))
    with pytest.raises(ValueError, match="`frequencies` must be finite"):
        jd.radial.ridge_error(ball, 3, np.eye(3), frequencies=np.array([np.inf]))
    with pytest.raises(ValueError, match="`frequencies` must be one row"):
        jd.radial.ridge_error(ball, 3, np.eye(3), frequencies=np.ones((2, 2)))
