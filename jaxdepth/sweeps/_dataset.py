"""From tiles to one labelled dataset, and its digest."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxdepth.sweeps._extra import needed

if TYPE_CHECKING:
    import xarray

Record = dict[str, np.ndarray]  # of one tile: MEMBERS, FAILED, MESSAGE, and outputs behind OUTPUT

MEMBERS, FAILED, MESSAGE, OUTPUT = "members", "failed", "message", "output."
MEASURED, UNMEASURED, MISSING = 0, 1, 2
_STATUS = {
    "long_name": "what became of a configuration",
    "flag_values": np.array([MEASURED, UNMEASURED, MISSING], np.int8),
    "flag_meanings": "measured failed missing",
}


def record_of(
    members: np.ndarray, outputs: Mapping[str, np.ndarray], messages: Mapping[int, str]
) -> Record:
    """Return the record of one tile.

    Args:
        members: flat indices of its configurations.
        outputs: by name, the first axis over the members.
        messages: of the members that failed, by their place.
    """
    failed = np.zeros(len(members), bool)
    failed[list(messages)] = True
    said = np.array([messages.get(i, "") for i in range(len(members))], np.str_)
    record = {MEMBERS: np.asarray(members, np.int64), FAILED: failed, MESSAGE: said}
    return {**record, **{f"{OUTPUT}{name}": array for name, array in outputs.items()}}


def assemble(description: Mapping[str, Any], records: Iterable[Record]) -> xarray.Dataset:
    """Lay records out over the plan's dimensions.

    Where a configuration failed or is missing, floats are NaN, booleans False, strings empty and
    integers the least of their dtype; `status` tells.

    Args:
        description: a store's manifest.
        records: in any order; of outputs of different shapes the most frequent is kept, and the
            others count as failed.
    """
    xr = needed("xarray")
    dims: dict[str, int] = description["dimensions"]
    size = math.prod(dims.values())
    records = list(records)
    status = np.full(size, MISSING, np.int8)
    messages: dict[int, str] = {}
    for record in records:
        status[record[MEMBERS]] = np.where(record[FAILED], UNMEASURED, MEASURED)
        for place in np.flatnonzero(record[FAILED]).tolist():
            messages[int(record[MEMBERS][place])] = str(record[MESSAGE][place])
    names = {key: None for record in records for key in record if key.startswith(OUTPUT)}
    variables: dict[str, Any] = {}
    for key in names:
        name = key[len(OUTPUT) :]
        array = _gathered(key, records, status, messages)
        trailing = [f"{name}_{axis}" for axis in range(array.ndim - 1)]
        attributes: dict[str, Any] = {"units": description["units"].get(name, "1")}
        if array.dtype.kind == "f":
            attributes["nan_count"] = (
                int(np.isnan(array[status == MEASURED]).any(axis=tuple(range(1, array.ndim))).sum())
                if array.ndim > 1
                else int(np.isnan(array[status == MEASURED]).sum())
            )
        variables[name] = (
            (*dims, *trailing),
            array.reshape(*dims.values(), *array.shape[1:]),
            attributes,
        )
    variables["status"] = (tuple(dims), status.reshape(tuple(dims.values())), dict(_STATUS))
    if messages:
        said = np.array([messages.get(i, "") for i in range(size)], np.str_)
        variables["message"] = (tuple(dims), said.reshape(tuple(dims.values())))
    coordinates = {
        name: (
            axis["dimension"],
            np.array(axis["values"]),
            _axis_attributes(name, axis, description),
        )
        for name, axis in description["axes"].items()
    }
    dataset = xr.Dataset(variables, coords=coordinates, attrs=dict(description["attributes"]))
    dataset.attrs["measured"] = int((status == MEASURED).sum())
    dataset.attrs["failed"] = int((status == UNMEASURED).sum())
    dataset.attrs["missing"] = int((status == MISSING).sum())
    dataset.attrs["identity"] = json.dumps(description["identity"], sort_keys=True)
    dataset.attrs["digest"] = digest(dataset)
    return dataset


def digest(dataset: xarray.Dataset) -> str:
    """Return SHA-256 of a dataset's numbers: names, dtypes, shapes, coordinates and values.

    Two runs of a plan agree bit for bit where their digests agree; attributes (date, machine) are
    left out.

    Example:
        >>> from jaxdepth.sweeps import grid, run
        >>> plan = grid(rate=[0.5, 1.0])
        >>> one, two = (run(plan, lambda rate: rate**2, progress=False) for _ in range(2))
        >>> digest(one) == digest(two) == one.attrs["digest"]
        True
    """
    whole = hashlib.sha256()
    for name in sorted(map(str, dataset.variables)):
        variable = dataset[name]
        array = np.asarray(variable.values)
        if array.dtype.kind in "OUT":  # strings: their width is an accident of the longest
            array = np.array(json.dumps([str(each) for each in array.ravel()]).encode())
        head = f"{name} {variable.dims} {variable.shape} {array.dtype.str} "
        whole.update(head.encode() + np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()


def _gathered(
    key: str, records: list[Record], status: np.ndarray, messages: dict[int, str]
) -> np.ndarray:
    """Return one output of all configurations, filled where there is none."""
    mine = [record for record in records if key in record]
    shapes: dict[tuple[int, ...], int] = {}
    for record in mine:
        shape = record[key].shape[1:]
        shapes[shape] = shapes.get(shape, 0) + int((~record[FAILED]).sum())
    shape = max(shapes, key=lambda each: shapes[each])
    dtype = np.result_type(*(record[key].dtype for record in mine))
    array = np.full((len(status), *shape), _fill(dtype), dtype)
    for record in mine:
        good = ~record[FAILED]
        members = record[MEMBERS][good]
        if record[key].shape[1:] == shape:
            array[members] = record[key][good]
            continue
        status[members] = UNMEASURED
        for member in members.tolist():
            messages[member] = (
                f"returned {key[len(OUTPUT) :]} of shape {record[key].shape[1:]} where most "
                f"configurations return {shape}"
            )
    return array


def _fill(dtype: np.dtype) -> Any:
    if dtype.kind == "f":
        return np.nan
    if dtype.kind in "iu":
        return np.iinfo(dtype).min if dtype.kind == "i" else np.iinfo(dtype).max
    return False if dtype.kind == "b" else ""


def _axis_attributes(
    name: str, axis: Mapping[str, Any], description: Mapping[str, Any]
) -> dict[str, str]:
    return {"units": description["units"].get(name, "1"), "kind": axis["kind"]}
