"""Several processes, some of them killed: one digest, whatever happens."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import sweep_program

from jaxdepth.sweeps import load, run_on_ray, run_on_submitit

HERE = Path(__file__).parent
pytestmark = [pytest.mark.once, pytest.mark.skipif(os.name != "posix", reason="POSIX signals")]


def start(store, *arguments, devices=1):
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_ENABLE_X64": "0"}
    command = [sys.executable, str(HERE / "sweep_program.py"), str(store), *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def digest_of(process):
    told, trouble = process.communicate(timeout=300)
    assert process.returncode == 0, trouble
    return told.split()[-1]


def tiles(store):
    return {path.name: path.stat().st_mtime_ns for path in Path(store).glob("tiles/*.npz")}


def kill_at(process, store, number):
    """Kill a run when `number` tiles are stored, and not before."""
    while len(tiles(store)) < number and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    process.communicate()
    return process.returncode


@pytest.fixture(scope="module")
def truth():
    """The digest of an undisturbed run, in this process, on two devices."""
    return sweep_program.main(None).attrs["digest"]


def test_a_run_killed_on_eight_devices_is_taken_up_by_two_workers_on_two(tmp_path, truth):
    assert kill_at(start(tmp_path, devices=8), tmp_path, 3) == -signal.SIGKILL
    kept = tiles(tmp_path)
    assert 3 <= len(kept) < 30
    part = load(tmp_path)
    assert part.attrs["measured"] + part.attrs["missing"] == sweep_program.PLAN.size
    assert part.attrs["missing"] > 0
    sweep_program.main(tmp_path, "share", 1, 2)
    whole = sweep_program.main(tmp_path, "share", 0, 2)
    assert whole.attrs["digest"] == truth
    assert {name: tiles(tmp_path)[name] for name in kept} == kept  # repeated none


@pytest.mark.slow
def test_five_kills_at_random_lose_nothing_and_repeat_nothing(tmp_path, truth):
    chance = random.Random(6)
    stored = {}
    for _ in range(5):
        devices = chance.choice([1, 2, 8])
        process = start(tmp_path, devices=devices)
        code = kill_at(process, tmp_path, len(stored) + chance.randint(0, 5))
        assert code in (-signal.SIGKILL, 0)
        now = tiles(tmp_path)
        assert {name: now[name] for name in stored} == stored
        stored = now
    assert digest_of(start(tmp_path)) == truth
    assert {name: tiles(tmp_path)[name] for name in stored} == stored


@pytest.mark.slow
def test_a_killed_worker_of_several_costs_its_tiles_in_flight(tmp_path, truth):
    first, second = (start(tmp_path, "share", index, 2) for index in range(2))
    kill_at(first, tmp_path, 4)
    digest_of(second)
    kept = tiles(tmp_path)
    assert len(kept) < 30
    assert digest_of(start(tmp_path, "share", 0, 2)) == truth
    assert {name: tiles(tmp_path)[name] for name in kept} == kept


@pytest.mark.slow
def test_two_runs_of_one_share_on_one_store_are_told_apart(tmp_path, truth):
    first = start(tmp_path)
    while not tiles(tmp_path):
        time.sleep(0.002)
    first.send_signal(signal.SIGSTOP)
    second = start(tmp_path)
    assert "another run is at work on this share" in second.communicate(timeout=120)[1]
    assert second.returncode == 1
    first.send_signal(signal.SIGCONT)
    assert digest_of(first) == truth


@pytest.mark.slow
def test_a_program_of_two_processes_has_the_same_digest(tmp_path, truth):
    """`jax.distributed` on the loopback: one mesh of 2 × 2 devices."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    both = [start(tmp_path, "process", index, 2, port, devices=2) for index in range(2)]
    assert {digest_of(process) for process in both} == {truth}


@pytest.mark.slow
def test_submitit_runs_it_locally(tmp_path, truth, monkeypatch):
    submitit = pytest.importorskip("submitit")
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.setenv("JAX_ENABLE_X64", "0")
    executor = submitit.AutoExecutor(tmp_path / "logs", cluster="local")
    executor.update_parameters(timeout_min=5)
    dataset = run_on_submitit(
        sweep_program.PLAN, sweep_program.orbit, store=tmp_path / "s", executor=executor, workers=2
    )
    assert dataset.attrs["digest"] == truth


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_runs_it_locally_and_starts_killed_tasks_again(tmp_path, truth):
    ray = pytest.importorskip("ray")
    variables = {"PYTHONPATH": str(HERE), "JAX_ENABLE_X64": "0"}
    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": variables})
    killed, deadline = [], time.monotonic() + 60

    def kill_one():
        while len(tiles(tmp_path)) < 3 and time.monotonic() < deadline:
            time.sleep(0.002)
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if b"ray::run_share" in path.read_bytes():
                    os.kill(int(path.parent.name), signal.SIGKILL)
                    killed.append(path.parent.name)
                    return

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        dataset = run_on_ray(sweep_program.PLAN, sweep_program.orbit, store=tmp_path, workers=2)
    finally:
        ray.shutdown()
        killer.join(timeout=10)
    assert killed
    assert dataset.attrs["digest"] == truth


MEMORY = """
import sys, re
import jax, jax.numpy as jnp
import jaxdepth as jd

def field(seed, rate):
    x = rate * jax.random.normal(jax.random.key(seed), (1200, 1200))
    return jnp.sort(x @ x, axis=0)[::7].sum()

plan = jd.sweeps.grid(seed=range(24), rate=[0.5]).tiled(8)
prediction = jd.sweeps.predict(plan, field)

def kib(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1])

import ctypes
ctypes.CDLL("libc.so.6").malloc_trim(0)
open("/proc/self/clear_refs", "w").write("5")
before = kib("VmRSS")
jd.sweeps.run(plan, field, progress=False)
print(prediction.nbytes, 1024 * (kib("VmHWM") - before), prediction.compilations)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="Linux's books")
def test_the_predicted_memory_is_what_a_run_takes():
    """Within 20%; the peak is that of the resident set, from after compiling."""
    environment = {**os.environ, "XLA_FLAGS": ""}
    told = subprocess.run(
        [sys.executable, "-c", MEMORY], env=environment, capture_output=True, text=True, check=True
    ).stdout
    predicted, measured, _ = map(int, told.split())
    assert predicted > 100 * 2**20
    np.testing.assert_allclose(measured, predicted, rtol=0.2)
