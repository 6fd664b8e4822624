"""Measuring one configuration at a time, in Python; what fails is recorded, the others go on."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxdepth.sweeps._dataset import Record, record_of
from jaxdepth.sweeps._diagnosis import said
from jaxdepth.sweeps._measure import alone, as_numpy, outputs
from jaxdepth.sweeps._plan import Plan


def measured_alone(
    plan: Plan,
    measure: Callable[..., Any],
    members: np.ndarray,
    done: Callable[[], object],
    shapes: dict[str, Any] | None = None,
) -> Record:
    """Measure some configurations one by one.

    Args:
        plan: whose.
        measure: called with plain values.
        members: their flat indices.
        done: called after each.
        shapes: dtype and shape of every output, where a compiled program of another bucket fixes
            them.
    """
    rows: list[dict[str, np.ndarray]] = []
    messages: dict[int, str] = {}
    for place, index in enumerate(members.tolist()):
        try:
            row = outputs(plan, measure(**alone(plan, index)), as_numpy)
            rows.append({name: np.array(array) for name, array in row.items()})  # it may be reused
        except Exception as error:
            messages[place] = said(error)
            rows.append({})
        done()
    usual = _usual(rows) if shapes is None else _form(shapes)
    for place, row in enumerate(rows):
        if row and _form(row) != usual:
            messages[place] = f"returned {dict(_form(row))} where others return {dict(usual)}"
            row.clear()
    stacked: dict[str, np.ndarray] = {}
    for name, shape in usual:
        cells = [row.get(name) for row in rows]
        wanted = None if shapes is None else shapes[name].dtype
        stacked[name] = _joined(name, shape, cells, wanted, messages)
    return record_of(members, stacked, messages)


Form = tuple[tuple[str, tuple[int, ...]], ...]  # names and shapes of what was returned


def _form(row: Mapping[str, Any]) -> Form:
    return tuple((name, tuple(row[name].shape)) for name in sorted(row))


def _usual(rows: list[dict[str, np.ndarray]]) -> Form:
    """Return the most frequent form."""
    forms = collections.Counter(_form(row) for row in rows if row)
    return forms.most_common(1)[0][0] if forms else ()


def _joined(
    name: str,
    shape: tuple[int, ...],
    cells: list[np.ndarray | None],
    wanted: Any,
    messages: dict[int, str],
) -> np.ndarray:
    """Stack one output; what a common dtype would change is failed, and nothing is rounded."""
    there = [cell for cell in cells if cell is not None]
    dtype = wanted or _common(there)
    blank = np.zeros(shape, dtype)
    column = []
    for place, cell in enumerate(cells):
        if cell is not None and not _kept(cell, dtype):
            messages[place] = f"returned {name} = {cell!r}, which {dtype} does not hold"
            cell = None
        column.append(blank if cell is None else cell.astype(dtype))
    return np.stack(column)


def _common(there: list[np.ndarray]) -> np.dtype:
    dtype = np.result_type(*there) if there else np.dtype(float)
    integers = all(cell.dtype.kind in "iu" for cell in there)
    if there and integers and dtype.kind == "f":  # NumPy's answer to int64 beside uint64
        return np.dtype(np.uint64 if all((cell >= 0).all() for cell in there) else np.int64)
    return dtype


def _kept(cell: np.ndarray, dtype: np.dtype) -> bool:
    """Whether a cast keeps a result: integers exactly, floats to the dtype's rounding."""
    if cell.dtype.kind in "iu":
        if dtype.kind in "iu":
            least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
            return all(least <= int(each) <= most for each in cell.ravel())
        if dtype.kind == "f":
            return all(int(each) == int(np.asarray(each, dtype)) for each in cell.ravel())
    return np.can_cast(cell.dtype, dtype, "same_kind")
