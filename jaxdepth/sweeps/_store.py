"""Results on disk, such that a kill at any moment loses the tiles in flight and no others.

    STORE/manifest.json      what the store is of: written first, never changed
    STORE/tiles/HASH.npz     one tile's results, named by the hash of what it is of
    STORE/results.nc         the dataset, when every tile is there
    STORE/share-I-of-N.lock  held by the run at work on that share

Tiles are idempotent: two runs that compute the same one write the same bytes under the same name.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxdepth._misc import refuse
from jaxdepth.sweeps._dataset import MEMBERS, Record, assemble
from jaxdepth.sweeps._extra import needed
from jaxdepth.sweeps._files import created, read_arrays, write_arrays, write_text
from jaxdepth.sweeps._identity import sha

if TYPE_CHECKING:
    import xarray

_TOLD = 8  # differences that a refusal names
_HASHED = {
    "measure.source": "its code",
    "measure.captured": "what it closes over and the values that it names, as they were before the "
    "run: empty a list that it appends to",
}
_TEMPORARY = re.compile(r"\.results-|\..+\.(npz|json|txt)-")
_ABANDONED = 3600.0  # seconds after which nobody is still writing a temporary file
Tile = tuple[int, int]  # a bucket's number, and a tile's place in it


class StoreError(RuntimeError):
    """A store that cannot be used, or belongs to something else; the message says why.

    Example:
        >>> try:
        ...     load("no such folder")
        ... except StoreError:
        ...     print("nothing there")
        nothing there
    """


class Store:
    """The folder of one plan, measure and environment."""

    def __init__(self, folder: Path, description: dict[str, Any]) -> None:
        self.folder = folder
        self.description = description
        self._hash = sha(json.dumps(description["identity"], sort_keys=True))

    @classmethod
    def open(cls, folder: str | Path, description: dict[str, Any]) -> Store:
        """Make a store or come back to it.

        Raises:
            StoreError: a folder that cannot be written, or that holds results of something else.
        """
        folder = Path(folder)
        _prove_writable(folder)
        manifest = folder / "manifest.json"
        text = json.dumps(description, indent=1, ensure_ascii=False) + "\n"
        if not created(manifest, text):
            found = _manifest(manifest)
            here = json.loads(json.dumps(description["identity"]))
            differences = list(_differences(found["identity"], here, ""))
            if differences:
                more = len(differences) - _TOLD
                told = [*differences[:_TOLD], *([f"and {more} more"] if more > 0 else [])]
                raise StoreError(
                    f"`store` {str(folder)!r} holds the results of something else: "
                    + "; ".join(told)
                    + ". Choose another folder, or run what it was made by."
                )
            if found["units"] != description["units"]:
                warnings.warn(
                    f"`units` of `store` {str(folder)!r} stay {found['units']}, and are not "
                    f"{description['units']}.",
                    stacklevel=3,
                )
            description = {**description, "units": found["units"]}
        return cls(folder, description)

    def path(self, tile: Tile) -> Path:
        """Return where a tile lies, whether it is there or not."""
        return self.folder / "tiles" / f"{sha(f'{self._hash} {tile[0]} {tile[1]}')}.npz"

    def fetch(self, tile: Tile) -> Record | None:
        """Return a stored tile, and None, with a warning, where it cannot be read."""
        path = self.path(tile)
        try:
            return _columns(read_arrays(path)["rows"])
        except FileNotFoundError:
            return None
        except Exception as error:  # a damaged zip fails in a dozen ways; all mean "run it again"
            warnings.warn(
                f"{path} cannot be read ({type(error).__name__}: {error}); it counts as missing; a "
                "run measures it again.",
                stacklevel=2,
            )
            return None

    def keep(self, tile: Tile, record: Record) -> None:
        """Store a finished tile."""
        write_arrays(self.path(tile), {"rows": _rows(record)})

    def publish(self, dataset: xarray.Dataset) -> Path:
        """Write the whole dataset beside the tiles, complete or not at all."""
        path = self.folder / "results.nc"
        with tempfile.TemporaryDirectory(prefix=".results-", dir=self.folder) as scratch:
            written = Path(scratch, "results.nc")
            dataset.to_netcdf(written, engine="h5netcdf")
            with written.open("rb+") as stream:
                os.fsync(stream.fileno())
            os.replace(written, path)
        return path

    @contextlib.contextmanager
    def held(self, share: tuple[int, int]) -> Iterator[None]:
        """Hold one share of the tiles against a second run of it.

        Raises:
            StoreError: another run holds it, named by process and machine.
        """
        filelock = needed("filelock")
        name = self.folder / f"share-{share[0]}-of-{share[1]}"
        lock = filelock.FileLock(f"{name}.lock")
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout as error:
            holder = Path(f"{name}.txt")
            who = holder.read_text("utf-8").strip() if holder.exists() else "another process"
            raise StoreError(
                f"another run is at work on this share of `store` {str(self.folder)!r}: {who}. "
                "Wait for it, or share the work: `worker=(0, 2)` in one, `worker=(1, 2)` in the "
                "other."
            ) from error
        try:
            self._clear()
            write_text(f"{name}.txt", f"process {os.getpid()} on {platform.node()}\n")
            yield
        finally:
            lock.release()

    def _clear(self) -> None:
        """Remove what killed processes left half-written."""
        for path in (*self.folder.glob(".*"), *self.folder.glob("tiles/.*")):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED and _TEMPORARY.match(path.name):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _rows(record: Record) -> np.ndarray:
    """Return a record as an array of rows: a file of one member is read in a third of the time."""
    columns = [(name, column.dtype, column.shape[1:]) for name, column in record.items()]
    rows = np.empty(len(record[MEMBERS]), columns)
    for name, column in record.items():
        rows[name] = column
    return rows


def _columns(rows: np.ndarray) -> Record:
    return {name: rows[name].copy() for name in rows.dtype.names or ()}


def load(store: str | Path) -> xarray.Dataset:
    """Return what a store holds, finished or not, without the program that made it.

    Args:
        store: the folder.

    Returns:
        The dataset that `run` returns; `status` is 2 where nothing is measured yet.

    Raises:
        StoreError: no store there.

    Example:
        >>> import tempfile
        >>> from jaxdepth.sweeps import grid, run
        >>> def double(rate):
        ...     return 2 * rate
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = run(grid(rate=[0.5, 1.0]), double, store=folder, progress=False)
        ...     load(folder)["value"].values.tolist()
        [1.0, 2.0]
    """
    folder = Path(store)
    if not (folder / "manifest.json").is_file():
        raise StoreError(f"`store` {str(folder)!r} holds no sweep: there is no manifest.json.")
    found = Store(folder, _manifest(folder / "manifest.json"))
    tiles = ((n, tile) for n, many in enumerate(found.description["tiles"]) for tile in range(many))
    records = (found.fetch(tile) for tile in tiles)
    return assemble(found.description, (record for record in records if record is not None))


def _manifest(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
        if isinstance(found, dict) and {"identity", "tiles", "units"} <= found.keys():
            return found
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}). Choose another folder.") from error
    raise StoreError(f"{path} is no manifest of a sweep. Choose another folder.")


def _prove_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreError(
            f"`store` must be a folder that can be written; got {str(folder)!r} "
            f"({error.strerror}). Choose another, or mend its permissions."
        ) from error


def _differences(there: Any, here: Any, path: str) -> Iterator[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        for key in dict.fromkeys([*there, *here]):
            name = f"{path}.{key}" if path else str(key)
            yield from _differences(there.get(key), here.get(key), name)
    elif isinstance(there, dict) or isinstance(here, dict):
        yield f"{path} is {'there and not here' if there else 'here and not there'}"
    elif there != here and path in _HASHED:
        yield f"{path} ({_HASHED[path]}) differs"
    elif there != here:
        yield f"{path} is {there!r} there and {here!r} here"


def check_share(worker: Any) -> tuple[int, int]:
    """Return (i, n) with 0 ≤ i < n, or refuse it."""
    if worker is None:
        return 0, 1
    pair = isinstance(worker, (tuple, list)) and len(worker) == 2
    whole = pair and all(type(each) is int or isinstance(each, np.integer) for each in worker)
    if not whole or not 0 <= worker[0] < worker[1]:
        refuse("worker", "(i, n) with 0 ≤ i < n: share i of n", worker)
    return int(worker[0]), int(worker[1])
