"""Running a plan: every number is what one configuration alone gives, and nothing is lost."""

import functools
import os
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxdepth as jd
from jaxdepth.sweeps import (
    FailedConfigurationsError,
    _compiled,
    _memory,
    _program,
    digest,
    grid,
    predict,
    run,
    traced,
)
from jaxdepth.sweeps._flight import fly

quiet = functools.partial(run, progress=False)


def sawtooth_crossings(depth, teeth):
    return jd.crossings.count(jd.networks.Sawtooth(depth, teeth=teeth), GRID).value


GRID = jd.crossings.Grid(2**10 + 1)


def test_a_sweep_counts_what_the_theorem_says():
    """Cr of the sawtooth is (2·teeth)^depth + 1: Telgarsky 2016, Corollary 3.14."""
    plan = grid(depth=range(1, 5), teeth=[1, 2])
    found = quiet(plan, sawtooth_crossings)["value"]
    assert found.dims == ("depth", "teeth")
    for depth in range(1, 5):
        for teeth in (1, 2):
            assert int(found.sel(depth=depth, teeth=teeth)) == (2 * teeth) ** depth + 1


def trained(width, depth, seed, rate):
    """A loss after training, and a count: a float and an integer of a padded network."""
    sizes = (1, *[width] * depth.max, 1)
    net = jd.networks.MLP.padded(sizes, width=width, depth=depth, key=jax.random.key(seed))
    x = jnp.linspace(0.0, 1.0, 16)[:, None]
    y = jnp.sin(6 * x[:, 0])

    def loss(net):
        return jnp.mean((jax.vmap(net)(x)[:, 0] - y) ** 2)

    rates = {"learning_rate": rate}
    ended = jd.dynamics.descend(net, loss, optax.sgd, 4, hyperparameters=rates, record_every=2)
    crossings = jd.crossings.count(net, jd.crossings.Grid(65), level=0.0)
    return {"losses": ended.losses, "crossings": crossings.value}


PLAN = grid(width=[3, 4, 5], depth=[1, 3], seed=range(3), rate=[0.05, 0.2]).tiled(8)


@pytest.fixture(scope="module")
def whole():
    """The dataset of PLAN, on one device."""
    return quiet(PLAN, trained, devices=jax.devices()[:1])


@pytest.mark.once
def test_a_padded_sweep_agrees_with_networks_of_their_own_shapes(whole):
    chosen = np.zeros(PLAN.shape, bool)
    chosen[0, 0, 1, 1] = chosen[1, 1, 2, 0] = chosen[2, 0, 0, 1] = True
    alone = quiet(PLAN.where(chosen), trained, host=True)
    np.testing.assert_array_equal(whole["crossings"].values[chosen], alone["crossings"])
    # Four steps of float sums in another order: a few hundred roundings of numbers near 1.
    tolerance = 300 * float(jnp.finfo(jnp.result_type(float)).eps)
    np.testing.assert_allclose(
        whole["losses"].values[chosen], alone["losses"], rtol=tolerance, atol=tolerance
    )


@pytest.mark.once
def test_the_digest_does_not_depend_on_devices_chunks_workers_or_restarts(whole, tmp_path):
    assert quiet(PLAN, trained).attrs["digest"] == whole.attrs["digest"]  # two devices
    assert quiet(PLAN, trained, chunk=8).attrs["digest"] == whole.attrs["digest"]
    first = quiet(PLAN, trained, store=tmp_path, worker=(0, 2))
    assert first.attrs["missing"] > 0
    assert first.attrs["digest"] != whole.attrs["digest"]
    both = quiet(PLAN, trained, store=tmp_path, worker=(1, 2))
    assert both.attrs["missing"] == 0
    assert both.attrs["digest"] == whole.attrs["digest"]
    (tmp_path / "results.nc").unlink()
    for tile in sorted(tmp_path.glob("tiles/*"))[:2]:
        tile.unlink()
    assert quiet(PLAN, trained, store=tmp_path).attrs["digest"] == whole.attrs["digest"]


CALLS = []


def counted(rate):
    CALLS.append(rate)
    return rate


def test_what_is_stored_is_not_measured_again(tmp_path):
    CALLS.clear()
    plan = grid(rate=[0.1, 0.2, 0.3]).tiled(1)
    one = quiet(plan, counted, store=tmp_path, host=True)
    assert CALLS == [0.1, 0.2, 0.3]
    CALLS.clear()  # what a measure names is part of it
    two = quiet(plan, counted, store=tmp_path, host=True)
    assert CALLS == []
    assert digest(one) == digest(two)
    quiet(plan, counted, store=tmp_path, host=True, resume=False)
    assert CALLS == [0.1, 0.2, 0.3]


def test_a_bucket_is_one_compilation_and_a_second_run_is_none(monkeypatch):
    compilations = []
    compiled = _program._compile
    monkeypatch.setattr(_program, "_compile", lambda *a: compilations.append(1) or compiled(*a))

    def area(width, rate):
        return width.value.astype(rate.dtype) * rate

    plan = grid(width=range(1, 17), rate=[0.5, 1.0, 2.0])
    assert predict(plan, area).compilations == len(plan.buckets) == len(compilations)
    quiet(plan, area)
    assert len(compilations) == len(plan.buckets)


def test_a_prediction_counts_without_storing():
    prediction = predict(grid(rate=np.linspace(0, 1, 40)).tiled(10), lambda rate: rate**2)
    assert (prediction.configurations, prediction.tiles) == (40, 4)
    assert 0 < prediction.in_flight <= 40
    assert 0 < prediction.seconds < 10
    assert prediction.nbytes >= 40 * 4
    assert "40 configurations in 4 tiles" in str(prediction)


def test_nan_is_kept_and_counted(capsys):
    dataset = run(grid(rate=[-1.0, 0.5, 4.0]), lambda rate: jnp.sqrt(rate))
    assert np.isnan(dataset["value"].values).tolist() == [True, False, False]
    assert dataset["value"].attrs["nan_count"] == 1
    assert dataset.attrs["failed"] == 0
    assert "`value` is NaN for 1 configurations; they are kept" in capsys.readouterr().err


def test_the_datasets_names_units_and_provenance(tmp_path):
    xarray = pytest.importorskip("xarray")

    def measure(rate, name):
        return {"curve": rate * jnp.arange(3.0), "long": jnp.asarray(len(name))}

    plan = grid(rate=[0.5, 1.0], name=["a", "bcd"])
    dataset = quiet(plan, measure, store=tmp_path, units={"rate": "1/step", "curve": "m"})
    assert dataset["curve"].dims == ("rate", "name", "curve_0")
    assert dataset["curve"].attrs["units"] == "m"
    assert dataset["rate"].attrs == {"units": "1/step", "kind": "traced"}
    assert dataset["long"].sel(name="bcd").values.tolist() == [3, 3]
    assert dataset.attrs["source"].startswith("jaxdepth ")
    with xarray.open_dataset(tmp_path / "results.nc") as read:
        assert read.attrs == dataset.attrs
        assert digest(read) == dataset.attrs["digest"]


@pytest.mark.parametrize(
    ("axes", "measure", "match"),
    [
        (
            {"rate": [0.5]},
            lambda rate: rate if rate > 0 else 0,
            "concrete value of the axis `rate`",
        ),
        (
            {"rate": [0.5], "seed": [3]},
            lambda rate, seed: rate * jnp.zeros(int(seed), jnp.result_type(rate)).sum(),
            r"the axis `seed`.*`seed=jd.sweeps.static\(\[3, …\]\)`.*`host=True`",
        ),
        (
            {"depth": [2], "rate": [0.1]},
            lambda depth, rate: rate if depth.value > 1 else 0,
            "concrete value of the axis `depth`",
        ),
        (
            {"rate": [0.5], "seed": [3]},
            lambda rate, seed: (rate > 0) and (seed > 0) and rate,
            "one of the axes `rate`, `seed`",
        ),
    ],
)
def test_a_measure_that_needs_a_concrete_value_is_told_which_and_the_cure(axes, measure, match):
    with pytest.raises(ValueError, match=match):
        quiet(grid(**axes), measure)
    assert np.isfinite(quiet(grid(**axes), measure, host=True)["value"]).all()


@pytest.mark.parametrize(
    ("axes", "measure", "match"),
    [
        ({"rate": [0.5]}, 3, "`measure` must be a function of the axes"),
        ({"rate": [0.5]}, lambda x: x, "function of the keyword arguments rate"),
        ({"rate": [0.5]}, lambda rate, more: rate, "missing a required argument: 'more'"),
        ({"rate": [0.5]}, lambda rate: {}, "a function that returns something"),
        ({"rate": [0.5]}, lambda rate: {"rate": rate}, "outputs have names of their own"),
        ({"rate": [0.5]}, lambda rate: {"status": rate}, "outputs have names of their own"),
        (
            {"rate": [0.5]},
            lambda rate: jax.lax.complex(rate, rate),
            "Return real and imaginary parts",
        ),
        ({"rate": [0.5]}, lambda rate: jax.random.key(0), "Return `jax.random.key_data` of it"),
        ({"rate": [0.5]}, lambda rate: [rate], "got 'list'. Name what you want of it"),
        ({"dim": [1, 2]}, lambda dim: jnp.zeros(dim), r"\(1,\)} for dim=1 and .*\(2,\)} for dim=2"),
    ],
)
@pytest.mark.usefixtures("untyped")
def test_a_measure_that_gives_no_dataset_is_refused_before_anything_runs(axes, measure, match):
    with pytest.raises(ValueError, match=match):
        quiet(grid(**axes), measure)


def test_static_values_that_fail_are_named_and_the_others_go_on():
    def measure(dim, rate):
        if dim == 2:
            raise ValueError("no even dimensions")
        return rate * dim

    plan = grid(dim=[1, 2, 3], rate=[0.5, 1.0])
    with (
        pytest.warns(UserWarning, match="cannot be compiled for dim=2, rate=0.5 and 1 more"),
        pytest.raises(FailedConfigurationsError, match="2 of 6 configurations failed") as caught,
    ):
        quiet(plan, measure)
    assert "dim=2, rate=0.5: ValueError: no even dimensions" in str(caught.value)
    dataset = caught.value.dataset
    np.testing.assert_array_equal(dataset["status"].sel(dim=2), 1)
    np.testing.assert_array_equal(dataset["value"].sel(dim=3), [1.5, 3.0])
    assert np.isnan(dataset["value"].sel(dim=2)).all()


def test_a_bucket_that_cannot_be_traced_is_tried_one_configuration_at_a_time():
    def measure(width):
        if width.max > 3:
            raise ValueError(f"width {width.max} is too wide")
        return width.value * 2

    plan = grid(width=[2, 3, 4])
    with pytest.warns(UserWarning, match="they run one at a time"):
        dataset = quiet(plan, measure, throw=False)
    assert dataset["status"].values.tolist() == [0, 0, 1]
    assert dataset["value"].values.tolist()[:2] == [4, 6]
    assert str(dataset["message"].values[2]) == "ValueError: width 4 is too wide"


def test_a_configuration_that_fails_at_run_time_is_found_and_the_others_keep_their_bits():
    def measure(rate):
        return eqx.error_if(jnp.sin(rate), rate > 2.5, "rate is too high")

    plan = grid(rate=[1.0, 2.0, 3.0, 0.5]).tiled(4)
    dataset = quiet(plan, measure, throw=False)
    assert dataset["status"].values.tolist() == [0, 0, 1, 0]
    assert "rate is too high" in str(dataset["message"].values[2])
    good = quiet(grid(rate=[1.0, 2.0, 0.0, 0.5]).tiled(4), measure)["value"].values
    np.testing.assert_array_equal(dataset["value"].values[[0, 1, 3]], good[[0, 1, 3]])


def test_a_host_measure_that_fails_or_changes_shape_is_recorded():
    def measure(seed):
        if seed == 1:
            raise RuntimeError("seed one")
        return np.zeros(2 if seed == 3 else 1) if seed != 4 else 2**70

    dataset = quiet(grid(seed=range(5)), measure, host=True, throw=False)
    assert dataset["status"].values.tolist() == [0, 1, 0, 1, 1]
    said = dataset["message"].values
    assert said[1] == "RuntimeError: seed one"
    assert "(2,)" in said[3]
    assert "beyond 64 bits return the logarithm" in said[4]


def test_a_measure_that_always_fails_is_given_up():
    tried = []

    def measure(seed):
        tried.append(seed)
        raise NameError("name 'nope' is not defined")

    with pytest.raises(RuntimeError, match=r"all of the first 100 .* failed, seed=.*nope"):
        quiet(grid(seed=range(1000)).tiled(10), measure, host=True)
    assert len(tried) == 100


def test_precision_follows_the_callers(x64):
    dataset = quiet(
        grid(rate=[0.1, 0.2], seed=[2**40]),
        lambda rate, seed: rate + jnp.asarray(seed, jnp.result_type(float)),
    )
    assert dataset["value"].dtype == np.float64
    np.testing.assert_array_equal(dataset["value"], np.array([[0.1], [0.2]]) + 2.0**40)


def test_numbers_beyond_the_precision_are_refused(x32):
    with pytest.raises(
        ValueError, match=r"numbers that int32 holds; got 1099511627776.*enable_x64"
    ):
        quiet(grid(seed=[1, 2**40]), lambda seed: seed)
    for beyond in (1e300, 1e-60):
        with pytest.raises(ValueError, match="`rate` must be numbers that float32 holds"):
            quiet(grid(rate=[1.0, beyond]), lambda rate: rate)


def test_arrays_that_a_measure_closes_over_are_passed_to_its_program():
    table = jnp.arange(1000.0)

    def measure(seed):
        return table[seed] + table.sum() * 0

    plan = grid(seed=[3, 999])
    (bucket,) = plan.buckets
    traced_ = _program.trace(plan, measure, bucket)
    assert [const.shape for const in traced_.consts] == [(1000,)]
    assert quiet(plan, measure)["value"].values.tolist() == [3.0, 999.0]


def test_nothing_may_be_traced_and_a_list_has_one_dimension():
    dataset = quiet(grid(name=["a", "b"]), lambda name: ord(name))  # nothing traced at all
    assert dataset["value"].values.tolist() == [97, 98]
    chosen = grid(rate=[0.5, 1.0], seed=range(3)).where(np.eye(2, 3, dtype=bool))
    found = quiet(chosen, lambda rate, seed: rate + jnp.asarray(seed, jnp.result_type(float)))
    assert found["value"].values.tolist() == [0.5, 2.0]
    assert found["seed"].values.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"devices": "tpu of another planet"}, "`devices` must be a platform that is here"),
        ({"devices": []}, "`devices` must be JAX devices"),
        ({"chunk": 0}, "`chunk` must be an integer, at least 1"),
        ({"memory": 0}, "`memory` must be an integer, at least 1"),
        ({"worker": (2, 2)}, r"`worker` must be \(i, n\) with 0 ≤ i < n"),
        ({"worker": (0, 2)}, "`store` must be a folder that all processes share"),
    ],
)
def test_options_that_cannot_be_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        quiet(grid(rate=[0.5]), lambda rate: rate, **options)


def test_a_tile_larger_than_the_memory_given_is_refused_before_it_runs():
    def measure(rate):
        return jnp.sort(jnp.outer(jnp.ones(500) * rate, jnp.arange(500.0)), axis=0).sum()

    plan = grid(rate=np.linspace(0, 1, 8)).tiled(8)
    all_ = predict(plan, measure, chunk=1).nbytes
    with pytest.raises(MemoryError, match=r"one call .* takes .* MiB, and there are .*tiled\(\d\)"):
        quiet(plan, measure, memory=all_ // 2)
    with pytest.raises(MemoryError, match="Give more `memory`"):
        quiet(plan, measure, memory=all_ // 100)
    assert quiet(plan.tiled(2), measure, memory=all_ // 2)["value"].shape == (8,)


def test_calls_in_flight_are_halved_when_a_device_has_no_memory_left():
    flying, peaks = set(), []

    def execute(call):
        flying.add(call)
        time.sleep(0.01)
        crowded = len(flying) > 2
        peaks.append(len(flying))
        flying.discard(call)
        if crowded:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return 2 * call

    found = dict(fly(range(12), execute, lambda _: 1, most=8, budget=100))
    assert found == {call: 2 * call for call in range(12)}
    assert max(peaks) > 2
    assert peaks[-1] <= 2

    def never(call):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    with pytest.raises(MemoryError, match=r"`plan.tiled\(…\)`"):
        list(fly(range(3), never, lambda _: 1, most=4, budget=100))


def test_calls_in_flight_keep_to_the_budget():
    flying, most = set(), []

    def execute(call):
        flying.add(call)
        most.append(len(flying))
        time.sleep(0.005)
        flying.discard(call)

    list(fly(range(10), execute, lambda _: 40, most=8, budget=100))
    assert max(most) <= 2


def test_progress_is_told_by_lines_where_there_is_no_terminal(capsys):
    run(grid(rate=[0.1, 0.2, 0.3]), lambda rate: rate, host=True)
    assert "3 of 3 (100%)" in capsys.readouterr().err


@pytest.mark.parametrize(("ram", "left"), [([8e9], [3e9, 5e9]), ([3e9], [8e9]), ([3e9], [])])
def test_memory_is_capped_by_what_is_free(monkeypatch, ram, left):
    monkeypatch.setattr(_memory, "_ram", lambda: ram)
    monkeypatch.setattr(_memory, "_cgroup", lambda: left)
    assert _compiled.resources(None, None, None).memory == int(0.8 * 3e9)
    assert _compiled.resources("cpu", 123, None).memory == 123


def test_traced_floats_that_a_float_cannot_hold_are_what_the_program_sees():
    dataset = quiet(grid(rate=traced([0.1])), lambda rate: rate)
    assert dataset["value"].dtype == jnp.result_type(float)
    assert float(dataset["value"][0]) == float(np.asarray(0.1, jnp.result_type(float)))


def test_what_is_compiled_already_is_found_by_content_and_not_by_name():
    def scaled(by):
        return lambda rate: rate * by

    plan = grid(rate=[1.0])
    assert float(quiet(plan, scaled(2.0))["value"][0]) == 2
    assert float(quiet(plan, scaled(3.0))["value"][0]) == 3
    by = 4.0

    def measure(rate):
        return rate * by

    assert float(quiet(plan, measure)["value"][0]) == 4
    by = 5.0
    assert float(quiet(plan, measure)["value"][0]) == 5


@pytest.mark.once
def test_exact_integers_are_never_rounded():
    def crossings(depth):
        return 2**depth.value + 1

    found = quiet(grid(depth=[61, 62, 63]).tiled(3), crossings, host=True)["value"]
    assert [int(value) for value in found] == [2**61 + 1, 2**62 + 1, 2**63 + 1]
    plan = grid(seed=range(2)).tiled(2)
    mixed = quiet(plan, lambda seed: 2**63 if seed else -1, host=True, throw=False)
    assert mixed["status"].values.tolist() == [0, 1]
    assert "int64 does not hold" in str(mixed["message"].values[1])
    doubtful = quiet(plan, lambda seed: 2**53 + 1 if seed else 0.5, host=True, throw=False)
    assert doubtful["status"].values.tolist() == [0, 1]


@pytest.mark.filterwarnings("ignore:`measure` cannot be compiled")
def test_a_result_that_the_programs_dtype_does_not_hold_is_failed_and_not_wrapped(x32):
    def measure(dim):
        return jnp.int32(2) if dim == 1 else 2**dim

    dataset = quiet(grid(dim=[1, 31, 40]), measure, throw=False)
    assert dataset["status"].values.tolist() == [0, 1, 1]
    assert dataset["value"].dtype == np.int32


def test_a_buffer_that_a_measure_uses_again_is_copied():
    out = np.zeros(2)

    def measure(seed):
        out[:] = seed
        return out

    found = quiet(grid(seed=range(3)).tiled(3), measure, host=True)["value"]
    np.testing.assert_array_equal(found, [[0, 0], [1, 1], [2, 2]])


def test_the_most_frequent_shape_wins():
    def measure(seed):
        return np.zeros(2 if seed == 0 else 1)

    dataset = quiet(grid(seed=range(6)).tiled(6), measure, host=True, throw=False)
    assert dataset["status"].values.tolist() == [1, 0, 0, 0, 0, 0]


def test_one_value_that_always_fails_does_not_end_the_others():
    def measure(dim, seed):
        return seed / dim

    plan = grid(dim=[0, 1, 2], seed=range(100))
    dataset = quiet(plan, measure, host=True, throw=False)
    np.testing.assert_array_equal(dataset["status"].sum("seed"), [100, 0, 0])


def test_a_lost_device_ends_the_run_and_fails_no_configuration(tmp_path, monkeypatch):
    plan = grid(rate=np.linspace(0.0, 1.0, 20)).tiled(2)
    real, calls = _program.Program.__call__, []

    def flaky(self, groups):
        calls.append(1)
        if len(calls) > 2:
            raise jax.errors.JaxRuntimeError("INTERNAL: CUDA_ERROR_ECC_UNCORRECTABLE")
        return real(self, groups)

    def squared(rate):
        return rate**2

    monkeypatch.setattr(_program.Program, "__call__", flaky)
    with pytest.raises(jax.errors.JaxRuntimeError, match="ECC"):
        quiet(plan, squared, store=tmp_path)
    monkeypatch.undo()
    kept = list(tmp_path.glob("tiles/*.npz"))
    assert kept
    assert quiet(plan, squared, store=tmp_path).attrs["failed"] == 0


def test_failures_are_tried_again_when_asked(tmp_path, monkeypatch):
    def measure(seed):
        if seed == 1 and os.environ.get("SICK"):
            raise OSError("the network is down")
        return seed

    plan = grid(seed=range(4)).tiled(1)
    monkeypatch.setenv("SICK", "yes")
    first = quiet(plan, measure, host=True, store=tmp_path, throw=False)
    monkeypatch.delenv("SICK")
    assert first.attrs["failed"] == 1
    assert quiet(plan, measure, host=True, store=tmp_path, throw=False).attrs["failed"] == 1
    assert quiet(plan, measure, host=True, store=tmp_path, retry=True).attrs["failed"] == 0


def test_a_random_key_may_be_closed_over():
    key = jax.random.key(3)

    def measure(rate):
        return rate * jax.random.uniform(key, dtype=jnp.result_type(rate))

    found = quiet(grid(rate=[1.0, 2.0]), measure)["value"]
    expected = float(jax.random.uniform(key, dtype=jnp.result_type(float)))
    np.testing.assert_allclose(found, [expected, 2 * expected], rtol=1e-6)


def test_one_device_and_none_twice():
    device = jax.devices()[0]
    assert quiet(grid(rate=[0.5]), lambda rate: rate, devices=device).attrs["devices"] == 1
    with jax.default_device(device):
        assert quiet(grid(rate=[0.5]), lambda rate: rate).attrs["devices"] == 1
    with pytest.raises(ValueError, match="`devices` must be distinct devices"):
        quiet(grid(rate=[0.5]), lambda rate: rate, devices=[device, device])


@pytest.mark.parametrize(
    ("member", "files", "left"),
    [
        (
            "0::/jobs/mine",
            {"jobs/memory.max": "1000", "jobs/memory.current": "700",
             "jobs/memory.stat": "anon 100\ninactive_file 500",
             "jobs/mine/memory.max": "max", "jobs/mine/memory.current": "600"},
            [800],
        ),
        (
            "4:memory:/mine\n0::/",
            {"memory/mine/memory.limit_in_bytes": "1000",
             "memory/mine/memory.usage_in_bytes": "400",
             "memory/memory.limit_in_bytes": str(2**63 - 4096),
             "memory/memory.usage_in_bytes": "9"},
            [600],
        ),
        ("0::/", {}, []),
    ],
)  # fmt: skip
@pytest.mark.once
def test_the_limits_of_cgroups_count(tmp_path, member, files, left):
    (tmp_path / "self").write_text(member)
    for name, text in files.items():
        path = tmp_path / "system" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert list(_memory._cgroup(tmp_path / "self", tmp_path / "system")) == left


def test_an_interrupted_run_keeps_what_is_stored_and_says_so(tmp_path, monkeypatch, capsys):
    def measure(seed):
        if seed == 2 and os.environ.get("STOP"):
            raise KeyboardInterrupt
        return seed

    plan = grid(seed=range(4)).tiled(1)
    monkeypatch.setenv("STOP", "yes")
    with pytest.raises(KeyboardInterrupt):
        quiet(plan, measure, host=True, store=tmp_path)
    assert "is kept; the same call resumes" in capsys.readouterr().err
    assert len(list(tmp_path.glob("tiles/*.npz"))) == 2
    monkeypatch.delenv("STOP")
    assert quiet(plan, measure, host=True, store=tmp_path)["value"].values.tolist() == [0, 1, 2, 3]


def test_a_bucket_that_does_not_lower_is_tried_alone_and_named(monkeypatch):
    compiled = _program._compile

    def failing(plan, traced, devices):
        if traced.bucket.statics["dim"] == 2:
            raise NotImplementedError("no such routine")
        return compiled(plan, traced, devices)

    monkeypatch.setattr(_program, "_compile", failing)

    def measure(dim, rate):
        return rate * dim + 3

    with pytest.warns(UserWarning, match="cannot be compiled for dim=2.*no such routine"):
        dataset = quiet(grid(dim=[1, 2], rate=[0.5, 1.5]), measure)
    np.testing.assert_allclose(dataset["value"], [[3.5, 4.5], [4.0, 6.0]])
