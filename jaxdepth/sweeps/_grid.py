"""From axes and lists to a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jaxdepth._misc import refuse
from jaxdepth.sweeps._axes import Axis, axis_of, check_distinct
from jaxdepth.sweeps._plan import LIST, RESERVED, Plan


def grid(
    configurations: Sequence[Mapping[str, Any]] | None = None,
    /,
    **axes: Any,
) -> Plan:
    """Plan a sweep over the product of axes, over an explicit list, or over their product.

    Axes reach the measure as keyword arguments. How, their type and name decide: floats, and
    integers named `seed`, are traced; integers named `width` or `depth` are padded; everything else
    is static. `traced`, `padded` and `static` say otherwise.

    Args:
        configurations: dicts of the same keys, in place of a product of these; results lie on the
            dimension "configuration".
        axes: sequences of values by name, or what `traced`, `padded` and `static` return.

    Returns:
        A `Plan`: print it, `predict` what it takes, and `run` it.

    Raises:
        ValueError: no axes, an empty one, values of mixed types or repeated ones, configurations
            of different keys, names that are no identifiers or are taken.

    Example:
        >>> print(grid(depth=range(1, 13), width=[8, 64], seed=range(100)))
        2,400 configurations (12 × 2 × 100: depth padded, width padded, seed traced)
        2 buckets, a compilation each (depth ≤ 12, width ≤ 8; depth ≤ 12, width ≤ 64); 32 tiles
        >>> grid([{"depth": 1, "rate": 0.5}, {"depth": 2, "rate": 0.1}], seed=range(5)).shape
        (2, 5)
    """
    made: dict[str, Axis] = {}
    dims: dict[str, int] = {}
    places: dict[str, str] = {}
    if configurations is not None:
        for name, column in _columns(configurations).items():
            made[name] = axis_of(name, column)
            places[name] = LIST
        dims[LIST] = len(configurations)
    for name, values in axes.items():
        if name in made or name == LIST:
            refuse(name, "an axis of its own", "the name of another", "Name it otherwise.")
        made[name] = axis_of(name, values)
        check_distinct(name, made[name])
        dims[name], places[name] = len(made[name].values), name
    if not made:
        refuse("axes", "at least one axis, as in `grid(depth=[1, 2])`", {})
    for name in made:
        if name.startswith("_") or name in RESERVED:
            refuse(name, "a name that results leave free", name, f"Taken: {', '.join(RESERVED)}.")
    return Plan(made, dims, places)


def _columns(configurations: Any) -> dict[str, Any]:
    if isinstance(configurations, (Mapping, str)) or not isinstance(configurations, Iterable):
        refuse("configurations", "a list of dicts", configurations)
    rows = list(configurations)
    if not rows:
        refuse("configurations", "at least one configuration", rows)
    for row in rows:
        if not isinstance(row, Mapping) or not row:
            refuse("configurations", "a list of dicts with the axes' values", row)
        if set(row) != set(rows[0]):
            refuse("configurations", f"of the same keys, {sorted(rows[0])}", sorted(row))
        if not all(isinstance(name, str) and name.isidentifier() for name in row):
            refuse("configurations", "keyed by names of arguments", list(row))
    columns: dict[str, Any] = {}
    for name in rows[0]:
        cells = [row[name] for row in rows]
        axes = [cell for cell in cells if isinstance(cell, Axis)]
        if not axes:
            columns[name] = cells
            continue
        kinds = {cell.kind for cell in axes}
        if len(axes) < len(cells) or len(kinds) > 1 or any(len(a.values) != 1 for a in axes):
            refuse(
                name, "of one kind in all configurations", cells, "Write `static([value])` in each."
            )
        if len({cell.bounds for cell in axes}) > 1:
            refuse(name, "of the same bounds in all configurations", [a.bounds for a in axes])
        columns[name] = replace(axes[0], values=tuple(cell.values[0] for cell in axes))
    return columns
