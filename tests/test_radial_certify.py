"""The certificate against the integral that it discretises, and as a compiled program."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdepth as jd

BALL = jd.radial.Ball(2.0)
METHOD = jd.radial.Bounded(panels_u=32, panels_z=4)  # one compilation for all radii
DIRECTIONS = np.array([0.0, 1.0, 2.0, 4.0, 35.0])


@pytest.fixture(scope="module")
def ball():
    """The certificate of the ball z ≤ 2 in three dimensions, for `DIRECTIONS`."""
    return jd.radial.certify(BALL, 3, DIRECTIONS, method=METHOD)


def test_the_ball_in_three_dimensions_has_the_expected_floor_at_35_directions(x64):
    floors = [
        float(jd.radial.certify(jd.radial.Ball(radius), 3, DIRECTIONS, method=METHOD).floor[-1])
        for radius in (1.8, 2.0, 2.02, 2.3)
    ]
    assert min(floors) > 0.0178
    assert 0.0170 < max(floors) < 0.0187


def test_the_floor_is_the_integral_seen_from_below(x64, ball):
    k, dim, top = 35.0, 3, 40.0
    nodes, weights = np.polynomial.legendre.leggauss(30)
    edges = np.append(np.linspace(0, 1, 3), 1 + (top - 1) * np.linspace(0, 1, 60)[1:] ** 2)
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    u = (middle[:, None] + half[:, None] * nodes[None, :]).ravel()
    w = (half[:, None] * weights[None, :]).ravel()
    share = np.where(u > 1, 1 - np.sqrt(np.maximum(0, 1 - 1 / u**2)), 1.0)  # d = 3
    mass = w * np.asarray(BALL.spectrum(u, dim))
    norm = float(jd.radial.Measure(dim).cdf(2.0))
    floor = ball.floor[-1]
    charged = float(mass @ np.minimum(1, k * share))
    least, most = norm - charged - k * 0.5 / top**2 * (norm - mass.sum()), norm - charged
    assert floor < most
    assert floor == pytest.approx(least, rel=2e-3)  # parts of .1% in u


def test_cosine_in_ten_dimensions_keeps_half_its_norm_at_four_hundred_thousand_directions(x64):
    certificate = jd.radial.certify(jd.radial.Cosine(4.0, 63.5), 10, np.array([1.0, 4.0e5, 4e9]))
    assert certificate.norm_squared == pytest.approx(0.475, abs=5e-4)
    share = certificate.floor / certificate.norm_squared
    assert share[1] == pytest.approx(0.5, abs=5e-3)
    assert (np.diff(certificate.floor) < 0).all()
    assert bool(certificate.trusted)
    assert float(np.max(certificate.slack)) < 1e-8
    assert certificate.result == jd.radial.CertificateResult.bounded


def test_norms_agree_with_the_distribution_function_within_the_slack(x64, ball):
    assert abs(ball.norm_squared - jd.radial.Measure(3).cdf(2.0)) <= ball.slack.max()


def test_floors_fall_with_every_direction(x64, ball):
    assert (np.diff(ball.floor) < 0).all()
    assert (ball.floor > 0).all()


def test_every_floor_in_one_dimension_is_zero(x64):
    # There every function is a function of ⟨1, x⟩.
    np.testing.assert_array_equal(jd.radial.certify(BALL, 1, np.array([1.0, 9.0])).floor, 0)


def test_coarse_quadrature_weakens_the_floor_and_says_so(x64):
    wide = jd.radial.Ball(400.0)
    certificate = jd.radial.certify(wide, 3, DIRECTIONS, method=METHOD)
    np.testing.assert_array_equal(certificate.floor, 0)
    assert not bool(certificate.trusted)
    assert certificate.result == jd.radial.CertificateResult.unresolved


def test_certificates_vmap_over_targets(x64):
    def floors(radius, k):
        return jd.radial.certify(jd.radial.Ball(radius), 3, k, method=METHOD).floor

    k = jnp.append(jnp.asarray(DIRECTIONS), jnp.array([0.5, -3.0]))
    batch = jax.jit(jax.vmap(floors, (0, None)))(jnp.array([1.9, 2.1]), k)
    single = jd.radial.certify(jd.radial.Ball(1.9), 3, DIRECTIONS, method=METHOD)
    chex.assert_trees_all_close(batch[0, : DIRECTIONS.size], single.floor, rtol=1e-10)
    # No network has fewer directions than one but none: a tracer's value cannot be refused.
    chex.assert_trees_all_equal(batch[:, -2:], batch[:, [1, 1]])


def test_gradients_with_respect_to_every_parameter_are_those_of_the_floor(x64):
    # With the cutoff given the parts do not move with the target, as the derivative has it.
    method = jd.radial.Bounded(panels_u=8, panels_z=4, cutoff=8.0)

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def floor(target):
        return jd.radial.certify(target, 4, 10.0, method=method).floor

    frequency, radius, step = 3.0, 7.0, 1e-4
    value = lambda s, b: floor(jd.radial.Cosine(jnp.asarray(s), jnp.asarray(b)))  # noqa: E731
    gradient = value(frequency, radius)[1]
    for slope, ds, db in ((gradient.frequency, step, 0.0), (gradient.radius, 0.0, step)):
        above, below = (value(frequency + t * ds, radius + t * db)[0] for t in (1, -1))
        # Central differences: step² of the third derivative, and rounding/step.
        assert float(slope) == pytest.approx(float(above - below) / (2 * step), rel=1e-4, abs=1e-8)


def test_a_float32_trace_is_refused(x32):
    with pytest.raises(ValueError, match="needs float64"):
        jax.jit(lambda k: jd.radial.certify(BALL, 3, k).floor)(jnp.float32(3))


def test_concrete_floors_are_float64_whatever_the_setting(x32):
    certificate = jd.radial.certify(BALL, 3, DIRECTIONS, method=METHOD)
    assert certificate.floor.dtype == np.float64
    assert 0.0170 < certificate.floor[-1] < 0.0187


def test_a_traced_cutoff_that_proves_nothing_leaves_a_floor_of_nothing(x64):
    def floors(cutoff):
        method = jd.radial.Bounded(cutoff=cutoff, panels_u=16, panels_z=1)
        found = jd.radial.certify(BALL, 3, DIRECTIONS, method=method)
        return found.floor, found.trusted

    floor, trusted = jax.jit(jax.vmap(floors))(jnp.array([0.5, 1.0, 8.0, jnp.nan]))
    assert trusted.tolist() == [False, False, True, False]
    np.testing.assert_array_equal(floor[jnp.array([0, 1, 3])], 0)


@pytest.mark.once
def test_wide_targets_are_resolved_by_default():
    certificate = jd.radial.certify(jd.radial.Ball(300.0), 3, 1.0)
    assert bool(certificate.trusted)
    assert certificate.floor == pytest.approx(1.098e-4, rel=1e-2)


@pytest.mark.once
def test_a_floor_lost_in_its_slack_is_not_trusted():
    tiny = jd.radial.certify(jd.radial.Ball(1e-6), 3, DIRECTIONS, method=METHOD)
    assert tiny.norm_squared < tiny.slack.max() < 1e-15
    assert not tiny.trusted


def test_what_is_no_number_of_directions_is_refused(untyped):
    for k in ("a", 1j, 10**400):
        with pytest.raises(ValueError, match="`num_directions` must be real numbers"):
            jd.radial.certify(BALL, 3, k)
    for cutoff in ("2", np.array([2.0, 3.0])):
        with pytest.raises(ValueError, match="`cutoff` must be a real scalar"):
            jd.radial.Bounded(cutoff=cutoff)
    for k in (0.5, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="`num_directions` must be 0 or at least 1"):
            jd.radial.certify(BALL, 3, k)
    with pytest.raises(ValueError, match="`target` must be a radial target"):
        jd.radial.certify(np.cos, 3, 1.0)
    with pytest.raises(ValueError, match="`dim` must be an integer"):
        jd.radial.certify(BALL, 2.5, 1.0)
    with pytest.raises(ValueError, match=r"`dim` must be at most 1000 for `Bounded`.*Certified"):
        jd.radial.certify(BALL, 1001, 1.0)
    with pytest.raises(ValueError, match="`dim` must be an integer, at least 1 and at most"):
        jd.radial.Measure(2_000_001)
    with pytest.raises(ValueError, match="`method` must be a way to certify"):
        jd.radial.certify(BALL, 3, 1.0, method="bounded")
    with pytest.raises(ValueError, match="`cutoff` must be finite and greater than 1"):
        jd.radial.Bounded(cutoff=1.0)


def test_the_rounding_model_covers_the_unbounded_bessel_function_of_one_dimension(x64):
    # There J_{−½}(uz) is √(2/πuz)·cos(uz): near u = 0 the errors grow with it.
    from jaxdepth.radial._hankel import Rule, transform_error

    u = jnp.array([1e-6, 1.0])
    small, one = transform_error(BALL.regularity, 1, Rule(4, 32), u)
    assert small > 2.0**-46 * (8 * 2.0 / (np.pi * 1e-6)) ** 0.5
    assert one < 1e-12
