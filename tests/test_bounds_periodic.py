import itertools
import math
from fractions import Fraction

import jax
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from experiments.periodic_growth import Config
from jaxdepth.bounds import periodic_growth
from jaxdepth.crossings import growth_rate
from jaxdepth.networks import AffineLayer, Composition, ConnectTheDots, Iterated, Sawtooth
from jaxdepth.piecewise import cycles

# Python integers and Fractions do not know of JAX's precision: one pass of the suite is enough.
pytestmark = pytest.mark.once
TENT = ConnectTheDots([0, Fraction(1, 2), 1], [0, Fraction(3, 4), 0])


@pytest.mark.parametrize("period", [*range(3, 40, 2), 99, 101, 103, 199, 201, 203, 10**6 + 1])
def test_the_root_is_correctly_rounded(period):
    with mpmath.workdps(60):
        root = mpmath.mpf("1.5")
        for _ in range(100):  # x² = 2 + x^{2−p}: a contraction, by a factor of 0.3 at most
            root = mpmath.sqrt(2 + root ** (2 - period))
        assert periodic_growth(period) == float(root)


def test_the_golden_ratio_comes_first_and_the_root_of_two_last():
    assert periodic_growth(3) == (1 + math.sqrt(5)) / 2
    roots = [periodic_growth(p) for p in range(3, 103, 2)]
    assert all(before > after for before, after in itertools.pairwise(roots))
    assert periodic_growth(201) == math.sqrt(2) < periodic_growth(103)


@pytest.mark.parametrize("period", [2, 4, 1, 3.0])
def test_periods_that_force_nothing_are_refused(period, untyped):
    with pytest.raises(ValueError, match="`period` must be"):
        periodic_growth(period)


@pytest.mark.parametrize("period", [3, 5, 7, 9])
def test_stefans_map_has_its_cycle_and_none_of_a_smaller_odd_period(period):
    f = ConnectTheDots.stefan(period)
    dots = [Fraction(i, period - 1) for i in range(period)]
    assert dots in [sorted(cycle) for cycle in cycles(f, period)]
    assert not any(cycles(f, odd) for odd in range(3, period, 2))


@pytest.mark.parametrize("period", range(1, 9))
def test_the_mirror_map_has_as_many_cycles_as_moebius_counts(period):
    # m^p has 2^p fixed points; those of least period p are Σ_{d|p} μ(d)·2^{p/d}, p to a cycle.
    moebius = {1: 1, 2: -1, 3: -1, 4: 0, 5: -1, 6: 1, 7: -1, 8: 0}
    points = sum(moebius[d] * 2 ** (period // d) for d in moebius if period % d == 0)
    found = cycles(Sawtooth(1), period)
    assert len(found) == points // period
    for cycle in found:
        for x, after in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
            assert 1 - abs(2 * x - 1) == after
        assert min(cycle) == cycle[0]


def test_the_flat_tent_has_a_cycle_of_period_7_and_grows_too_slowly_for_5():
    # Slope 3/2 lies between the growths that periods 7 and 5 force.
    assert periodic_growth(7) < 1.5 < periodic_growth(5)
    assert [len(cycles(TENT, p)) for p in (3, 5, 7)] == [0, 0, 2]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data(), size=st.sampled_from([3, 4, 5, 6]), period=st.sampled_from([3, 5]))
def test_a_cycle_forces_growth_at_every_level_within_its_range(data, size, period):
    f = ConnectTheDots.from_permutation(data.draw(st.permutations(range(size))))
    try:
        found = cycles(f, period)
    except ValueError:
        return  # an iterate is the identity somewhere: nothing to learn
    for cycle in found[:2]:
        low, high = min(cycle), max(cycle)
        level = low + (high - low) * data.draw(st.sampled_from([Fraction(1, 7), Fraction(2, 3)]))
        rate = growth_rate(f, level=level)
        assert rate.trusted
        assert rate.upper >= math.log(periodic_growth(period))


def test_cycles_of_compositions_and_of_weights_are_found():
    assert cycles(Composition([Sawtooth(1), Sawtooth(1)]), 1) == [(x,) for x in (
        Fraction(0), Fraction(2, 5), Fraction(2, 3), Fraction(4, 5)
    )]  # fmt: skip
    assert cycles(Iterated(TENT, 2), 1) == sorted(
        [(x,) for cycle in cycles(TENT, 2) for x in cycle] + cycles(TENT, 1)
    )
    # x ↦ 1 − 2x on R: one fixed point, 1/3; and no cycle of period 2.
    line = AffineLayer(np.array([[-2.0]]), np.array([1.0]), np.array(1.0))
    assert cycles([line], 1, (-1, 1)) == [(Fraction(1, 3),)]
    assert cycles([line], 2, (-1, 1)) == []


def test_what_cannot_be_listed_is_refused():
    flip = ConnectTheDots([0, 1], [1, 0])
    assert cycles(flip, 1) == [(Fraction(1, 2),)]
    with pytest.raises(ValueError, match=r"f\^2 is the identity from 0 to 1: every point"):
        cycles(flip, 2)
    with pytest.raises(ValueError, match=r"`max_pieces` must be enough for the affine pieces"):
        cycles(Sawtooth(1), 12, max_pieces=1000)
    with pytest.raises(ValueError, match="`period` must be an integer, at least 1"):
        cycles(flip, 0)
    with pytest.raises(ValueError, match="`cycles` is a host method"):
        jax.jit(lambda end: cycles(flip, 1, (0, end)))(1.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("periods", (4,)), ("census", ()), ("periods", (5, 3)), ("cycle_periods", (0, 3))],
)
def test_periods_that_the_experiment_cannot_claim_of_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        Config(**{name: value})
