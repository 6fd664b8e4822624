"""From tiles to one labelled dataset, and its digest."""

from __future__ import annotations

import collections
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxdepth._misc import refuse
from jaxdepth.sweeps._content import raw
from jaxdepth.sweeps._extra import needed

if TYPE_CHECKING:
    import xarray

Record = dict[str, np.ndarray]  # of one tile: MEMBERS, FAILED, MESSAGE, and outputs behind OUTPUT

MEMBERS, FAILED, MESSAGE, OUTPUT = "members", "failed", "message", "output."
MEASURED, UNMEASURED, MISSING = 0, 1, 2
_LONGEST = 500  # characters of a message
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
        messages: of the members that failed, by their place; what is very long is cut.
    """
    failed = np.zeros(len(members), bool)
    failed[list(messages)] = True
    said = np.array([_cut(messages.get(i, "")) for i in range(len(members))], np.str_)
    record = {MEMBERS: np.asarray(members, np.int64), FAILED: failed, MESSAGE: said}
    return {**record, **{f"{OUTPUT}{name}": array for name, array in outputs.items()}}


def dimensions(name: str, ndim: int) -> list[str]:
    """Return what the dimensions of an output beyond the plan's are called."""
    return [f"{name}_{axis}" for axis in range(ndim)]


def check_units(units: Mapping[str, Any], axes: Iterable[str], record: Record) -> None:
    """Refuse units of what is neither an axis nor an output, or that are no strings.

    Args:
        units: by name.
        axes: their names.
        record: of a tile, some of which is measured.
    """
    outputs = [key[len(OUTPUT) :] for key in record if key.startswith(OUTPUT)]
    known = [*axes, *outputs]
    for name, unit in units.items():
        if not isinstance(unit, str):
            refuse("units", "strings by name", {name: unit}, "Write '1' for a pure number.")
        if outputs and name not in known:
            refuse("units", f"of axes and outputs, of {', '.join(known)}", name)


def assemble(description: Mapping[str, Any], records: Iterable[Record]) -> xarray.Dataset:
    """Lay records out over the plan's dimensions.

    Where a configuration failed or is missing, floats are NaN, booleans False, strings empty and
    integers the least of their dtype (unsigned ones the greatest); `status` tells. Of outputs of
    different names or shapes the most frequent are kept, and the others count as failed, as does
    an integer that the dtype of all results does not hold.

    Args:
        description: a store's manifest.
        records: in any order; they are emptied on the way, for memory's sake.
    """
    xr = needed("xarray")
    dims: dict[str, int] = description["dimensions"]
    shape, size = tuple(dims.values()), math.prod(dims.values())
    records = list(records)
    status = np.full(size, MISSING, np.int8)
    said = np.full(size, "", object)
    for record in records:
        status[record[MEMBERS]] = np.where(record[FAILED], UNMEASURED, MEASURED)
        said[record[MEMBERS]] = record[MESSAGE]
    variables: dict[str, Any] = {}
    for name, array in _laid_out(records, status, said, {}):
        attributes: dict[str, Any] = {"units": description["units"].get(name, "1")}
        if array.dtype.kind == "f":
            nan = np.isnan(array).any(axis=tuple(range(1, array.ndim)))
            attributes["nan_count"] = int((nan & (status == MEASURED)).sum())
        variables[name] = (
            (*dims, *dimensions(name, array.ndim - 1)),
            array.reshape(*shape, *array.shape[1:]),
            attributes,
        )
    variables["status"] = (tuple(dims), status.reshape(shape), dict(_STATUS))
    if (status == UNMEASURED).any():
        variables["message"] = (tuple(dims), said.reshape(shape))
    coordinates = {
        name: (
            axis["dimension"],
            np.array(axis["values"]),
            {"units": description["units"].get(name, "1"), "kind": axis["kind"]},
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
    left out. Of a file it is `digest(xarray.open_dataset(path, decode_times=False))`: otherwise
    xarray makes dates of numbers whose units are, say, "days since 2000-01-01".

    Args:
        dataset: as `run` returns it, or read from a file.

    Raises:
        ValueError: dates and durations, in place of the numbers that were stored.

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
        if array.dtype.kind in "mM":
            cure = "Open it with `decode_times=False`."
            refuse("dataset", "one of numbers as they were stored", f"dates in {name!r}", cure)
        if array.dtype.kind in "OUT":  # strings: their width is an accident of the longest
            array = np.array(json.dumps([str(each) for each in array.ravel()]).encode())
        head = f"{name} {variable.dims} {variable.shape} {array.dtype.str} "
        whole.update(head.encode())
        whole.update(raw(array))
    return whole.hexdigest()


def joined(
    members: np.ndarray,
    rows: Sequence[Mapping[str, np.ndarray]],
    messages: Mapping[int, str],
    dtypes: Mapping[str, Any],
) -> Record:
    """Return the record of configurations that were measured one by one.

    Args:
        members: their flat indices.
        rows: the outputs of each by name, empty where it failed.
        messages: of those that failed, by their place.
        dtypes: of outputs, where a compiled program fixes them.
    """
    places = np.arange(len(members))
    records = [
        record_of(places[i : i + 1], {name: array[None] for name, array in row.items()}, {})
        for i, row in enumerate(rows)
    ]
    status = np.full(len(members), MEASURED, np.int8)
    said = np.full(len(members), "", object)
    for place, message in messages.items():
        status[place], said[place] = UNMEASURED, message
    outputs = dict(_laid_out(records, status, said, dtypes))
    return record_of(members, outputs, {i: said[i] for i in places[status == UNMEASURED].tolist()})


def _laid_out(
    records: list[Record], status: np.ndarray, said: np.ndarray, dtypes: Mapping[str, Any]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every output of all configurations; what is unlike most of its kind is failed first."""
    _unlike_names(records, status, said)
    _unlike_shapes(records, status, said)
    _unlike_dtypes(records, status, said, dtypes)
    for key, mine in _by_output(records):
        yield key[len(OUTPUT) :], _gathered(key, mine, status)


def _unlike_names(records: list[Record], status: np.ndarray, said: np.ndarray) -> None:
    """Fail what returned other outputs than most."""
    found = [tuple(sorted(key for key in record if key.startswith(OUTPUT))) for record in records]
    usual = _most_frequent(records, found, status)
    for record, these in zip(records, found, strict=True):
        if these != usual:
            told, most = ([key[len(OUTPUT) :] for key in keys] for keys in (these, usual or ()))
            where = record[MEMBERS]
            _fail(where, f"returned {told} where most configurations return {most}", status, said)
            for key in these:
                del record[key]


def _unlike_shapes(records: list[Record], status: np.ndarray, said: np.ndarray) -> None:
    """Fail what returned arrays of other shapes than most, or text beside numbers."""
    for key, mine in _by_output(records):
        forms = [(record[key].shape[1:], record[key].dtype.kind in "SU") for record in mine]
        usual = _most_frequent(mine, forms, status)
        for record, form in zip(mine, forms, strict=True):
            if form != usual:
                told, most = map(_told_form, (form, usual))
                name = f"{key[len(OUTPUT) :]} of {told}"
                where = record[MEMBERS]
                _fail(
                    where, f"returned {name} where most configurations return {most}", status, said
                )
                del record[key]


def _told_form(form: tuple[tuple[int, ...], bool]) -> str:
    return f"shape {form[0]}" + (", as text" if form[1] else "")


def _unlike_dtypes(
    records: list[Record], status: np.ndarray, said: np.ndarray, dtypes: Mapping[str, Any]
) -> None:
    """Give each output one dtype that holds all of it, and fail what none does.

    Tiles of a host run may differ: an integer beside floats, int64 beside uint64, which NumPy would
    round to float64. No integer is rounded here; floats are widened, or rounded to what a program
    fixes.
    """
    for key, mine in _by_output(records):
        name = key[len(OUTPUT) :]
        dtype = np.dtype(dtypes.get(name) or _common([record[key] for record in mine]))
        for record in mine:
            array = record[key]
            kept = _held(array, dtype) | record[FAILED]
            for place in np.flatnonzero(~kept).tolist():
                told = f"{name} = {array[place]}, which {dtype} does not hold"
                _fail(record[MEMBERS][place : place + 1], f"returned {told}", status, said)
            if dtype.kind not in "SU" and array.dtype != dtype:
                with np.errstate(all="ignore"):  # what is not held is failed already
                    record[key] = array.astype(dtype)


def _common(arrays: list[np.ndarray]) -> np.dtype:
    dtype = np.result_type(*(array.dtype for array in arrays))
    if dtype.kind == "f" and all(array.dtype.kind in "iu" for array in arrays):
        return np.dtype(np.uint64 if all((array >= 0).all() for array in arrays) else np.int64)
    return dtype


def _held(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return for each row whether a cast keeps it: integers exactly, floats to its rounding."""
    if array.dtype == dtype or array.dtype.kind not in "iu":
        return np.full(len(array), np.can_cast(array.dtype, dtype, "same_kind"))
    given = array.ravel().tolist()
    if dtype.kind in "iu":
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
        kept = [least <= each <= most for each in given]
    elif dtype.kind == "f":
        rounded = array.astype(dtype).ravel().tolist()
        kept = [each == int(other) for each, other in zip(given, rounded, strict=True)]
    else:
        kept = [False] * len(given)
    whole = np.array(kept, bool).reshape(array.shape)
    return np.asarray(whole.all(axis=tuple(range(1, array.ndim))))


def _by_output(records: list[Record]) -> list[tuple[str, list[Record]]]:
    keys = {key: None for record in records for key in record if key.startswith(OUTPUT)}
    return [(key, [record for record in records if key in record]) for key in keys]


def _most_frequent(records: list[Record], found: list[Any], status: np.ndarray) -> Any:
    """Return what most measured configurations have; of two, that of the first configuration."""
    count: collections.Counter[Any] = collections.Counter()
    first: dict[Any, int] = {}
    for record, each in zip(records, found, strict=True):
        measured = record[MEMBERS][status[record[MEMBERS]] == MEASURED]
        if len(measured):
            count[each] += len(measured)
            first[each] = min(first.get(each, len(status)), int(measured.min()))
    return max(count, key=lambda each: (count[each], -first[each]), default=None)


def _fail(members: np.ndarray, message: str, status: np.ndarray, said: np.ndarray) -> None:
    measured = members[status[members] == MEASURED]
    status[measured] = UNMEASURED
    said[measured] = _cut(message)


def _cut(message: str) -> str:
    return message if len(message) <= _LONGEST else f"{message[: _LONGEST - 1]}…"


def _gathered(key: str, records: list[Record], status: np.ndarray) -> np.ndarray:
    """Return one output of all configurations, filled where there is none, out of the records."""
    like = records[0][key]
    dtype = np.result_type(*(record[key].dtype for record in records))  # of strings, the longest
    dtype = np.dtype(dtype.str)  # of two names for 64 bits the usual one
    array = np.full((len(status), *like.shape[1:]), _fill(dtype), dtype)
    for record in records:
        good = status[record[MEMBERS]] == MEASURED
        array[record[MEMBERS][good]] = record.pop(key)[good]
    return array


def _fill(dtype: np.dtype) -> Any:
    if dtype.kind == "f":
        return np.nan
    if dtype.kind in "iu":
        return np.iinfo(dtype).min if dtype.kind == "i" else np.iinfo(dtype).max
    return False if dtype.kind == "b" else ""
