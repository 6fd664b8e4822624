"""Two grades of one certificate, by code that shares nothing: each is the other's oracle."""

import jax
import mpmath
import numpy as np
import pytest

import jaxdepth as jd

pytestmark = pytest.mark.usefixtures("x64")

K = np.array([0.0, 1.0, 4.0, 35.0, 1e3])
CASES = {  # name: target, dimension; every kind of target, every kind of dimension
    "ball": (jd.radial.Ball(2.0), 3),
    "wave": (jd.radial.Cosine(3.0, 8.0), 4),
    "signs": (jd.radial.SignCosine(3.0, 8.0), 5),
    "shells": (jd.radial.Shells([1.0, 2.0, 4.5], [0.5, -1.0]), 2),
    "profile": (jd.radial.Profile([0.0, 3.0, 6.0], [1.0, -1.0, 0.0]), 3),
    "line": (jd.radial.Ball(2.0), 1),
    "high": (jd.radial.Ball(12.0), 20),
}
SETTINGS = {"cutoff": 8.0, "panels_u": 16}


@pytest.mark.parametrize("name", CASES)
def test_float64_under_its_model_agrees_with_ball_arithmetic(name):
    target, dim = CASES[name]
    proven = jd.radial.certify(target, dim, K, method=jd.radial.Certified(**SETTINGS))
    bounded = jd.radial.certify(target, dim, K, method=jd.radial.Bounded(**SETTINGS))
    assert proven.result == jd.radial.CertificateResult.certified
    assert bounded.result == jd.radial.CertificateResult.bounded
    # Both are below the one-sided sum, each by no more than its slack and what it inflates shares
    # by, which moves a floor by as large a part of ‖g‖² at most.
    model = 1.1e-10 * proven.norm_squared
    assert (bounded.floor <= proven.floor + proven.slack).all()
    assert (proven.floor <= bounded.floor + bounded.slack + model).all()
    assert proven.slack.max() < 1e-8
    assert bounded.slack.max() < 1e-9
    assert abs(proven.norm_squared - bounded.norm_squared) < 1e-13


def test_least_numbers_of_directions_are_those_of_the_other_grade_and_of_the_floors():
    target, error = jd.radial.Cosine(3.0, 8.0), np.array([0.5, 0.4235, 0.42, 0.2, 0.05, 0.01])
    proven = jd.radial.min_directions(target, 4, error, method=jd.radial.Certified(**SETTINGS))
    bounded = jd.radial.min_directions(target, 4, error, method=jd.radial.Bounded(**SETTINGS))
    np.testing.assert_array_equal(proven.value, bounded.value)
    np.testing.assert_allclose(proven.log10, bounded.log10, rtol=1e-12)
    assert proven.value[:3].tolist() == [0, 0, 1]  # a constant's floor is .42347
    method = jd.radial.Certified(**SETTINGS)
    assert (np.diff(proven.value) >= 0).all()
    around = np.concatenate([proven.value[2:] - 1, proven.value[2:]])
    below, at = jd.radial.certify(target, 4, around, method=method).floor.reshape(2, -1)
    assert (below > error[2:]).all()
    assert (error[2:] >= at).all()


def test_ball_bessel_functions_hold_the_truth():
    from flint import ctx

    from jaxdepth.radial._ball_bessel import BallBessel
    from jaxdepth.radial._balls import flint

    arb = flint().arb
    with ctx.workprec(96), mpmath.workdps(40):
        for two_mu in (-1, 0, 1, 4, 7, 40):
            bessel = BallBessel(two_mu, 90.0)
            for w in (0.01, 3.7, 15.99, 16.01, 17.0, 18.0, 55.5, 89.9):
                found = bessel(arb(w), w)
                truth = mpmath.besselj(mpmath.mpf(two_mu) / 2, mpmath.mpf(w))
                near = abs(mpmath.mpf(found.mid().str(40, radius=False)) - truth)
                assert near <= mpmath.mpf(found.rad().str(20, radius=False)) + mpmath.mpf(10) ** -38
                assert float(found.rad()) < 1e-20


def test_coarse_rules_and_far_counts_leave_a_floor_of_nothing():
    coarse = jd.radial.Certified(cutoff=8.0, panels_u=2, panels_z=1)
    found = jd.radial.certify(jd.radial.Ball(40.0), 3, K, method=coarse)
    np.testing.assert_array_equal(found.floor, 0)
    assert found.result == jd.radial.CertificateResult.unresolved
    assert not found.trusted
    far = jd.radial.certify(jd.radial.Ball(2.0), 3, 1e308, method=jd.radial.Certified(**SETTINGS))
    assert far.floor == 0


def test_ball_arithmetic_is_for_the_host():
    method = jd.radial.Certified(**SETTINGS)
    with pytest.raises(ValueError, match=r"`method` must be `Bounded\(\)` under jit"):
        jax.jit(lambda b: jd.radial.certify(jd.radial.Ball(b), 3, 1.0, method=method).floor)(2.0)
    with pytest.raises(ValueError, match="`precision` must be an integer, at least 64"):
        jd.radial.Certified(precision=53)


def test_without_its_package_the_cure_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "flint", None)
    with pytest.raises(ImportError, match=r"pip install jaxdepth\[certified\]"):
        jd.radial.certify(jd.radial.Ball(2.0), 3, 1.0, method=jd.radial.Certified(**SETTINGS))
