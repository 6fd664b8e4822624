"""Files that appear under their name complete or not at all, whatever kills the process."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

_LONGEST = 2**20  # bytes of a header: rows of thousands of columns


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an npz file that appears complete or not at all: beside, flushed, renamed.

    Args:
        path: its name; the folder is made.
        arrays: by any name (`numpy.savez` takes none called "file"), without Python objects.

    Raises:
        OSError: a full disk, no permission; nothing is left behind.
        ValueError: an array of Python objects.

    Example:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_arrays(f"{folder}/a.npz", {"x": np.arange(3)})
        ...     read_arrays(f"{folder}/a.npz")["x"].tolist()
        [0, 1, 2]
    """

    def fill(stream: BinaryIO) -> None:
        with zipfile.ZipFile(stream, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)

    replaced(Path(path), fill)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read all arrays of an npz file; see `write_arrays`.

    Args:
        path: the file's name.

    Returns:
        The arrays by name.

    Example:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_arrays(f"{folder}/a.npz", {"x": np.arange(3)})
        ...     list(read_arrays(f"{folder}/a.npz"))
        ['x']
    """
    with (
        Path(path).open("rb") as stream,
        np.load(stream, allow_pickle=False, max_header_size=_LONGEST) as archive,
    ):
        return {name: archive[name] for name in archive.files}


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, UTF-8, that appears complete or not at all.

    Args:
        path: its name; the folder is made.
        text: what it is to hold.

    Raises:
        OSError: a full disk, no permission; nothing is left behind.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_text(f"{folder}/note", "kept")
        ...     pathlib.Path(f"{folder}/note").read_text()
        'kept'
    """
    replaced(Path(path), lambda stream: stream.write(text.encode("utf-8")))


def replaced(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Put a file in the place of `path` when `fill` has written all of it."""
    temporary = _beside(path, fill)
    try:
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def created(path: Path, text: str) -> bool:
    """Write a text file unless there is one; return whether it was this call that did."""
    temporary = _beside(path, lambda stream: stream.write(text.encode("utf-8")))
    try:
        os.link(temporary, path)  # of two at once, one succeeds
    except FileExistsError:
        return False
    except OSError:  # no hard links here (FAT, some networks): the last of two at once stays
        if path.exists():
            return False
        os.replace(temporary, path)
        return True
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    return True


def _beside(path: Path, fill: Callable[[BinaryIO], object]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's 0600 would hide results from colleagues
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary
