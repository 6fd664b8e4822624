"""What the experiments that are maps make of their sweeps."""

import itertools

import jax
import numpy as np
import pytest

from experiments import acceleration_map, certificate_map, depth_width_map

pytestmark = pytest.mark.once


def test_a_rate_beyond_one_that_diverges_is_not_the_best():
    steps = np.array([400.0, 90.0, np.inf, np.nan, 7.0, np.nan]).reshape(1, 1, 6, 1)
    fewest, which = acceleration_map.best({"steps": steps})
    assert (fewest.item(), which.item()) == (90.0, 1)


def test_divergence_is_asked_of_rates_whose_growth_shows_within_the_steps():
    """At p = 2, r⁺ = (1 − η)r: the loss grows by (η − 1)² a step, to 1e9 times the first or not."""
    rates = np.array([1.0, 1.9, 2.01, 2.5, 4.0])
    starts = np.array([[0.1, 0.0]])
    for steps, asked, diverging in ((20, 3, 1), (100, 4, 2), (2000, 5, 3)):
        grown = 2 * steps * np.log(np.abs(rates - 1) + 1e-300)
        counts = np.where(grown > np.log(1e9), np.nan, np.inf)[None, None, :, None]
        claim = acceleration_map._divergence({
            "powers": np.array([2.0]),
            "rates": rates,
            "limit": np.asarray(steps),
            "starts": starts,
            "steps": counts,
        })  # fmt: skip
        assert claim.holds
        assert claim.predicted == f"{diverging} of {asked} descents"


def test_shapes_of_the_depth_width_map_are_drawn_independently():
    shapes = itertools.product((1, 2, 3), (1, 2, 3), (0, 1))
    drawn = {
        tuple(jax.random.key_data(depth_width_map.key_of(*shape)).tolist()) for shape in shapes
    }
    assert len(drawn) == 18


def test_tubes_that_cover_half_a_sphere_are_counted_by_caps_in_three_dimensions():
    """There q(u) = 1 − √(1 − 1/u²), two caps (Archimedes)."""
    u = np.array([1.0, 1.01, 1.5, 3.0, 6.0])
    expected = -np.log10(2 * (1 - np.sqrt(1 - 1 / u**2)))
    found = certificate_map.covering(np.full(5, 3.0), u)
    # 1/u² near 1 loses half of the digits of the root.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


def waves(frequencies, log10):
    return {
        "dims": np.array([3, 8]),
        "frequencies": np.array(frequencies),
        "log10": np.array(log10),
        "trusted": np.ones(np.shape(log10), bool),
        "checked_floors": np.ones(32),
        "checked_trusted": np.asarray(True),
        "checked_certified": np.asarray(False),
    }


def test_two_waves_are_judged_and_a_slow_one_only_where_there_is_one():
    certificate_map.Config(dims=(3, 8), frequencies=(2.0, 4.0))
    told = np.log10([2.0, 4.0])
    results = waves((2.0, 4.0), [3 * told, 8 * told])
    assert [claim.holds for claim in certificate_map.claims(results)] == [True, True]
    results = waves((0.5, 2.0, 4.0), [[-np.inf, *(3 * told)], [0.5, *(8 * told)]])
    *_, slow = certificate_map.claims(results)
    assert slow.holds
    assert "s = 0.5" in slow.claim


def test_a_map_of_one_fast_wave_is_refused():
    with pytest.raises(ValueError, match="`frequencies` must hold two from 2 on"):
        certificate_map.Config(frequencies=(0.5, 1.0, 2.0))
