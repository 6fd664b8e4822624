"""Plans: what is run, in which buckets and tiles, and what is refused before anything runs."""

import itertools

import numpy as np
import optax
import pytest
from hypothesis import given, settings, strategies as st

from jaxdepth.sweeps import Axis, grid, padded, static, traced
from jaxdepth.sweeps._buckets import WASTE, cheapest_bounds
from jaxdepth.sweeps._identity import fingerprint

pytestmark = pytest.mark.once(x64=True)


def test_a_grid_is_the_product_of_its_axes_rows_first():
    plan = grid(depth=[1, 2], rate=[0.1, 0.2, 0.3], seed=range(4))
    every = itertools.product([1, 2], [0.1, 0.2, 0.3], range(4))
    found = [tuple(plan.configuration(i).values()) for i in range(plan.size)]
    assert found == list(every)
    assert plan.shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("rate", [0.1, 1.0], "traced"),
        ("depth", np.arange(1, 4), "padded"),
        ("width", range(1, 9), "padded"),
        ("depth", [1.5, 2.5], "traced"),
        ("seed", range(3), "traced"),
        ("dim", [3, 10], "static"),
        ("activation", ["relu", "tanh"], "static"),
        ("nesterov", [True, False], "static"),
        ("optimiser", [optax.sgd, optax.adam], "static"),
        ("dim", traced([3, 10]), "traced"),
        ("frequency", padded([3, 10]), "padded"),
        ("monitor", static([None, "norm", 3]), "static"),
    ],
)
def test_the_kind_of_an_axis_follows_from_its_values_and_its_name(name, values, kind):
    assert grid(**{name: values}).axes[name].kind == kind


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: grid(), "`axes` must be at least one axis"),
        (lambda: grid(depth=[]), "`depth` must be at least one value.*leaves nothing to run"),
        (lambda: grid(depth=np.zeros(0, int)), "`depth` must be at least one value"),
        (lambda: grid(rate=[1, 2.5]), "`rate` must be of one type, and no mixture of float, int"),
        (lambda: grid(dim=[1, "2"]), "`dim` must be of one type, and no mixture of int, str"),
        (lambda: grid(rate=0.5), r"`rate` must be a sequence of values; got 0.5. Write `\[0.5\]`"),
        (lambda: grid(name="relu"), "`name` must be a sequence of values"),
        (lambda: grid(rate=np.ones((2, 2))), r"of one axis; got 'shape \(2, 2\)'"),
        (lambda: grid(rate=[0.5, 0.5]), "`rate` must be an axis of distinct values"),
        (lambda: grid(rate=[0.5, float("nan")]), "`rate` must be free of NaN"),
        (lambda: grid(width=[0, 1]), "`width` must be an integer, at least 1"),
        (lambda: grid(seed=[2**63]), "`seed` must be integers of at most 64 bits"),
        (lambda: grid(status=[0.5]), "`status` must be a name that results leave free"),
        (lambda: grid(target=[[1], [2]]), "`target` must be hashable, to be static"),
        (lambda: traced(["relu"]), "integers, or floats, to be traced"),
        (lambda: padded([4, 9], bounds=[8]), "`bounds` must be ascending, and the last at least 9"),
        (lambda: padded([4, 9], bounds=[9, 8]), "`bounds` must be ascending"),
        (lambda: grid([]), "at least one configuration"),
        (lambda: grid({"depth": 1}), "`configurations` must be a list of dicts"),
        (lambda: grid([{"depth": 1}, {"width": 1}]), r"of the same keys, \['depth'\]"),
        (lambda: grid([{"depth": 1}], depth=[1]), "`depth` must be an axis of its own"),
        (lambda: grid([{"dim": static([1])}, {"dim": 2}]), "of one kind in all configurations"),
        (lambda: grid(depth=[1]).tiled(0), "`tile` must be an integer, at least 1"),
        (lambda: grid(seed=range(3)).where([True, False]), r"booleans of shape \(3,\)"),
        (lambda: grid(seed=range(3)).where([0, 1, 1]), "booleans of shape"),
        (lambda: grid(seed=range(2)).where([False, False]), "There is nothing left to run"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("untyped")
def test_a_plan_that_cannot_be_run_is_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_every_configuration_is_in_one_tile_of_one_bucket():
    plan = grid(width=range(1, 40), depth=[1, 5], dim=[3, 4], seed=range(3)).tiled(7)
    members = [
        index
        for bucket in plan.buckets
        for tile in range(bucket.num_tiles)
        for index in bucket.of_tile(tile).tolist()
    ]
    assert sorted(members) == list(range(plan.size))
    for bucket in plan.buckets:
        for index in bucket.members.tolist():
            configuration = plan.configuration(index)
            assert configuration["dim"] == bucket.statics["dim"]
            assert configuration["width"] <= bucket.maxima["width"]
            assert configuration["depth"] <= bucket.maxima["depth"] == 5
            assert not any(
                configuration["width"] <= other.maxima["width"] < bucket.maxima["width"]
                for other in plan.buckets
            )


def test_alike_configurations_share_a_tile():
    """A loop under vmap runs to the greatest bound of its tile: depths within a tile are close."""
    plan = grid(depth=range(1, 13), width=[7, 8], seed=range(10)).tiled(20)
    for tile in range(plan.buckets[0].num_tiles):
        depths = plan.values("depth", plan.buckets[0].of_tile(tile))
        assert np.ptp(depths) == 0


def test_integers_floats_and_booleans_that_are_equal_do_not_share_a_program():
    listed = [{"kind": static([value])} for value in (1, 1.0, True)]
    assert [bucket.statics["kind"] for bucket in grid(listed).buckets] == [1, 1.0, True]
    assert len(grid(listed).buckets) == 3


def test_a_uniform_spread_of_widths_wastes_little_arithmetic():
    """64 widths, as squares: five buckets are enough for 1.3."""
    sizes = np.arange(1, 65)
    bounds = np.array(cheapest_bounds(sizes, 2))
    assert len(bounds) == 5
    assert (bounds[np.searchsorted(bounds, sizes)] ** 2).sum() <= 1.3 * (sizes**2).sum()


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    exponent=st.sampled_from([1, 2]),
    waste=st.sampled_from([1.0, 1.1, WASTE, 2.0]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_bounds_are_the_fewest_that_keep_to_the_waste(sizes, exponent, waste):
    sizes = np.array(sizes)
    distinct = np.unique(sizes)

    def cost(bounds):
        bounds = np.array(bounds)
        return (bounds[np.searchsorted(bounds, sizes)] ** exponent).sum()

    allowed = waste * (sizes**exponent).sum() * (1 + 1e-12)
    bounds = cheapest_bounds(sizes, exponent, waste)
    assert bounds[-1] == distinct[-1]
    assert cost(bounds) <= allowed
    fewer = itertools.combinations(distinct[:-1].tolist(), max(len(bounds) - 2, 0))
    if len(bounds) > 1:
        assert all(cost([*cut, distinct[-1]]) > allowed for cut in fewer)


def test_a_thousand_distinct_sizes_are_bucketed_too():
    sizes = np.arange(1, 2001)
    bounds = np.array(cheapest_bounds(sizes, 2))
    assert len(bounds) <= 6
    assert (bounds[np.searchsorted(bounds, sizes)] ** 2).sum() <= 1.32 * (sizes**2).sum()


def test_the_chosen_part_of_a_plan_keeps_its_configurations():
    plan = grid(depth=[1, 2, 3], rate=[0.1, 0.2])
    part = plan.where([[True, False], [False, False], [True, True]])
    assert [part.configuration(i) for i in range(part.size)] == [
        {"depth": 1, "rate": 0.1},
        {"depth": 3, "rate": 0.1},
        {"depth": 3, "rate": 0.2},
    ]


def test_an_explicit_list_is_not_a_product_and_can_be_multiplied_by_axes():
    plan = grid([{"depth": 1, "width": 9}, {"depth": 4, "width": 2}], seed=range(3))
    assert dict(plan.dims) == {"configuration": 2, "seed": 3}
    assert plan.configuration(4) == {"depth": 4, "width": 2, "seed": 1}
    assert plan.named(4) == "depth=4, width=2, seed=1"


def test_plans_have_one_digest_where_they_ask_the_same_and_others_elsewhere():
    plan = grid(depth=[1, 2], seed=range(3))
    assert plan.digest == grid(depth=np.array([1, 2]), seed=[0, 1, 2]).digest
    others = [
        grid(depth=[1, 3], seed=range(3)),
        grid(depth=[1, 2], seed=range(4)),
        grid(seed=range(3), depth=[1, 2]),
        grid(depth=traced([1, 2]), seed=range(3)),
        grid(depth=padded([1, 2], bounds=[4]), seed=range(3)),
        plan.tiled(2),
    ]
    assert len({plan.digest, *(other.digest for other in others)}) == 1 + len(others)


def test_labels_are_numbers_and_strings_and_unique():
    assert grid(dim=[3, 5]).axes["dim"].labels() == [3, 5]
    assert static([optax.sgd, optax.adam]).labels() == ["sgd", "adam"]
    assert static([lambda: 1, lambda: 2]).labels() == ["<lambda>", "<lambda> #2"]
    assert static([None, 3]).labels() == ["None", "3"]


OFFSET = 1


def _shifted(x):
    return x + OFFSET


def _measure(rate):
    return _shifted(rate)


def test_what_a_measure_names_and_closes_over_is_part_of_its_fingerprint(monkeypatch):
    before = fingerprint(_measure)
    assert before == fingerprint(_measure)
    monkeypatch.setitem(globals(), "OFFSET", 2)
    assert fingerprint(_measure) != before

    def closing(steps, table):
        return lambda rate: rate * steps + table[0]

    base = fingerprint(closing(3, np.zeros(2)))
    assert base == fingerprint(closing(3, np.zeros(2)))
    assert base != fingerprint(closing(4, np.zeros(2)))
    assert base != fingerprint(closing(3, np.ones(2)))
    assert fingerprint(optax.sgd(0.1)) != fingerprint(optax.sgd(0.2))


def test_an_axis_is_a_value():
    assert traced([1.0]) == Axis("traced", (1.0,))
