"""Sweeps from the command line: shares, dry runs, and `run` taking up what they left."""

import os
import subprocess
import sys
from pathlib import Path

import fakes
import jax
import numpy as np
import pytest

from jaxdepth.sweeps import load

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.once


def tiles():
    return sorted(path.name for path in Path().rglob("tiles/*.npz"))


def test_shares_of_a_sweep_are_what_a_run_takes_up(command, capsys):
    assert command("sweep", "wide", "--worker", "0/2", wide=fakes.SWEEP) == 0
    assert "2 of 3 configurations" in capsys.readouterr().out
    assert len(tiles()) == 2
    assert command("sweep", "wide", "--worker", "1/2", wide=fakes.SWEEP) == 0
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("tiles/*.npz")}
    assert len(before) == 3
    assert command("run", "wide", wide=fakes.SWEEP) == 0
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("tiles/*.npz")} == before
    results = next(Path("results/wide").rglob("results.npz"))
    np.testing.assert_array_equal(np.load(results)["doubles"], [2, 4, 6])


def test_a_dry_run_says_what_it_takes_and_runs_nothing(command, capsys):
    assert command("sweep", "wide", "--dry-run", wide=fakes.SWEEP) == 0
    told = capsys.readouterr().out
    assert "3 configurations (3: number traced)" in told
    assert "0 compilations" in told
    assert not Path("results").exists()


def test_a_store_of_ones_own(command):
    assert command("sweep", "wide", "--store", "kept", wide=fakes.SWEEP) == 0
    assert load("kept")["double"].values.tolist() == [2.0, 4.0, 6.0]
    assert Path("kept/results.nc").exists()


def test_a_failed_configuration_is_an_exit_status_and_named(command, capsys, monkeypatch):
    monkeypatch.setenv("FAKE_LIMIT", "2")
    assert command("sweep", "wide", wide=fakes.SWEEP) == 1
    said = capsys.readouterr().err
    assert "1 of 3 configurations failed" in said
    assert "number=2.0: ValueError: too many" in said
    assert command("run", "wide", wide=fakes.SWEEP) == 1


def test_a_store_of_something_else_is_an_error_of_a_few_lines(command, capsys):
    assert command("sweep", "wide", "--store", "kept", wide=fakes.SWEEP) == 0
    changed = ["--set", "numbers=7,8", "--store", "kept"]
    assert command("sweep", "wide", *changed, wide=fakes.SWEEP) == 1
    assert "holds the results of something else" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "`sweep` takes one experiment; got none"),
        (["good", "wide"], "`sweep` takes one experiment; got good, wide"),
        (["good"], "good is no sweep. `run` computes it"),
        (["wide", "--device", "tpu"], "`--device tpu`"),
    ],
)
def test_bad_usage_is_told(command, capsys, arguments, message):
    assert command("sweep", *arguments, wide=fakes.SWEEP) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("share", ["2/2", "1", "a/b", "-1/2"])
def test_a_share_that_is_none_is_refused(command, capsys, share):
    with pytest.raises(SystemExit, match="2"):
        command("sweep", "wide", f"--worker={share}", wide=fakes.SWEEP)
    assert "must be I/N with 0 ≤ I < N" in capsys.readouterr().err


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_precision_is_ones_choice(command, precision):
    wide = fakes.SWEEP.replace("host=True", "host=False").replace(
        "if number == config_limit()", "if False"
    )
    before = jax.config.read("jax_enable_x64")
    try:
        assert command("sweep", "wide", "--precision", precision, "--store", "s", wide=wide) == 0
    finally:
        jax.config.update("jax_enable_x64", before)
    assert load("s")["double"].dtype == precision
    assert "stand_ins.wide" in sys.modules


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_the_slurm_script_runs_the_shares(tmp_path):
    """As Slurm starts it: an array of two tasks."""
    told = []
    for task in range(2):
        variables = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": "2"}
        command = ["bash", "experiments/slurm.sh", "acceleration_map", "--out", str(tmp_path)]
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **variables, "PYTHON": sys.executable},
            capture_output=True,
            text=True,
            check=True,
        )
        told.append(ended.stdout)
    assert "1,024 of 1,395 configurations" in told[0]
    assert "1,395 of 1,395 configurations" in told[1]
    assert len(list(tmp_path.rglob("tiles/*.npz"))) == 2
