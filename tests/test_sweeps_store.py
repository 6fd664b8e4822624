"""Stores: nothing measured is lost, and nothing is mixed that does not belong together."""

import errno
import functools
import json
import os
import pickle
import threading

import jax
import numpy as np
import pytest

from jaxdepth.sweeps import StoreError, _engines, _files, grid, load, read_arrays, run, write_arrays
from jaxdepth.sweeps._store import Store

pytestmark = pytest.mark.once(x64=True)
quiet = functools.partial(run, progress=False)
PLAN = grid(rate=[0.1, 0.2, 0.3], seed=range(4)).tiled(3)


def measure(rate, seed):
    return {"sum": 2 * rate, "seed squared": seed**2}


def other(rate, seed):
    return {"sum": 3 * rate, "seed squared": seed**2}


def on_host(plan=PLAN, fn=measure, **options):
    return quiet(plan, fn, host=True, **options)


@pytest.fixture(scope="module")
def truth():
    return on_host().attrs["digest"]


def test_a_store_is_read_without_the_program_that_made_it(tmp_path, truth):
    on_host(store=tmp_path, worker=(0, 2))
    part = load(tmp_path)
    assert part.attrs["missing"] == 6
    assert np.isnan(part["sum"].values[part["status"].values == 2]).all()
    on_host(store=tmp_path, worker=(1, 2))
    assert load(tmp_path).attrs["digest"] == truth
    with pytest.raises(StoreError, match=r"holds no sweep: there is no manifest.json"):
        load(tmp_path / "tiles")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda store: on_host(PLAN.tiled(2), store=store), "plan.buckets is"),
        (
            lambda store: on_host(grid(rate=[0.1, 0.2, 0.4], seed=range(4)), store=store),
            "plan.axes.rate.last is '0.3' there and '0.4' here",
        ),
        (lambda store: on_host(fn=other, store=store), "measure.name is .*measure' there and"),
        (lambda store: quiet(PLAN, other, store=store), "measure.host is True there and False"),
    ],
)
def test_a_store_of_something_else_is_refused_with_the_difference(change, named, tmp_path):
    on_host(store=tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    with pytest.raises(StoreError, match=named):
        change(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")} == before


def test_a_store_of_another_precision_or_version_is_refused(tmp_path, monkeypatch):
    on_host(store=tmp_path)
    with (
        jax.enable_x64(jax.numpy.result_type(float) != np.float64),
        pytest.raises(StoreError, match=r"precision.float is 'float\d\d' there and 'float\d\d'"),
    ):
        on_host(store=tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["identity"]["versions"]["jax"] = "0.0.1"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=r"versions.jax is '0.0.1' there and '\d"):
        on_host(store=tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(StoreError, match="is no manifest of a sweep"):
        on_host(store=tmp_path)


def test_a_damaged_tile_is_measured_again(tmp_path, truth):
    on_host(store=tmp_path)
    victim = sorted(tmp_path.glob("tiles/*.npz"))[1]
    victim.write_bytes(victim.read_bytes()[:50])
    with pytest.warns(UserWarning, match=r"cannot be read \(.*\); it counts as missing"):
        dataset = on_host(store=tmp_path)
    assert dataset.attrs["digest"] == truth
    read_arrays(victim)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_full_disk_ends_the_run_and_loses_nothing(tmp_path, monkeypatch, truth, compiled):
    real, written = os.fsync, []

    def full(descriptor):
        written.append(descriptor)
        if len(written) > 3:  # the manifest, the lock's holder, a tile
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(_files.os, "fsync", full)
    with pytest.raises(
        StoreError, match=r"No space left on device.*kept. Free space, and the same"
    ):
        quiet(PLAN, measure, host=not compiled, store=tmp_path)
    monkeypatch.undo()
    assert len(list(tmp_path.glob("tiles/*.npz"))) == 1
    assert not list(tmp_path.glob("tiles/.*"))
    dataset = quiet(PLAN, measure, host=not compiled, store=tmp_path)
    assert dataset.attrs["missing"] == 0
    if not compiled:
        assert dataset.attrs["digest"] == truth


def test_a_store_that_cannot_be_written_is_refused_before_anything_runs(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="`store` must be a folder that can be written; got"):
        on_host(store=tmp_path / "file" / "store", fn=lambda rate, seed: 1 / 0)


def test_a_second_run_of_one_share_is_refused_and_told_who_holds_it(tmp_path, truth):
    started, released = threading.Event(), threading.Event()

    def holding():
        description = json.loads((tmp_path / "manifest.json").read_text())
        with Store.open(tmp_path, description).held((0, 1)):
            started.set()
            released.wait(10)

    on_host(store=tmp_path, worker=(1, 2))
    holder = threading.Thread(target=holding)
    holder.start()
    assert started.wait(10)
    with pytest.raises(StoreError, match=rf"process {os.getpid()} on .*`worker=\(0, 2\)`"):
        on_host(store=tmp_path)
    assert on_host(store=tmp_path, worker=(0, 2)).attrs["digest"] == truth  # another share may
    released.set()
    holder.join()
    assert on_host(store=tmp_path).attrs["digest"] == truth


def test_writers_of_one_tile_at_once_leave_it_whole(tmp_path):
    arrays = {"x": np.arange(50_000)}
    path = tmp_path / "tile.npz"
    write_arrays(path, arrays)
    broken = []

    def writing():
        for _ in range(20):
            write_arrays(path, arrays)

    def reading():
        for _ in range(40):
            if not np.array_equal(read_arrays(path)["x"], arrays["x"]):
                broken.append(1)

    threads = [threading.Thread(target=each) for each in (writing, writing, reading)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not broken
    assert [each.name for each in tmp_path.iterdir()] == ["tile.npz"]


def test_of_two_that_create_a_file_one_does(tmp_path):
    assert _files.created(tmp_path / "manifest", "one")
    assert not _files.created(tmp_path / "manifest", "two")
    assert (tmp_path / "manifest").read_text() == "one"


def test_failures_are_stored_and_not_tried_again_until_asked(tmp_path):
    TRIED.clear()
    first = quiet(grid(seed=range(4)), fails_at_two, host=True, store=tmp_path, throw=False)
    assert first["status"].values.tolist() == [0, 0, 1, 0]
    assert TRIED == [0, 1, 2, 3]
    TRIED.clear()  # what a measure names is part of it
    again = quiet(grid(seed=range(4)), fails_at_two, host=True, store=tmp_path, throw=False)
    assert again.attrs["digest"] == first.attrs["digest"]
    assert TRIED == []
    assert load(tmp_path)["message"].values[2] == "ValueError: two"


TRIED = []


def fails_at_two(seed):
    TRIED.append(seed)
    if seed == 2:
        raise ValueError("two")
    return seed


def test_a_share_travels_to_another_process_with_its_settings(tmp_path, truth):
    sent = pickle.dumps(_engines._Share(PLAN, measure, str(tmp_path), 2, {"host": True}))
    for worker in range(2):
        assert pickle.loads(sent)(worker) == 0
    assert load(tmp_path).attrs["digest"] == truth
