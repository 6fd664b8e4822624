"""Datasets: every result under its name, in a dtype that holds it, or failed and told."""

import functools
import json
import os
import time
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdepth.sweeps import digest, grid, load, run, static
from jaxdepth.sweeps._dataset import assemble, record_of

pytestmark = pytest.mark.once(x64=True)
host = functools.partial(run, host=True, progress=False, throw=False)
SIX = grid(seed=range(6)).tiled(2)  # three tiles


def answers(*given, plan=SIX, **options):
    """Run a measure that gives these answers in turn."""
    return host(plan, lambda seed: given[seed], **options)


def test_outputs_of_other_names_are_failed_and_not_filled():
    found = answers({"a": 1.0}, {"a": 2.0}, {"b": 3.0}, {"b": 4.0}, {"a": 5.0}, {"a": 6.0})
    assert found["status"].values.tolist() == [0, 0, 1, 1, 0, 0]
    assert "b" not in found
    told = "returned ['b'] where most configurations return ['a']"
    assert found["message"].values[2] == told
    np.testing.assert_array_equal(found["a"], [1, 2, np.nan, np.nan, 5, 6])


def test_of_two_forms_that_are_as_frequent_the_first_configurations_is_kept():
    one, two = ({"a": np.ones(2)}, {"a": np.ones(3)})
    records = [record_of(np.array([i]), each, {}) for i, each in enumerate((one, two))]
    for place, record in enumerate(records):
        record["output.a"] = record["output.a"][None]
        assert record["members"] == [place]
    description = {
        "dimensions": {"n": 2},
        "axes": {"n": {"dimension": "n", "kind": "static", "values": [0, 1]}},
        "units": {},
        "attributes": {},
        "identity": {},
    }
    found = assemble(description, reversed(records))
    assert found["a"].shape == (2, 2)
    assert found["status"].values.tolist() == [0, 1]
    assert all("output.a" not in record for record in records)  # memory is given back on the way


@pytest.mark.parametrize(
    ("given", "dtype", "status"),
    [
        ([2**63, 1, 2, 3, 4, 2**64 - 1], np.uint64, [0] * 6),
        ([-1, -2, 2**63, 2**63 + 1, -3, -4], np.int64, [0, 0, 1, 1, 0, 0]),
        ([1, 2**53, 0.5, 1.5, 2.5, 3.5], np.float64, [0] * 6),
        ([1, 2**53 + 1, 0.5, 1.5, 2.5, 3.5], np.float64, [0, 1, 0, 0, 0, 0]),
        ([True, False, 3, 4, 5, 6], np.int64, [0] * 6),
        (["a", "bc", 1, 2, "d", "e"], np.str_, [0, 0, 1, 1, 0, 0]),
    ],
)
def test_no_integer_is_rounded(given, dtype, status):
    found = answers(*given)
    assert found["value"].dtype.type is np.dtype(dtype).type
    assert found["status"].values.tolist() == status
    for place, value in enumerate(given):
        if not status[place]:
            assert found["value"].values[place].item() == value
        elif isinstance(value, int) and "message" in found and dtype is not np.str_:
            assert f"{value}, which" in found["message"].values[place]


def test_messages_are_cut_and_cost_what_they_hold():
    def measure(seed):
        raise ValueError("x" * 10_000 if seed == 0 else "short")

    plan = grid(seed=range(6)).tiled(6)
    found = host(plan, measure)
    assert found["message"].dtype == object
    assert len(found["message"].values[0]) == 500
    assert found["message"].values[1] == "ValueError: short"


@pytest.mark.parametrize(
    ("plan", "result", "match"),
    [
        (grid([{"rate": 0.5}]), {"configuration": 1.0}, "names of their own; got 'configuration'"),
        (grid(rate=[0.5]), {"a": jnp.ones(2), "a_0": 1.0}, "got 'a_0'.*dimension of the output"),
        (grid(rate=[0.5], a_0=[1]), {"a": jnp.ones(2)}, "got 'a_0'.*dimension of the output"),
        (grid(rate=[0.5]), {"a/b": 1.0}, "names that netCDF takes; got 'a/b'"),
        (grid(rate=[0.5]), {"a\n": 1.0}, "names that netCDF takes"),
        (grid(rate=[0.5]), {"a": jnp.ones(2, jnp.bfloat16)}, "a of bfloat16.*cast to float32"),
    ],
)  # fmt: skip
def test_what_netcdf_does_not_hold_is_refused_before_anything_runs(plan, result, match):
    with pytest.raises(ValueError, match=match):
        run(plan, lambda **axes: result, progress=False)


@pytest.mark.usefixtures("untyped")
def test_units_are_strings_of_axes_and_outputs():
    seen = []

    def measure(seed):
        seen.append(seed)
        return seed

    for units, match in [({"value": 1}, "strings by name"), ({"vaule": "m"}, "of seed, value")]:
        with pytest.raises(ValueError, match=f"`units` must be .*{match}"):
            host(SIX, measure, units=units)
    assert seen == [0, 1]  # known when the first tile is
    assert host(SIX, measure, units={"value": "m"})["value"].attrs["units"] == "m"


def test_a_store_keeps_its_units(tmp_path):
    def measure(seed):
        return 1.0 * seed

    host(SIX, measure, store=tmp_path, units={"value": "m"})
    with pytest.warns(UserWarning, match=r"`units` of `store` .* stay {'value': 'm'}"):
        found = host(SIX, measure, store=tmp_path, units={"value": "km"})
    assert found["value"].attrs["units"] == load(tmp_path)["value"].attrs["units"] == "m"


def test_units_of_time_leave_the_numbers(tmp_path):
    xarray = pytest.importorskip("xarray")
    units = {"value": "days since 2000-01-01", "seed": "seconds"}
    made = answers(*(1.5 * i for i in range(6)), store=tmp_path, units=units)
    with xarray.open_dataset(tmp_path / "results.nc", decode_times=False) as read:
        assert digest(read) == made.attrs["digest"]
        assert read["value"].attrs["units"] == units["value"]
    with (
        xarray.open_dataset(tmp_path / "results.nc", decode_times=True) as read,
        pytest.raises(ValueError, match="decode_times=False"),
    ):
        digest(read)


def test_a_dataset_is_laid_out_by_its_configurations_whatever_the_shapes():
    found = answers(*(np.full((0, 2), 1.0) for _ in range(6)))
    assert found["value"].shape == (6, 0, 2)
    assert digest(found) == found.attrs["digest"]


def test_a_store_is_read_by_its_manifest_and_not_by_what_lies_beside(tmp_path):
    answers(*range(6), store=tmp_path / "one")
    answers(*range(6, 12), store=tmp_path / "two")
    for tile in (tmp_path / "two" / "tiles").iterdir():
        (tmp_path / "one" / "tiles" / tile.name).write_bytes(tile.read_bytes())
    assert load(tmp_path / "one")["value"].values.tolist() == list(range(6))
    manifest = json.loads((tmp_path / "one" / "manifest.json").read_text())
    assert manifest["tiles"] == [3]


def test_what_a_killed_run_left_half_written_is_cleared_when_it_is_old(tmp_path):
    answers(*range(6), store=tmp_path)
    old = [tmp_path / "tiles" / ".abc.npz-1", tmp_path / ".results-1", tmp_path / ".nfs"]
    young = tmp_path / "tiles" / ".abc.npz-2"
    for path in (old[0], old[2], young):
        path.write_text("half")
    old[1].mkdir()
    (old[1] / "results.nc").write_text("half")
    for path in old:
        os.utime(path, (time.time() - 7200,) * 2)
    answers(*range(6), store=tmp_path)
    assert [path.exists() for path in (*old, young)] == [False, False, True, True]


def test_booleans_are_no_share(tmp_path):
    with pytest.raises(ValueError, match=r"`worker` must be \(i, n\)"):
        answers(*range(6), store=tmp_path, worker=(False, True))


def test_a_plan_of_many_static_values_is_told_soon():
    plan = grid(name=static([f"n{i}" for i in range(3000)]))
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(plan.buckets) == 3000
        assert plan.digest
    assert time.perf_counter() - start < 5
