"""Targets on points, by profile and by spectrum."""

import chex
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import jaxdepth as jd

TARGETS = (jd.radial.Ball(2.02), jd.radial.Cosine(4.0, 6.5))


@pytest.mark.parametrize("target", TARGETS)
def test_a_point_is_seen_through_its_scale_free_radius(target, x64):
    dim = 5
    x = jax.random.normal(jax.random.key(0), (dim,))
    z = jd.radial.Measure(dim).radius_unit * jnp.linalg.norm(x)
    chex.assert_trees_all_close(target(x), target.profile(z), rtol=1e-14)
    assert float(target(100 * x)) == 0
    assert float(target(jnp.zeros(dim))) == 1


def test_gradients_at_the_origin_are_finite(x64):
    gradient = jax.grad(jd.radial.Cosine(4.0, 6.5))(jnp.zeros(3))
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("target", TARGETS)
def test_values_follow_the_points_dtype(target):
    chex.assert_type(target(jnp.ones(3, jnp.float32)), jnp.float32)


@pytest.mark.once(x64=True)
@pytest.mark.parametrize(("target", "dim"), [(TARGETS[0], 3), (TARGETS[1], 2)])
def test_parseval_closes(target, dim):
    # ∫ m du = ‖g‖², up to the tail past U: m ~ u^{-2} there, for g jumps at its radius.
    top, panels = 60.0, 40
    nodes, weights = np.polynomial.legendre.leggauss(24)
    u = (nodes[None, :] + 1 + 2 * np.arange(panels)[:, None]) * top / (2 * panels)
    mass = float((np.tile(weights, panels) * top / (2 * panels)) @ target.spectrum(u.ravel(), dim))
    z = float(target.radius) * (nodes[None, :] + 1 + 2 * np.arange(4)[:, None]).ravel() / 8
    weight = float(target.radius) * np.tile(weights, 4) / 8
    g = np.asarray(target.profile(jnp.asarray(z)), np.float64)
    norm = float((weight * g**2) @ jd.radial.Measure(dim).pdf(z))
    assert norm * (1 - 3 / top) < mass < norm
    # With the leading tail C/U, C from the last panel's mean density, to second order in 1/U.
    density = float(weights @ target.spectrum(u[-1], dim)) / 2
    assert mass + density * top == pytest.approx(norm, rel=2e-3)


@pytest.mark.once(x64=True)
def test_spectrum_in_three_dimensions_has_elementary_form():
    # d = 3: J_{3/2} and J_{1/2} are sines and cosines.
    b, u = 2.0, 1.7
    nodes, weights = np.polynomial.legendre.leggauss(60)
    z, w = b / 2 * (nodes + 1), b / 2 * weights
    j_order = np.sqrt(2 / (np.pi * z)) * (np.sin(z) / z - np.cos(z))
    j_below = np.sqrt(2 / (np.pi * u * z)) * np.sin(u * z)
    expected = 3 * u * (w @ (j_order * j_below)) ** 2
    assert jd.radial.Ball(b).spectrum(u, 3) == pytest.approx(expected, rel=1e-13)


def test_what_is_no_number_stays_none(x64):
    target = TARGETS[0]
    assert np.isnan(target.profile(jnp.nan))
    assert np.isnan(target(jnp.array([jnp.nan, 0.0, 0.0])))
    # Under a trace the rule cannot be chosen for u: what it does not resolve is not told.
    spectrum = jax.jit(lambda u: jd.radial.Ball(100.0).spectrum(u, 3))(jnp.array([1.0, 200.0]))
    known = jd.radial.Ball(100.0).spectrum(np.array([1.0]), 3)
    chex.assert_trees_all_close(spectrum, jnp.array([known[0], jnp.nan]), rtol=1e-12)


def test_targets_pass_through_jit_and_vmap(x64):
    x = jnp.ones((4, 3)) * jnp.arange(4.0)[:, None] / 10
    batched = jax.vmap(lambda b: jax.vmap(jd.radial.Ball(b))(x))(jnp.array([0.5, 3.0]))
    chex.assert_shape(batched, (2, 4))
    np.testing.assert_array_equal(batched[1] >= batched[0], True)


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan"), float("inf")])
def test_radii_that_are_not_positive_and_finite_are_refused(radius):
    with pytest.raises(ValueError, match="`radius` must be"):
        jd.radial.Ball(radius)
    with pytest.raises(ValueError, match="`radius` must be"):
        jd.radial.Cosine(4.0, radius)


@pytest.mark.parametrize("radius", [np.array([1.0, 2.0]), 1j, "1", None])
def test_what_is_no_number_is_refused(radius, untyped):
    with pytest.raises(ValueError, match=r"`radius` must be (one|a) real number"):
        jd.radial.Ball(radius)


def test_phases_beyond_any_quadrature_are_refused():
    with pytest.raises(ValueError, match="`target` must be of a radius whose product"):
        jd.radial.Ball(2.0).spectrum(np.inf, 3)
    with pytest.raises(ValueError, match="`target` must be of a radius whose product"):
        jd.radial.certify(jd.radial.Ball(1e300), 3, 1.0)


def test_negative_frequencies_are_refused():
    with pytest.raises(ValueError, match="`frequency` must be non-negative"):
        jd.radial.Cosine(-1.0, 2.0)


@pytest.mark.once
@pytest.mark.parametrize("scale", [0.3, 1.0, 7.0])
def test_the_unit_of_length_drops_out(scale):
    # Written out in R^d for a ball of any radius ρ: φ(r) = (ρ/r)^ν J_ν(2πρr), ∫φ² = V_d ρ^d, and
    # (gφ)^(ξ) = 2π|ξ|^{1−ν} ∫ gφ r^ν J_{ν−1}(2π|ξ|r) dr, whose square over the sphere is m(u)/ρ.
    dim, b, u = 5, 3.0, 1.7
    nu, edge = mpmath.mpf(dim) / 2, b / (2 * mpmath.pi * scale)
    nodes, weights = np.polynomial.legendre.leggauss(40)

    def integral(fn):
        r = [edge * (x + 1) / 2 for x in map(mpmath.mpf, nodes)]
        return edge / 2 * sum(w * fn(x) for w, x in zip(weights, r, strict=True))

    def phi(r):
        return (scale / r) ** nu * mpmath.besselj(nu, 2 * mpmath.pi * scale * r)

    sphere, volume = (2 * mpmath.pi**nu / mpmath.gamma(nu), mpmath.pi**nu / mpmath.gamma(nu + 1))
    norm = sphere * integral(lambda r: phi(r) ** 2 * r ** (dim - 1)) / (volume * scale**dim)
    xi = mpmath.mpf(u) * scale
    transform = (2 * mpmath.pi * xi ** (1 - nu)) * integral(
        lambda r: phi(r) * r**nu * mpmath.besselj(nu - 1, 2 * mpmath.pi * xi * r)
    )
    density = sphere * xi ** (dim - 1) * transform**2 / (volume * scale**dim) * scale
    target = jd.radial.Ball(b)
    assert float(norm) == pytest.approx(float(jd.radial.Measure(dim).cdf(b)), rel=1e-12)
    assert float(density) == pytest.approx(float(target.spectrum(u, dim)), rel=1e-11)
