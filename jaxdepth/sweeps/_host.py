"""Measuring one configuration at a time, in Python; what fails is recorded, the others go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxdepth.sweeps._dataset import Record, joined
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
        shapes: of every output, where a compiled program of another bucket fixes its dtype.
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
    dtypes = {name: aval.dtype for name, aval in (shapes or {}).items()}
    return joined(members, rows, messages, dtypes)
