"""Measuring one configuration at a time, in Python; what fails is recorded, the others go on."""

from __future__ import annotations

from collections.abc import Callable
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
    done: Callable[[bool], None],
    shapes: dict[str, Any] | None = None,
) -> Record:
    """Measure some configurations one by one.

    Args:
        plan: whose.
        measure: called with plain values.
        members: their flat indices.
        done: told after each whether it was measured.
        shapes: dtype and shape of every output, where a compiled program of another bucket fixes
            them.
    """
    rows: list[dict[str, np.ndarray]] = []
    messages: dict[int, str] = {}
    first: dict[str, np.ndarray] | None = None
    for place, index in enumerate(members.tolist()):
        try:
            row = outputs(plan, measure(**alone(plan, index)), as_numpy)
            first = first or _like(row, shapes)
            _check_alike(row, first)
        except Exception as error:
            messages[place] = said(error)
            row = {}
        rows.append(row)
        done(bool(row))
    stacked: dict[str, np.ndarray] = {}
    if first is not None:
        for name, blank in first.items():
            cells = [row.get(name, blank) for row in rows]
            array = np.stack(cells)
            stacked[name] = array.astype(blank.dtype) if shapes else array
    return record_of(members, stacked, messages)


def _like(row: dict[str, np.ndarray], shapes: dict[str, Any] | None) -> dict[str, np.ndarray]:
    if shapes is None:
        return {name: np.zeros_like(array) for name, array in row.items()}
    return {name: np.zeros(aval.shape, aval.dtype) for name, aval in shapes.items()}


def _check_alike(row: dict[str, np.ndarray], first: dict[str, np.ndarray]) -> None:
    if row.keys() != first.keys():
        raise ValueError(f"returned {sorted(row)} where others return {sorted(first)}")
    for name, array in row.items():
        if array.shape != first[name].shape:
            raise ValueError(
                f"returned {name} of shape {array.shape} where others return {first[name].shape}"
            )
