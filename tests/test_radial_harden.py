"""Ascent on the certificate: never worse than it starts, and within what is allowed."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxdepth as jd

METHOD = jd.radial.Bounded(cutoff=8.0, panels_u=16, panels_z=1)


@pytest.fixture(scope="module")
def found():
    starts = [jd.radial.Cosine(2.0, 8.0), jd.radial.Ball(3.0)]
    return jd.radial.harden(
        starts, 3, 35.0, lipschitz=2.0, num_knots=33, starts=4, steps=300, method=METHOD
    )


@pytest.mark.once
def test_the_floor_rises_well_above_the_best_named_start(found):
    assert float(found.certificate.floor) > 2 * found.start > 0
    assert found.floors.shape == (4,)
    assert found.floors[:2].max() >= found.start * (1 - 1e-9)
    assert float(found.certificate.floor) == pytest.approx(found.floors.max(), rel=1e-6)


@pytest.mark.once
def test_the_profile_is_bounded_lipschitz_and_ends_at_zero(found):
    profile = found.target
    assert isinstance(profile, jd.radial.Profile)
    assert np.abs(profile.values).max() <= 1
    assert profile.values[-1] == 0
    assert np.abs(np.diff(profile.values) / np.diff(profile.knots)).max() <= 2.0
    assert profile.radius == 8.0


@pytest.mark.once
def test_an_admissible_start_that_cannot_be_bettered_is_returned(found):
    # From the optimum itself, one step with the knots elsewhere: its profile is not among them.
    again = jd.radial.harden(
        found.target, 3, 35.0, lipschitz=2.0, num_knots=10, starts=1, steps=1, method=METHOD
    )
    assert again.target is found.target
    assert again.certificate.floor == found.certificate.floor


@pytest.mark.once
def test_the_quadratic_form_is_the_floor():
    from jaxdepth.radial._floor_form import floor_form

    knots = np.linspace(0, 6, 7)
    values = np.cos(2 * knots) * (1 - knots / 6)
    form = floor_form(jd.radial.Profile(knots, np.ones(7)), 4, 9.0, METHOD)
    certificate = jd.radial.certify(jd.radial.Profile(knots, values), 4, 9.0, method=METHOD)
    assert values @ form @ values == pytest.approx(float(certificate.floor), rel=1e-9)


@pytest.mark.once
def test_the_nearest_admissible_values_are_admissible_and_admissible_ones_stay(x64):
    from jaxdepth.radial._harden import _nearest

    rng, knots = np.random.default_rng(0), np.linspace(0, 4, 9)
    distance = jnp.asarray(1.5 * np.abs(knots[:, None] - knots[None, :]))
    for _ in range(20):
        mapped = np.asarray(_nearest(distance, jnp.asarray(rng.normal(size=9) * 2)))
        assert np.abs(np.diff(mapped)).max() <= 1.5 * 0.5 * (1 + 1e-15)
        assert np.abs(mapped).max() <= 1
        assert mapped[-1] == 0
        np.testing.assert_allclose(_nearest(distance, jnp.asarray(mapped)), mapped, atol=1e-15)


def test_what_cannot_be_hardened_is_refused(untyped):
    ball = jd.radial.Ball(2.0)
    with pytest.raises(ValueError, match="`lipschitz` must be finite and positive"):
        jd.radial.harden(ball, 3, 35.0, lipschitz=0.0)
    with pytest.raises(ValueError, match="`num_directions` must be finite and at least 1"):
        jd.radial.harden(ball, 3, 0.0, lipschitz=1.0)
    with pytest.raises(ValueError, match="`starts` must be an integer, at least 2"):
        jd.radial.harden([ball, ball], 3, 35.0, lipschitz=1.0, starts=1)
    with pytest.raises(ValueError, match="`target` must be a radial target"):
        jd.radial.harden([ball, np.cos], 3, 35.0, lipschitz=1.0)
    with pytest.raises(ValueError, match="`method` must be a `Bounded`"):
        jd.radial.harden(ball, 3, 1.0, lipschitz=1.0, method=jd.radial.Certified())
    with pytest.raises(ValueError, match="`num_knots` must be an integer, at least 3"):
        jd.radial.harden(ball, 3, 1.0, lipschitz=1.0, num_knots=2)
