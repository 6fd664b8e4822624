"""Results on disk, such that a kill at any moment loses one part at most.

    OUT/NAME/latest                   the hash of the newest finished run
    OUT/NAME/HASH/part-PART.npz       one finished part of `run`
    OUT/NAME/HASH/sweep-PART/         the tiles of a part that is a sweep
    OUT/NAME/HASH/results.npz         what `run` returned
    OUT/NAME/HASH/manifest.json       where it came from; written last, so it says "finished"

Every file appears under its name complete or not at all: written beside, flushed, renamed.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import jaxdepth as jd
from experiments._config import UsageError
from experiments._contract import Results

_SECONDS = "_seconds"  # rides in a part's shard: a resumed run still knows what its parts cost


def open_directory(out: Path) -> Path:
    """Make `out` and prove that it can be written, before anything is computed."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UsageError(
            f"`--out` must be a directory that can be written; got {str(out)!r} "
            f"({error.strerror}). Choose another with --out DIR."
        ) from error
    return out


def as_arrays(results: Mapping[str, Any], where: str) -> Results:
    """Bring results to NumPy, so that a fresh run and a resumed one see the same types."""
    arrays = {name: np.asarray(value) for name, value in results.items()}
    unfit = sorted(name for name, array in arrays.items() if array.dtype.hasobject)
    if unfit or _SECONDS in arrays:
        raise TypeError(f"{where} must return plain arrays; got objects in {unfit or [_SECONDS]}.")
    return arrays


class Store:
    """The folder of one experiment under one identity (`_provenance.identity`)."""

    def __init__(self, out: Path, name: str, digest: str):
        self.digest = digest
        self.folder = out / name / digest

    def fetch_part(self, part: str) -> tuple[Results, float] | None:
        """Return a stored part and what it cost, or None where there is none."""
        path = self._part(part)
        if not path.exists():
            return None
        arrays = jd.sweeps.read_arrays(path)
        return arrays, float(arrays.pop(_SECONDS))

    def keep_part(self, part: str, results: Results, seconds: float) -> None:
        """Store a finished part."""
        jd.sweeps.write_arrays(self._part(part), {**results, _SECONDS: np.asarray(seconds)})

    def fetch(self) -> tuple[Results, dict[str, Any]] | None:
        """Return a finished run's results and manifest, or None where it is not finished."""
        path = self.folder / "manifest.json"
        if not path.exists():
            return None
        manifest = json.loads(path.read_text("utf-8"))
        if not isinstance(manifest, dict) or manifest.get("hash") != self.digest:
            raise ValueError(f"{path} is not the manifest of {self.digest}")
        return jd.sweeps.read_arrays(self.folder / "results.npz"), manifest

    def keep(self, results: Results, manifest: dict[str, Any]) -> None:
        """Store a finished run."""
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        jd.sweeps.write_arrays(self.folder / "results.npz", results)
        jd.sweeps.write_text(self.folder / "manifest.json", text)
        self.point()

    def point(self) -> None:
        """Make this the newest run, which `check`, `plot` and `report` read by default."""
        jd.sweeps.write_text(self.folder.parent / "latest", self.digest + "\n")

    def sweep(self, part: str) -> Path:
        """Return where a sweep keeps its tiles."""
        return self.folder / f"sweep-{part}"

    def _part(self, part: str) -> Path:
        if not re.fullmatch(r"[\w.=+-]+", part):
            raise ValueError(
                f"a part's name is letters, digits and any of _ . = + -; got {part!r}."
            )
        return self.folder / f"part-{part}.npz"


def latest(out: Path, name: str) -> Store | None:
    """Return the newest finished run of an experiment, or None where none is stored."""
    pointer = out / name / "latest"
    if not pointer.is_file():
        return None
    digest = pointer.read_text("utf-8", errors="replace").strip()
    return Store(out, name, digest) if re.fullmatch(r"[0-9a-f]{16}", digest) else None
