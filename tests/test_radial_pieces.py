"""Targets in several pieces: what they are, and that certificates see it."""

from itertools import pairwise

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdepth as jd

SIGN = jd.radial.SignCosine(3.0, 8.0)
SHELLS = jd.radial.Shells([1.0, 2.0, 4.5], [0.5, -1.0])
PROFILE = jd.radial.Profile([1.0, 3.0, 6.0], [1.0, -0.5, 0.25])
TARGETS = {"signs": SIGN, "shells": SHELLS, "profile": PROFILE}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_profiles_are_what_they_are_called(dtype, x64):
    z = jnp.linspace(0.013, 9.0, 101, dtype=dtype)
    within = np.asarray(z <= 8)
    signs, steps, slopes = jax.jit(lambda z: [each.profile(z) for each in (SIGN, SHELLS, PROFILE)])(
        z
    )
    np.testing.assert_array_equal(signs, np.where(within, np.sign(np.cos(3 * np.asarray(z))), 0))
    expected = np.where(z > 1, np.where(z <= 2, 0.5, np.where(z <= 4.5, -1.0, 0.0)), 0.0)
    np.testing.assert_array_equal(steps, expected)
    line = np.where(z <= 6, np.interp(z, PROFILE.knots, PROFILE.values), 0)
    chex.assert_trees_all_close(slopes, line.astype(dtype), atol=4 * jnp.finfo(dtype).eps)
    chex.assert_type([signs, steps, slopes], dtype)


@pytest.mark.once
@pytest.mark.parametrize("name", TARGETS)
def test_what_bounds_a_target_does(name, x64):
    # On an ellipse around a part of a piece: |g| ≤ bound·ρ·e^{growth·|Im z|}; here growth is 0.
    target = TARGETS[name]
    about = target.regularity
    rho, angle = 2.5, np.linspace(0, 2 * np.pi, 64)
    breaks = np.asarray(about.breaks)
    for piece, (low, high) in enumerate(pairwise(breaks)):
        z = np.linspace(low, high, 50)
        inside = np.asarray(target.inside(jnp.asarray(z), np.full(50, piece)))
        assert np.abs(inside).max() <= about.bound * (1 + 1e-15)
        steepest = np.abs(np.diff(inside)).max() / max(z[1] - z[0], 1e-300)
        assert steepest <= about.lipschitz * (1 + 1e-9) + 1e-9
        line = np.polynomial.Polynomial.fit(z, inside, 1) if high > low else None
        ellipse = (rho * np.exp(1j * angle) + np.exp(-1j * angle) / rho) / 2
        part = (low + high) / 2 + (high - low) / 4 * ellipse
        assert line is None or np.abs(line(part)).max() <= about.bound * rho


def test_a_wave_of_squares_is_a_profile_of_steep_ramps_and_a_shell_a_difference_of_balls(x64):
    # Three targets that are nearly one function have nearly one floor, through different code.
    method = jd.radial.Bounded(cutoff=8.0, panels_u=16)
    zeros = np.arange(0.5, 4) * np.pi / 3
    signs = jd.radial.SignCosine(3.0, 4.0)
    shells = jd.radial.Shells([0.0, *zeros, 4.0], [1.0, -1.0, 1.0, -1.0, 1.0])
    k = np.array([1.0, 30.0])
    one = jd.radial.certify(signs, 3, k, method=method)
    two = jd.radial.certify(shells, 3, k, method=method)
    chex.assert_trees_all_close(one.floor, two.floor, atol=1e-9)
    assert one.norm_squared == pytest.approx(jd.radial.Measure(3).cdf(4.0), abs=1e-12)


def test_the_papers_shells_are_kept_where_the_density_is_high(x64, getkey):
    dim = 10
    shells = jd.radial.Shells.eldan_shamir16(dim, alpha=1.5, key=getkey())
    unit = jd.radial.Measure(dim).radius_unit
    assert shells.values.shape == (dim**2,)
    np.testing.assert_allclose(
        shells.edges[[0, -1]], np.array([1.5, 3.0]) * dim**0.5 * unit, rtol=1e-14
    )
    assert set(np.unique(shells.values)) == {-1.0, 0.0, 1.0}
    share = np.linspace(0, 1, 65)
    z = shells.edges[:-1, None] + np.diff(shells.edges)[:, None] * share
    # d·J²/z is the density: J² ≥ 1/(40z) on all of a shell that is kept, not on the others.
    high = np.asarray(jd.radial.Measure(dim).pdf(z)) * z / dim * 40 * z
    kept = shells.values != 0
    assert (high[kept] > 1 - 1e-12).all()
    assert (high[~kept].min(axis=1) < 1.01).all()  # on the verge is not kept
    assert 0.5 < kept.mean() < 1


@pytest.mark.once
def test_signs_do_not_depend_on_the_working_precision(getkey):
    key = getkey()
    with jax.enable_x64(True):
        wide = jd.radial.Shells.eldan_shamir16(4, key=key)
    with jax.enable_x64(False):
        narrow = jd.radial.Shells.eldan_shamir16(4, key=key)
    np.testing.assert_array_equal(wide.values, narrow.values)


def test_traced_signs_need_their_number_and_say_so_when_it_is_too_few(x64):
    method = jd.radial.Bounded(cutoff=8.0, panels_u=16, panels_z=1)

    def floors(frequency):
        target = jd.radial.SignCosine(frequency, 4.0, pieces=5)
        found = jd.radial.certify(target, 3, 1.0, method=method)
        return found.floor, found.trusted

    floor, trusted = jax.jit(jax.vmap(floors))(jnp.array([2.0, 3.0, 9.0]))
    assert trusted.tolist() == [True, True, False]  # 9·4/π + ½ = 12 pieces
    assert float(floor[2]) == 0
    alone = jd.radial.certify(jd.radial.SignCosine(3.0, 4.0), 3, 1.0, method=method)
    chex.assert_trees_all_close(floor[1], jnp.asarray(alone.floor), rtol=1e-9)
    with pytest.raises(ValueError, match="`pieces` must be given where"):
        jax.jit(lambda s: jd.radial.SignCosine(s, 4.0).radius)(3.0)


def test_gradients_reach_the_values_of_a_profile(x64):
    method = jd.radial.Bounded(cutoff=8.0, panels_u=16, panels_z=1)
    knots = jnp.linspace(0.0, 5.0, 5)

    @jax.jit
    @jax.value_and_grad
    def floor(values):
        return jd.radial.certify(jd.radial.Profile(knots, values), 3, 8.0, method=method).floor

    values = jnp.array([1.0, -0.8, 0.9, -0.5, 0.0])
    (_, gradient), step = floor(values), 1e-5
    for index in range(5):
        e = jnp.zeros(5).at[index].set(step)
        difference = (floor(values + e)[0] - floor(values - e)[0]) / (2 * step)
        # A central difference: step² of curvature, and rounding of floors over the step.
        assert float(gradient[index]) == pytest.approx(float(difference), abs=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: jd.radial.Shells([1.0, 1.0], [1.0]),
            "`edges` must be non-negative and increasing",
        ),
        (lambda: jd.radial.Shells([1.0, 2.0], [1.0, 2.0]), "`values` must be one fewer"),
        (lambda: jd.radial.Profile([0.0, 1.0], [1.0]), "`values` must be as many as"),
        (lambda: jd.radial.Profile([-1.0, 1.0], [1.0, 1.0]), "`knots` must be non-negative"),
        (lambda: jd.radial.Profile([0.0, 1.0], [np.nan, 1.0]), "`values` must be finite"),
        (lambda: jd.radial.Profile([0.0, np.inf], [1.0, 1.0]), "`knots` must be finite"),
        (lambda: jd.radial.SignCosine(1e9, 1e9), "`frequency` must be such that"),
        (lambda: jd.radial.SignCosine(3.0, 8.0, pieces=4), "`pieces` must be an integer, at least"),
        (lambda: jd.radial.SignCosine(-1.0, 8.0), "`frequency` must be non-negative"),
    ],
)
def test_pieces_that_are_none_are_refused(make, message, untyped):
    with pytest.raises(ValueError, match=message):
        make()
