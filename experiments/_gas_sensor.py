"""The real data of the implicit acceleration: UCI's gas sensors, the ethanol rows.

*Gas Sensor Array Drift at Different Concentrations*, UCI Machine Learning Repository, DOI
10.24432/C5MK6M (Vergara et al. 2012; Rodriguez-Lujan et al. 2014; CC BY 4.0). A directory of files
`batch1.dat`, `batch2.dat`, …, a row a line:

    CLASS;CONCENTRATION 1:v1 2:v2 … 128:v128
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

FEATURES = 128
ETHANOL = 1
CLASSES = range(1, 7)
BATCH = re.compile(r"batch([1-9][0-9]*)\.dat")


class Ethanol(NamedTuple):
    """Standardised ethanol rows: X of shape (rows, 128), y the concentration, both float64."""

    X: np.ndarray
    y: np.ndarray


def load(directory: str | Path) -> Ethanol:
    """Read every batch file of `directory`, keep ethanol, standardise by the population's std.

    Raises:
        ValueError: no such directory, no batch files in it, or others that look like them, no
            ethanol rows, a constant column, or a row that does not parse, named by file and line.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise ValueError(
            f"`data` must be a directory of UCI batch files; there is no directory {directory}. "
            "`python -m experiments fetch DIR` downloads the data set (DOI 10.24432/C5MK6M); leave "
            "`data` empty for the embedded problem."
        )
    rows = [row for file in _batches(directory) for row in _read(file)]
    ethanol = np.array([values for kind, values in rows if kind == ETHANOL])
    if len(ethanol) < 2:
        raise ValueError(
            f"`data` must hold ethanol rows (class {ETHANOL}), two at least; {directory} has "
            f"{len(ethanol)} among {len(rows)} rows."
        )
    # The deviation of a constant column is its mean's rounding, and may not be 0.
    for column, constant in enumerate(ethanol.max(axis=0) == ethanol.min(axis=0)):
        if constant:
            name = f"feature {column}" if column else "the concentration"
            raise ValueError(
                f"`data` must vary: {name} is the same in every ethanol row, which cannot be "
                "standardised."
            )
    return Ethanol(_standardise(ethanol[:, 1:]), _standardise(ethanol[:, 0]))


def _batches(directory: Path) -> list[Path]:
    """Return the batch files in the order of their numbers; refuse copies, which double rows."""
    files = {}
    for file in sorted(directory.glob("batch*.dat")):
        numbered = BATCH.fullmatch(file.name)
        if not (numbered and file.is_file()):
            raise ValueError(
                f"`data` must hold UCI batch files batch<number>.dat; {str(file)!r} is "
                + ("no file." if numbered else "named otherwise.")
                + " Move it out of the directory."
            )
        files[int(numbered[1])] = file
    if not files:
        raise ValueError(
            f"`data` must hold UCI batch files batch<number>.dat; {directory} has none. Unpack the "
            "archive there, or name the folder that it made."
        )
    return [files[number] for number in sorted(files)]


def _standardise(columns: np.ndarray) -> np.ndarray:
    return (columns - columns.mean(axis=0)) / columns.std(axis=0)


def _read(file: Path) -> list[tuple[int, list[float]]]:
    """Return (class, [concentration, v1, …, v128]) for every row of a file, blank lines aside."""
    rows = []
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        if line.strip():
            rows.append(_parse(line.decode("ascii", "replace"), f"{file}, line {number}"))
    return rows


def _parse(line: str, where: str) -> tuple[int, list[float]]:
    head, *fields = line.split()
    kind, separator, concentration = head.partition(";")
    if not separator:
        _malformed(where, "CLASS;CONCENTRATION first", head)
    if kind not in {str(known) for known in CLASSES}:
        _malformed(where, "a class from 1 to 6", kind)
    if len(fields) != FEATURES:
        _malformed(where, f"{FEATURES} features", f"{len(fields)} (is the row truncated?)")
    values = [_number(concentration, where)]
    for index, field in enumerate(fields, 1):
        label, _, value = field.partition(":")
        if label != str(index):
            _malformed(where, f"feature {index}:value", field)
        values.append(_number(value, where))
    return int(kind), values


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        _malformed(where, "a number", text)
    if "_" in text:  # Python's, and no file's
        _malformed(where, "a number", text)
    if not math.isfinite(value):
        _malformed(where, "a finite number", text)
    return value


def _malformed(where: str, expected: str, got: str) -> NoReturn:
    raise ValueError(f"{where}: expected {expected}; got {got!r}. Download the file again.")
