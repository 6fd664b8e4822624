"""The loader of UCI's gas sensors, on files written here."""

import hashlib
import http.client
import os
import re
import urllib.request
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import _fetch, _gas_sensor
from experiments.__main__ import main
from jaxdepth.dynamics import LpRegression


def row(kind, concentration, values):
    fields = " ".join(f"{i}:{value}" for i, value in enumerate(values, 1))
    return f"{kind};{concentration} {fields}"


def write(folder, name, rows):
    (folder / name).write_text("\n".join(rows) + "\n")


def test_ethanol_of_all_batches_is_read_in_order_and_standardised(tmp_path):
    rng = np.random.default_rng(0)
    values, concentrations = rng.normal(size=(4, 128)), [10.0, 20.0, 50.0, 5.5]
    rows = [row(1, c, v) for c, v in zip(concentrations, values, strict=True)]
    write(tmp_path, "batch10.dat", [rows[3], ""])  # the tenth comes last; blank lines are none
    write(tmp_path, "batch2.dat", [row(2, 99, rng.normal(size=128)), rows[2]])
    write(tmp_path, "batch1.dat", rows[:2])
    X, y = _gas_sensor.load(tmp_path)
    assert X.dtype == y.dtype == np.float64
    np.testing.assert_allclose(X, (values - values.mean(0)) / values.std(0), atol=1e-13)
    np.testing.assert_allclose(
        y, (concentrations - np.mean(concentrations)) / np.std(concentrations)
    )


GOOD = row(1, 10, np.arange(128.0))
BAD = {
    "truncated": (row(1, 10, np.arange(100.0)), "expected 128 features; got '100"),
    "no concentration": (
        GOOD.replace("1;10", "1", 1),
        "expected CLASS;CONCENTRATION first; got '1'",
    ),
    "unknown class": (GOOD.replace("1;", "9;", 1), "expected a class from 1 to 6; got '9'"),
    "wrong index": (GOOD.replace(" 7:", " 8:", 1), "expected feature 7:value; got '8:6.0'"),
    "not a number": (GOOD.replace(" 3:2.0", " 3:two", 1), "expected a number; got 'two'"),
    "no value": (GOOD.replace(" 3:2.0", " 3", 1), "expected a number; got ''"),
    "underscore": (GOOD.replace(" 3:2.0", " 3:2_0", 1), "expected a number; got '2_0'"),
    "nan": (GOOD.replace(" 3:2.0", " 3:nan", 1), "expected a finite number; got 'nan'"),
    "bad concentration": (GOOD.replace(";10", ";high", 1), "expected a number; got 'high'"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_malformed_row_is_named_by_file_and_line(tmp_path, fault):
    line, told = BAD[fault]
    write(tmp_path, "batch3.dat", [GOOD, "", line])
    with pytest.raises(ValueError, match=rf"batch3\.dat, line 3: {told}"):
        _gas_sensor.load(tmp_path)


def test_a_binary_file_is_refused_and_not_read_past(tmp_path):
    (tmp_path / "batch1.dat").write_bytes(b"\x93NUMPY\x00\xff\xfe")
    with pytest.raises(ValueError, match=r"batch1\.dat, line 1: expected"):
        _gas_sensor.load(tmp_path)


def test_a_directory_without_its_data_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"there is no directory .*nowhere"):
        _gas_sensor.load(tmp_path / "nowhere")
    with pytest.raises(
        ValueError, match=r"must hold UCI batch files batch<number>\.dat; .* has none"
    ):
        _gas_sensor.load(tmp_path)
    write(tmp_path, "batch1.dat", [row(2, 10, np.arange(128.0))])
    with pytest.raises(ValueError, match=r"must hold ethanol rows .* has 0 among 1 rows"):
        _gas_sensor.load(tmp_path)
    write(tmp_path, "batch1.dat", [GOOD, GOOD.replace(";10", ";20", 1)])
    with pytest.raises(ValueError, match="must vary: feature 1 is the same in every ethanol row"):
        _gas_sensor.load(tmp_path)
    varying = (np.arange(128.0), -np.arange(128.0), np.ones(128))
    for values in varying:
        values[6] = 0.1  # whose deviation in three rows is 1.4e-17 and not 0
        values[0] = values[1] + 1
    write(tmp_path, "batch1.dat", [row(1, 10 + i, v) for i, v in enumerate(varying)])
    with pytest.raises(ValueError, match="must vary: feature 7 is the same in every ethanol row"):
        _gas_sensor.load(tmp_path)
    write(tmp_path, "batch1.dat", [row(1, 0.1, v) for v in varying])
    with pytest.raises(ValueError, match="must vary: the concentration is the same in every"):
        _gas_sensor.load(tmp_path)


@pytest.mark.parametrize("name", ["batch1 (1).dat", "batch01.dat", "batch.dat", "batch1_copy.dat"])
def test_a_copy_of_a_batch_file_is_refused_and_doubles_no_rows(tmp_path, name):
    rows = [row(1, c, np.arange(128.0) + c) for c in (10, 20)]
    write(tmp_path, "batch1.dat", rows)
    write(tmp_path, name, rows)
    with pytest.raises(ValueError, match=rf"{re.escape(name)}' is named otherwise\. Move it out"):
        _gas_sensor.load(tmp_path)


def test_a_directory_of_the_name_of_a_batch_file_is_refused(tmp_path):
    (tmp_path / "batch1.dat").mkdir()
    with pytest.raises(ValueError, match=r"batch1\.dat' is no file\. Move it out"):
        _gas_sensor.load(tmp_path)


@pytest.mark.skipif("JAXDEPTH_DATA" not in os.environ, reason="JAXDEPTH_DATA names no data")
def test_the_batches_without_7_and_10_are_those_the_optima_are_known_for(x64):
    X, y = _gas_sensor.load(os.environ["JAXDEPTH_DATA"])
    assert X.shape == (1316, 128)
    eigenvalues = np.linalg.eigvalsh(X.T @ X / len(y))
    np.testing.assert_allclose(eigenvalues[-1], 69.16, atol=0.005)
    np.testing.assert_allclose(eigenvalues[0], 6.6e-9, rtol=0.1)
    for p, optimum in ((2, 0.0557), (4, 0.0325)):
        problem = LpRegression(jnp.asarray(X), jnp.asarray(y), p)
        np.testing.assert_allclose(problem.optimum().value, optimum, atol=5e-5)


# ---- Fetching ----


def packed(folder, files):
    """Return the address and the SHA-256 of an archive of these files."""
    archive = folder / "archive.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for name, text in files.items():
            target.writestr(name, text)
    return archive.as_uri(), hashlib.sha256(archive.read_bytes()).hexdigest()


def test_batch_files_are_fetched_from_wherever_in_the_archive_they_are(tmp_path):
    files = {"Dataset/batch1.dat": GOOD, "batch10.dat": GOOD.replace(";10", ";20"), "notes": "no"}
    where = tmp_path / "new" / "data"
    fetched = _fetch.fetch(where, *packed(tmp_path, files))
    assert [file.name for file in fetched] == ["batch1.dat", "batch10.dat"]
    assert sorted(where.iterdir()) == sorted(fetched)
    assert [file.read_text() for file in fetched] == [files[name] for name in list(files)[:2]]


@pytest.mark.parametrize("given", [".", "link"])
def test_an_empty_directory_is_filled_and_stays_itself(tmp_path, monkeypatch, given):
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "link").symlink_to(empty)
    before = empty.stat().st_ino
    monkeypatch.chdir(empty if given == "." else tmp_path)
    fetched = _fetch.fetch(given, *packed(tmp_path, {"batch1.dat": GOOD}))
    assert [file.read_text() for file in fetched] == [GOOD]
    assert [file.name for file in empty.iterdir()] == ["batch1.dat"]
    assert empty.stat().st_ino == before


class CutOff:
    """An answer that ends early."""

    def read(self, size):
        raise http.client.IncompleteRead(b"", size)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


@pytest.mark.parametrize(
    "fault",
    ["checksum", "no batch", "no answer", "no address", "cut off", "no archive", "not empty"],
)
def test_a_fetch_that_fails_leaves_nothing_behind(tmp_path, monkeypatch, fault):
    where = tmp_path / ("data" if fault == "not empty" else "deep/er/data")
    files = {"readme": ""} if fault == "no batch" else {"batch1.dat": GOOD}
    url, digest = packed(tmp_path, files)
    if fault == "not empty":
        where.mkdir()
        (where / "mine.txt").touch()
    match = {
        "checksum": f"hashes to SHA-256 {digest} and not to {'0' * 64}: .*DOI",
        "no batch": r"holds no file batch<number>\.dat",
        "no answer": r"nowhere\.zip cannot be read .* Download the data set by hand",
        "no address": r"nowhere\.zip cannot be read \(unknown url type",
        "cut off": r"archive\.zip cannot be read \(IncompleteRead",
        "no archive": r"page\.zip is no zip archive that can be read",
        "not empty": "must be new or empty, so that nothing is overwritten",
    }[fault]
    digest = "0" * 64 if fault == "checksum" else digest
    if fault == "no answer":
        url = (tmp_path / "nowhere.zip").as_uri()
    elif fault == "no address":
        url = "nowhere.zip"
    elif fault == "cut off":
        monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: CutOff())
    elif fault == "no archive":
        page = tmp_path / "page.zip"
        page.write_bytes(b"<html>")
        url, digest = page.as_uri(), hashlib.sha256(b"<html>").hexdigest()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OSError, match=match):
        _fetch.fetch(where, url, digest)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command_fetches_what_the_experiments_read(tmp_path, monkeypatch, capsys):
    url, digest = packed(
        tmp_path, {"batch1.dat": "\n".join(row(1, c, np.arange(128.0) + c) for c in (10, 20))}
    )
    monkeypatch.setattr(_fetch.fetch, "__defaults__", (url, digest))
    assert main(["fetch", str(tmp_path / "data")]) == 0
    assert "1 batch files, 2 ethanol rows" in capsys.readouterr().out
    assert main(["fetch", str(tmp_path / "data")]) == 1
    assert "must be new or empty" in capsys.readouterr().err
