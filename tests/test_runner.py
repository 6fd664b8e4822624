"""The commands, the store and the configuration, on stand-in experiments."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fakes
import jax
import numpy as np
import pytest

from experiments import _table
from experiments.__main__ import discover
from experiments._contract import Claim
from experiments._store import Store, as_arrays

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.once(x64=True)


def manifest(name="good"):
    digest = Path(f"results/{name}/latest").read_text().strip()
    return json.loads(Path(f"results/{name}/{digest}/manifest.json").read_text())


def shards():
    return {path.name: path.stat().st_mtime_ns for path in Path("results").rglob("part-*.npz")}


# What a run leaves


def test_a_run_stores_parts_results_and_where_they_came_from(command, capsys):
    assert command("run") == 0
    out = capsys.readouterr().out
    for phrase in ("[1/1] good (quick)", "part 3, n3", "2 of 2 claims hold", "Elements <VII>"):
        assert phrase in out
    assert set(shards()) == {"part-n1.npz", "part-n2.npz", "part-n3.npz"}
    told = manifest()
    assert told["config"]["numbers"] == [1, 2, 3]
    assert set(told["parts"]) == {"n1", "n2", "n3"}
    assert {"python", "jax", "jaxlib", "equinox", "optax", "numpy", "jaxdepth"} == set(
        told["versions"]
    )
    for key in ("form", "seed", "commit", "date", "seconds", "backend", "device", "precision"):
        assert key in told
    results, _ = Store(Path("results"), "good", told["hash"]).fetch()
    np.testing.assert_array_equal(results["doubles"], [2, 4, 6])
    assert Path("results/report.html").is_file()
    assert not list(Path("results/good").rglob(".*"))


def test_a_second_run_computes_nothing_and_a_fresh_one_everything(command, capsys):
    command("run")
    first = shards()
    capsys.readouterr()
    assert command("run", "--resume") == 0
    assert "stored already" in capsys.readouterr().out
    assert shards() == first
    for again in ("--fresh", "--no-resume"):
        assert command("run", again) == 0
        assert all(shards()[name] > age for name, age in first.items())


def test_a_changed_configuration_or_program_is_another_result(command, capsys):
    command("run")
    hashes = [manifest()["hash"]]
    command("run", "--set", "rate=0.25")
    hashes.append(manifest()["hash"])
    assert manifest()["form"] == "quick with changes"
    edited = fakes.GOOD.replace("2 * number}", "number + number}")
    capsys.readouterr()
    assert command("check", good=edited) == 0
    assert "the program has changed since" in capsys.readouterr().out
    command("run")
    hashes.append(manifest()["hash"])
    assert len(set(hashes)) == 3


def test_a_changed_helper_is_another_result(command):
    helped = fakes.GOOD.replace("@dataclass", "from stand_ins._help import two\n\n@dataclass", 1)
    helped = helped.replace("2 * number}", "two() * number}")
    assert command("run", good=helped, _help="def two():\n    return 2\n") == 0
    first = manifest()["hash"]
    assert command("run", _help="def two():\n    return 1 + 1\n") == 0
    assert manifest()["hash"] != first


def test_a_mended_figure_or_claim_costs_no_recomputation(command, capsys):
    command("run")
    mended = fakes.GOOD.replace("axes.plot(", "axes.loglog(").replace("Numbers are small", "Small")
    capsys.readouterr()
    assert command("run", good=mended) == 0
    out = capsys.readouterr().out
    assert "stored already" in out
    assert "Small" in out


def test_data_count_by_content_and_not_by_path(command, monkeypatch):
    for folder, text in (("a", "1"), ("b", "1"), ("c", "2")):
        Path(folder).mkdir()
        Path(folder, "rows.dat").write_text(text)
    hashes = []
    for folder in "abc":
        assert command("run", "--data", folder) == 0
        hashes.append(manifest()["hash"])
    assert manifest()["config"]["data"] == str(Path("c").resolve())
    monkeypatch.setenv("JAXDEPTH_DATA", "c")
    command("run")
    hashes.append(manifest()["hash"])
    assert hashes[0] == hashes[1] != hashes[2] == hashes[3]


# What a crash, a kill or an interruption leaves


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder in which SIGKILL ended a run before its third part."""
    folder = tmp_path_factory.mktemp("killed")
    fakes.write(folder, good=fakes.GOOD)
    program = "import sys; from experiments.__main__ import main; main(['run'], 'stand_ins')"
    path = os.pathsep.join([str(folder), str(ROOT)])
    setting = str(int(jax.config.jax_enable_x64))  # stored results are of one precision
    bare = {name: value for name, value in os.environ.items() if name != "JAXDEPTH_DATA"}
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=bare | {"PYTHONPATH": path, "FAKE_KILL": "3", "JAX_ENABLE_X64": setting},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == -9, run.stderr
    assert (folder / "results" / ".cache").exists() or "part 3" not in run.stdout
    return folder


def test_a_killed_run_resumes_at_the_part_it_was_killed_in(killed, command, monkeypatch, capsys):
    monkeypatch.chdir(killed)
    kept = shards()
    assert set(kept) == {"part-n1.npz", "part-n2.npz"}
    assert command("check") == 2
    assert command("run") == 0
    out = capsys.readouterr().out
    assert out.count("stored already") == 2
    assert {name: age for name, age in shards().items() if name in kept} == kept
    assert command("check") == 0


def test_an_interrupted_run_says_how_to_go_on(command, monkeypatch, capsys):
    monkeypatch.setenv("FAKE_INTERRUPT", "3")
    assert command("run") == 130
    assert "the same command (without --fresh) resumes" in capsys.readouterr().err
    monkeypatch.delenv("FAKE_INTERRUPT")
    assert command("run") == 0
    assert capsys.readouterr().out.count("stored already") == 2


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_part_is_computed_again_with_a_warning(command, monkeypatch, capsys, damage):
    monkeypatch.setenv("FAKE_INTERRUPT", "3")
    command("run")
    monkeypatch.delenv("FAKE_INTERRUPT")
    (path,) = Path("results").rglob("part-n1.npz")
    whole = path.read_bytes()
    middle = whole.index(b"\x93NUMPY") + 20
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    path.write_bytes({"truncated": whole[:100], "flipped": flipped, "empty": b""}[damage])
    capsys.readouterr()
    assert command("run") == 0
    assert "warning: the part cannot be read" in capsys.readouterr().out
    assert path.stat().st_size == len(whole)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}'])
def test_a_damaged_manifest_is_written_again(command, capsys, text):
    command("run")
    (path,) = Path("results").rglob("manifest.json")
    path.write_text(text)
    for verb in ("check", "report"):
        assert command(verb) == 2
        assert "warning: good's results cannot be read" in capsys.readouterr().out
    assert command("run") == 0
    assert command("check") == 0


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"../../elsewhere"])
def test_a_damaged_pointer_points_nowhere(command, capsys, damage):
    command("run")
    Path("results/good/latest").write_bytes(damage)
    assert command("check") == 2
    assert "nothing is stored in 'results' for good" in capsys.readouterr().err
    assert command("run") == 0
    assert command("check") == 0


def test_a_report_that_cannot_be_written_is_an_error_of_one_line(command, capsys):
    command("run")
    Path("results/report.html").unlink()
    Path("results/report.html").mkdir()
    capsys.readouterr()
    assert command("report") == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("error: ")
    assert "results/report.html" in told


def test_damaged_results_are_put_together_again_from_their_parts(command, capsys):
    command("run")
    (path,) = Path("results").rglob("results.npz")
    path.write_bytes(b"PK")
    assert command("check") == 2
    capsys.readouterr()
    assert command("run") == 0
    assert capsys.readouterr().out.count("s spared") == 3


def test_one_broken_experiment_does_not_lose_the_others(command, capsys):
    assert command("run", a_broken=fakes.BROKEN) == 1
    told = capsys.readouterr()
    assert "RuntimeError: no <luck>" in told.err
    assert "a_broken failed; the others go on" in told.out
    assert "good: 2 of 2 claims hold" in told.out
    assert "Not run yet" in Path("results/report.html").read_text("utf-8")
    assert command("check", "good") == 0
    assert command("check") == 2


# What is judged


def test_a_failing_claim_is_an_exit_status(command, capsys):
    assert command("run", "--set", "numbers=3,10") == 1
    assert "FAILS" in capsys.readouterr().out
    assert command("check") == 1
    assert command("check", "--quick") == 2
    command("run")
    assert command("check", "--set", "numbers=3,10") == 1
    assert command("check") == 0


def test_a_check_that_no_claim_explains_fails(command, capsys):
    silent = fakes.GOOD.replace("    require(claims(results))", "    assert False, 'hidden'")
    assert command("run", good=silent) == 1
    assert "check fails and no claim says so: hidden" in capsys.readouterr().out


def test_check_and_plot_and_report_read_what_is_stored(command, capsys):
    for verb in ("check", "plot", "report"):
        assert command(verb) == 2
        assert "python -m experiments run good" in capsys.readouterr().err
    command("run", "--full")
    capsys.readouterr()
    assert command("plot") == 0
    drawn = [Path(line) for line in capsys.readouterr().out.split()]
    assert [path.name for path in drawn] == ["good.svg", "good.png"]
    first = [path.read_bytes() for path in drawn]
    command("plot", "--full")
    assert [path.read_bytes() for path in drawn] == first


# What the command line takes


def test_list_names_every_experiment_without_importing_it(command, capsys):
    assert command("list", wrong='"""Cannot be imported."""\nraise RuntimeError') == 0
    assert capsys.readouterr().out.splitlines() == [
        "good   Twice <n> is n plus n.",
        "wrong  Cannot be imported.",
    ]
    assert "_contract" not in discover()


def test_settings_are_typed_by_their_field(command):
    settings = {
        "numbers": "(7, 8)",
        "rate": "1e-3",
        "name": "x=y, z",
        "strict": "False",
        "limit": "4",
    }
    command("run", *[f"--set={key}={text}" for key, text in settings.items()])
    told = manifest()["config"]
    expected = {"numbers": [7, 8], "rate": 1e-3, "name": "x=y, z", "strict": False, "limit": 4}
    assert {key: told[key] for key in expected} == expected
    command("run", "--set", "limit=none", "--set", "numbers=5")
    assert manifest()["config"]["limit"] is None
    assert manifest()["config"]["numbers"] == [5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "no experiment is called nope. There are: good."),
        (["--set", "bogus=1"], "no such key. There are: good: numbers, rate, name"),
        (["--set", "rate"], "`--set` must be KEY=VALUE; got 'rate'"),
        (["--set", "rate=fast"], "`--set rate=…` must be float; got 'fast'"),
        (["--set", "rate=-1"], "`rate` must be positive; got -1.0"),
        (["--set", "numbers=1,x"], "must be tuple"),
        (["--set", "strict=maybe"], "must be bool; got 'maybe'"),
        (["--data", "nowhere"], "must be a directory that exists; got 'nowhere'"),
        (["--out", "file"], "`--out` must be a directory that can be written; got 'file'"),
        (["--out", "file/below"], "`--out` must be a directory that can be written"),
    ],
)
def test_bad_usage_is_told_before_anything_is_computed(command, capsys, arguments, message):
    Path("file").write_text("in the way")
    assert command("run", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not shards()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_the_right_to_write_is_refused(command, capsys):
    Path("sealed").mkdir(mode=0o500)
    assert command("run", "--out", "sealed") == 2
    assert "`--out` must be a directory that can be written" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["walk"], [], ["run", "--quick", "--full"]])
def test_an_unknown_command_shows_the_usage(command, capsys, arguments):
    with pytest.raises(SystemExit, match="2"):
        command(*arguments)
    assert "usage: python -m experiments" in capsys.readouterr().err


def test_a_module_that_keeps_no_contract_is_named(command, capsys):
    assert command("run", half='"""Half."""\nConfig = None') == 2
    assert "half is no experiment: it lacks QUICK, FULL, run" in capsys.readouterr().err


def test_arguments_are_read_before_jax_and_matplotlib_are_imported():
    program = (
        "import sys; from experiments.__main__ import main; main(['list']); "
        "sys.exit(bool({'jax', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True)


# The pieces


def test_parts_are_named_once_and_hold_plain_arrays(command, capsys):
    for wrong, message in [
        ('part("n", lambda: {"double": 2 * number})', "came twice"),
        ('part("a/b", lambda: {"double": 2 * number})', "letters, digits"),
        ('part("n", lambda: {"double": None})', "objects in \\['double'\\]"),
    ]:
        source = fakes.GOOD.replace('part(f"n{number}", lambda: {"double": 2 * number})', wrong)
        assert command("run", "--fresh", good=source) == 1
        assert message.replace("\\", "") in capsys.readouterr().err


def test_arrays_come_back_as_they_were_kept(tmp_path):
    arrays = {
        "file": np.float32(1.5),
        "words": np.array(["plain", "gradient"]),
        "flags": np.array([[True, False]]),
        "empty": np.zeros((0, 3), np.int64),
    }
    store = Store(tmp_path, "name", "0" * 16)
    store.keep_part("p", as_arrays(arrays, "p"), 2.5)
    kept, seconds = store.fetch_part("p")
    assert seconds == 2.5
    assert kept.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(kept[name], array, strict=False)
        assert kept[name].dtype == np.asarray(array).dtype
        assert kept[name].shape == np.shape(array)


@pytest.mark.parametrize("width", [70, 100, 160])
def test_the_table_keeps_to_the_terminal(width):
    row = Claim("a long claim " * 12, "Telgarsky 2016, Lemma 3.3", "1/64", "0.02", "exact", True)
    lines = _table.table([row], width).splitlines()
    assert max(map(len, lines)) <= width
    assert " ".join(" ".join(lines).split()).count("long") == 12
