"""The set-up script: what it asks of a Python, and which `.venv` it uses, mends or makes."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.once(x64=True)
NEW = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def script(tmp_path, monkeypatch):
    """run.py as a module, at work in an empty folder; `script.calls` has what it would install."""
    spec = importlib.util.spec_from_file_location("run_script", ROOT / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    venv = tmp_path / ".venv"
    monkeypatch.setattr(module, "ROOT", str(tmp_path))
    monkeypatch.setattr(module, "VENV", str(venv))
    inside = Path(module.PYTHON).relative_to(ROOT / ".venv")
    monkeypatch.setattr(module, "PYTHON", str(venv / inside))
    monkeypatch.setattr(module, "STAMP", str(venv / "jaxdepth-setup"))
    monkeypatch.setattr(
        module.shutil, "which", lambda name: "/usr/bin/uv"
    )  # venvs without pip: fast
    module.calls = []
    monkeypatch.setattr(
        module, "installed", lambda uv, target: module.calls.append(target.split("[")[1]) or True
    )
    return module


def prepared(script, extra):
    """What `prepared` installs: [] where the `.venv` is as it must be."""
    script.calls.clear()
    assert script.prepared(extra, ["has no jax"]) == script.PYTHON
    return list(script.calls)


def test_it_parses_on_every_python_from_3_6():
    source = (ROOT / "run.py").read_text("utf-8")
    tree = ast.parse(source, feature_version=(3, 6))
    first = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert "__future__" not in first  # `annotations` came with 3.7
    imported = [node for node in tree.body if isinstance(node, ast.Import)]
    names = {alias.name.split(".")[0] for node in imported for alias in node.names}
    assert names <= set(sys.stdlib_module_names) - {"tomllib"}


def test_an_old_python_gets_one_clear_line(script, monkeypatch, capsys):
    monkeypatch.setattr(script, "OLDEST", (99, 1))
    assert script.main(["test"]) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("jaxdepth needs Python 99.1 or newer; this is 3.")
    assert script.calls == []


def test_what_is_needed_is_read_from_the_project_file(script):
    experiments, test = script.requirements("experiments"), script.requirements("test")
    runtime = {"jax", "jaxlib", "equinox", "optax", "jaxtyping"}
    extras = {"matplotlib", "python-flint", "scikit-learn"}
    sweeps = {"xarray", "h5netcdf", "h5py", "filelock"}
    assert runtime | extras | sweeps == set(experiments)
    assert experiments.items() <= test.items()
    assert {"pytest", "chex", "hypothesis", "mpmath"} | set(script.OPTIONAL) <= set(test)
    assert set(script.IMPORTED_AS) <= set(test)


def test_a_package_is_looked_for_under_the_name_it_is_imported_by(script, monkeypatch):
    monkeypatch.setitem(script.IMPORTED_AS, "jax", "no_such_module")
    assert script.lacks("jax", "0.1") == "has no jax"
    monkeypatch.setitem(script.IMPORTED_AS, "no-such-package", "jax")
    assert script.lacks("no-such-package", "0.1") == ""  # a source tree has no record


def test_an_interpreter_that_has_everything_is_used_as_it_is(script, monkeypatch):
    commands = []
    monkeypatch.setattr(script, "call", lambda *a: commands.append(a[0]) or 0)
    assert script.main([]) == 0
    assert script.main(["--quick"]) == 0
    assert script.main(["check", "name"]) == 0
    experiments = [sys.executable, "-m", "experiments"]
    assert commands == [
        [*experiments, "run"],
        [*experiments, "run", "--quick"],
        [*experiments, "check", "name"],
    ]
    assert script.calls == []


def test_a_package_that_is_missing_or_old_is_named(script, monkeypatch):
    assert script.lacks("numpy", "1.0") == ""
    assert script.lacks("no_such_package", "1.0") == "has no no_such_package"
    assert script.lacks("numpy", "999.1").endswith("and 999.1 is needed")
    assert script.numbers("0.10.2rc1") < script.numbers("0.12.0.1")
    monkeypatch.setattr(script, "requirements", lambda extra: {"ruff": "999", "numpy": "999"})
    assert len(script.shortfall("test")) == 1


def test_a_fresh_venv_is_made_once_and_serves_both_commands(script):
    assert prepared(script, "test") == ["test]"]
    assert script.version_of(script.PYTHON) == NEW
    assert prepared(script, "test") == []
    assert prepared(script, "experiments") == []


def test_a_venv_of_the_experiments_is_added_to_for_the_tests(script):
    assert prepared(script, "experiments") == ["experiments]"]
    keepsake = Path(script.VENV, "keepsake")
    keepsake.touch()
    assert prepared(script, "test") == ["test]"]
    assert keepsake.exists()


def test_a_changed_project_file_installs_again(script):
    prepared(script, "experiments")
    with open(Path(script.ROOT, "pyproject.toml"), "a") as file:
        file.write("# changed\n")
    assert prepared(script, "experiments") == ["experiments]"]


def test_a_half_made_venv_is_made_again(script, monkeypatch):
    def interrupted(uv, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(script, "installed", interrupted)
        patch.setattr(script, "shortfall", lambda extra: ["has no jax"])
        assert script.main([]) == 130
    debris = Path(script.VENV, "debris")
    debris.touch()
    assert prepared(script, "experiments") == ["experiments]"]
    assert not debris.exists()


@pytest.mark.parametrize("remains", ["nothing", "no interpreter"])
def test_a_venv_that_does_not_start_is_made_again(script, remains):
    Path(script.VENV).mkdir()
    if remains == "no interpreter":
        prepared(script, "experiments")
        os.unlink(script.PYTHON)
    assert prepared(script, "experiments") == ["experiments]"]
    assert script.version_of(script.PYTHON) == NEW


def test_a_venv_made_here_for_another_python_is_made_again(script):
    prepared(script, "experiments")
    Path(script.VENV, "debris").touch()
    script.stamp(script.fingerprint("experiments", "3.99"))
    real = script.version_of
    script.version_of = lambda python: "3.99" if python == script.PYTHON else real(python)
    assert prepared(script, "experiments") == ["experiments]"]
    assert not Path(script.VENV, "debris").exists()


def test_somebody_elses_venv_is_kept_and_installed_into(script):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", script.VENV], check=True)
    keepsake = Path(script.VENV, "keepsake")
    keepsake.touch()
    assert prepared(script, "experiments") == ["experiments]"]
    assert prepared(script, "experiments") == []
    assert prepared(script, "test") == ["test]"]
    assert keepsake.exists()


def test_a_failed_installation_says_what_to_do(script, monkeypatch, capsys):
    monkeypatch.setattr(script, "installed", lambda uv, target: False)
    assert script.prepared("experiments", ["has no jax"]) is None
    assert "Installing failed" in capsys.readouterr().out
    assert script.stamp() == script.UNFINISHED


def test_a_python_that_cannot_make_a_venv_says_what_to_do(script, monkeypatch, capsys):
    monkeypatch.setattr(script.shutil, "which", lambda name: None)
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda name: None)
    assert script.prepared("experiments", ["has no jax"]) is None
    assert f"sudo apt install python{NEW}-venv" in capsys.readouterr().out


@pytest.fixture
def ran(script, monkeypatch):
    """What the checks start: command, environment, whether another one was still at work."""
    at_work, calls = [], []

    def started(command, environment, folder=None, output=None):
        calls.append((command[2], command[3:], dict(environment), bool(at_work)))
        at_work.append(command)
        if output:
            output.write(b"told beside it")
        return command

    def finished(command):
        at_work.remove(command)
        return int(command[2] == "mypy")

    monkeypatch.setattr(script, "started", started)
    monkeypatch.setattr(script, "finished", finished)
    return calls


@pytest.mark.parametrize("room", [True, False])
def test_one_failed_check_hides_no_other_and_fails_the_whole(
    script, ran, room, monkeypatch, capsys
):
    monkeypatch.setattr(script, "roomy", lambda checks: room and len(checks) > 1)
    assert script.test("another python", ["-k", "name"]) == 1
    assert sorted(call[0] for call in ran) == ["mypy", "pytest", "pytest", "ruff", "ruff"]
    assert [call[1] for call in ran if call[0] == "pytest"] == [["-k", "name"]] * 2
    assert {call[2].get("JAXDEPTH_TEST_X64") for call in ran} == {None, "0", "1"}
    assert any(call[3] for call in ran) == room
    out = capsys.readouterr().out
    assert out.count("passed") == 4
    assert out.count("failed") == 1
    assert out.count("told beside it") == int(room)


def test_passes_run_at_once_only_where_there_are_processors_and_memory(script, monkeypatch):
    checks = [("one", [], {}), ("two", [], {})]
    monkeypatch.setattr(script.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(
        script.os, "sysconf", lambda name: 2**12 if name == "SC_PAGE_SIZE" else 2**22
    )
    assert script.roomy(checks)
    assert not script.roomy(checks[:1])
    assert not script.roomy(checks * 2)  # four at once on two processors
    monkeypatch.setattr(script, "EACH", 2**34)
    assert not script.roomy(checks)
    monkeypatch.setattr(script, "EACH", 2**30)
    monkeypatch.setattr(script.os, "cpu_count", lambda: None)
    assert not script.roomy(checks)


def test_output_from_the_side_is_kept_whole(script, tmp_path, capfd):
    loud = [sys.executable, "-c", "import sys; print('x' * 99999); print('end', file=sys.stderr)"]
    checks = [("first", [sys.executable, "-c", "pass"], {}), ("second", loud, {})]
    outcomes = script.together(checks, str(tmp_path))
    assert [(status, row[0], row[1]) for status, row in outcomes] == [
        (0, "first", "passed"), (0, "second", "passed"),
    ]  # fmt: skip
    out = capfd.readouterr().out
    assert "x" * 99999 in out
    assert "end" in out


@pytest.mark.parametrize("room", [True, False])
def test_passes_share_what_they_compile_unless_they_run_at_once(script, ran, room, monkeypatch):
    monkeypatch.setattr(script, "roomy", lambda checks: room and len(checks) > 1)
    monkeypatch.delenv(script.CACHE, raising=False)
    script.test("another python", [])
    folders = [call[2][script.CACHE] for call in ran]
    assert len(set(folders)) == (3 if room else 1)
    assert not any(Path(folder).parent.exists() for folder in folders)
    ran.clear()
    monkeypatch.setenv(script.CACHE, "the user's own")
    script.test("another python", [])
    assert not any(script.CACHE in call[2] for call in ran)  # as the environment has it


def test_a_check_that_cannot_run_here_is_told_loudly(script, monkeypatch, capsys):
    monkeypatch.setattr(script, "started", lambda *a: a[0])
    monkeypatch.setattr(script, "finished", lambda command: 0)
    monkeypatch.setattr(
        script, "lacks", lambda name, floor: f"has no {name}" if name == "mypy" else ""
    )
    assert script.test(sys.executable, []) == 0
    out = capsys.readouterr().out
    assert "NOT CHECKED: types, for this Python has no mypy" in out
    assert "SKIPPED" in out
