"""What is to be run: configurations, in buckets that share a program, in tiles of one shape."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Int

from jaxdepth._misc import check_integer, refuse
from jaxdepth.sweeps._axes import Axis, axis_of, check_distinct
from jaxdepth.sweeps._buckets import cheapest_bounds
from jaxdepth.sweeps._identity import fingerprint, sha

LIST = "configuration"  # the dimension of an explicit list
LOOPED = ("depth",)  # padded axes that bound a loop, and need no buckets
_LARGEST_TILE = 256
_TILES = 16  # of a bucket at least, where it has so many configurations


@dataclass(frozen=True, eq=False)
class Bucket:
    """Configurations that share one program.

    Attributes:
        number: its place in the plan.
        statics: values of the static axes.
        maxima: what the sizes of padded axes are padded to.
        members: flat indices of its configurations, alike ones together.
        tile: how many of them one call of the program runs.
    """

    number: int
    statics: dict[str, Any]
    maxima: dict[str, int]
    members: Int[np.ndarray, " members"]
    tile: int

    @property
    def num_tiles(self) -> int:
        """Return how many calls run all members."""
        return -(-len(self.members) // self.tile)

    def of_tile(self, tile: int) -> Int[np.ndarray, " configurations"]:
        """Return the members of one tile; the last may hold fewer."""
        return self.members[tile * self.tile : (tile + 1) * self.tile]


@dataclass(frozen=True, eq=False, repr=False)
class Plan:
    """Configurations, and how they are run; made by `grid`.

    Two plans are the same when they ask the same of the same program: `digest` tells. The tile,
    the shape in which a program is compiled, is part of it: the last bits of floats depend on it,
    and on nothing else that a run chooses (devices, chunks, workers, restarts).

    Attributes:
        axes: by name.
        dims: the dimensions of the results and their lengths.
        places: the dimension on which each axis lies.
        tile: configurations of one call; None for a sixteenth of a bucket, 256 at most.
    """

    axes: Mapping[str, Axis]
    dims: Mapping[str, int]
    places: Mapping[str, str]
    tile: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the lengths of all dimensions."""
        return tuple(self.dims.values())

    @property
    def size(self) -> int:
        """Return how many configurations there are."""
        return math.prod(self.shape)

    @functools.cached_property
    def buckets(self) -> tuple[Bucket, ...]:
        """Return the configurations, sorted into what shares a program."""
        codes: list[np.ndarray] = []
        order: dict[tuple[bool, bool, str], np.ndarray] = {}
        statics: dict[str, np.ndarray] = {}
        maxima: dict[str, np.ndarray] = {}
        for name, axis in self.axes.items():
            places = self._places(name)
            if axis.kind == "static":
                first: dict[Any, int] = {}
                code = np.array(
                    [first.setdefault(_key(value), i) for i, value in enumerate(axis.values)]
                )
                codes.append(code[places])
                statics[name] = codes[-1]
            elif axis.kind == "padded":
                sizes = np.array(axis.values)[places]
                bounds = np.array(self._bounds(name, axis, sizes))
                codes.append(np.searchsorted(bounds, sizes))
                maxima[name] = bounds[codes[-1]]
                # Loops over what is not split run to the greatest of a tile: sort by that first.
                order[len(bounds) > 1, name not in LOOPED, name] = sizes
        flat = np.arange(self.size)
        if codes:
            _, group = np.unique(np.stack(codes), axis=1, return_inverse=True)
            group = group.reshape(-1)
        else:
            group = np.zeros(self.size, np.int64)
        keys = [order[rank] for rank in sorted(order, reverse=True)]
        ranked = np.lexsort((flat, *keys, group))
        splits = np.flatnonzero(np.diff(group[ranked])) + 1
        return tuple(
            Bucket(
                number,
                {name: self.axes[name].values[code[members[0]]] for name, code in statics.items()},
                {name: int(largest[members[0]]) for name, largest in maxima.items()},
                members,
                self.tile or min(_LARGEST_TILE, -(-len(members) // _TILES)),
            )
            for number, members in enumerate(np.split(ranked, splits))
        )

    @functools.cached_property
    def digest(self) -> str:
        """Return the hash of all that the plan asks."""
        return sha(repr(self.described()))

    def described(self) -> dict[str, Any]:
        """Return what the plan asks, in plain words: what a store is held against."""
        axes = {
            name: {
                "kind": axis.kind,
                "dimension": self.places[name],
                "number": len(axis.values),
                "first": str(axis.labels()[0]),
                "last": str(axis.labels()[-1]),
                "values": fingerprint(axis.values),
            }
            for name, axis in self.axes.items()
        }
        shapes = [[b.maxima, len(b.members), b.tile] for b in self.buckets]
        return {"dimensions": dict(self.dims), "axes": axes, "buckets": sha(repr(shapes))}

    def tiled(self, tile: int) -> Plan:
        """Return this plan with `tile` configurations in one call of a program.

        Smaller tiles take less memory and lose less in a kill; larger ones fill a device.

        Args:
            tile: at least 1.

        Example:
            >>> grid(seed=range(100)).tiled(10).buckets[0].num_tiles
            10
        """
        return replace(self, tile=check_integer("tile", tile, 1))

    def where(self, chosen: Any) -> Plan:
        """Return the plan of some of these configurations, as an explicit list.

        Args:
            chosen: booleans of the plan's shape: an array, or a DataArray over its dimensions.

        Raises:
            ValueError: another shape or type, or nothing chosen.

        Example:
            >>> plan = grid(depth=[1, 2], width=[3, 4])
            >>> [plan.where([[False, True], [True, False]]).configuration(i) for i in range(2)]
            [{'depth': 1, 'width': 4}, {'depth': 2, 'width': 3}]
        """
        if hasattr(chosen, "transpose") and set(getattr(chosen, "dims", ())) == set(self.dims):
            chosen = chosen.transpose(*self.dims)
        mask = np.asarray(chosen)
        if mask.dtype != bool or mask.shape != self.shape:
            refuse("chosen", f"booleans of shape {self.shape}", f"{mask.dtype} {mask.shape}")
        flat = np.flatnonzero(mask)
        if not len(flat):
            refuse("chosen", "true somewhere", "all false", "There is nothing left to run.")
        axes = {}
        for name, axis in self.axes.items():
            values = tuple(axis.values[i] for i in self._places(name)[flat].tolist())
            axes[name] = replace(axis, values=values)
        return Plan(axes, {LIST: len(flat)}, dict.fromkeys(axes, LIST), self.tile)

    def configuration(self, index: int) -> dict[str, Any]:
        """Return one configuration by its flat index (rows first), as Python has its values."""
        return {name: axis.values[self._place(name, index)] for name, axis in self.axes.items()}

    def named(self, index: int) -> str:
        """Return what a message calls a configuration: `depth=3, width=8`."""
        labels = {name: _label(axis, self._place(name, index)) for name, axis in self.axes.items()}
        return ", ".join(f"{name}={label}" for name, label in labels.items())

    def values(self, name: str, flat: Int[np.ndarray, " n"]) -> np.ndarray:
        """Return the numbers on one axis of some configurations."""
        return np.array(self.axes[name].values)[self._places(name)[flat]]

    def __str__(self) -> str:
        lengths = " × ".join(f"{length:,}" for length in self.shape)
        kinds = ", ".join(f"{name} {axis.kind}" for name, axis in self.axes.items())
        maxima = [b.maxima for b in self.buckets if b.maxima][:12]
        padded = "; ".join(", ".join(f"{n} ≤ {m}" for n, m in each.items()) for each in maxima)
        tiles = sum(bucket.num_tiles for bucket in self.buckets)
        return (
            f"{self.size:,} configurations ({lengths}: {kinds})\n"
            f"{len(self.buckets):,} buckets, a compilation each"
            + (f" ({padded})" if padded else "")
            + f"; {tiles:,} tiles"
        )

    __repr__ = __str__

    def _bounds(self, name: str, axis: Axis, sizes: np.ndarray) -> tuple[int, ...]:
        if axis.bounds is not None:
            return axis.bounds
        return (int(sizes.max()),) if name in LOOPED else cheapest_bounds(sizes, 2)

    def _places(self, name: str) -> np.ndarray:
        """Return the place of every configuration on an axis."""
        index = list(self.dims).index(self.places[name])
        before, after = math.prod(self.shape[:index]), math.prod(self.shape[index + 1 :])
        return np.tile(np.repeat(np.arange(self.shape[index]), after), before)

    def _place(self, name: str, index: int) -> int:
        places = np.unravel_index(index, self.shape)
        return int(places[list(self.dims).index(self.places[name])])


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


RESERVED = ("status", "message")  # variables of every dataset


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
        columns[name] = replace(axes[0], values=tuple(cell.values[0] for cell in axes))
    return columns


def _key(value: Any) -> Any:
    return type(value), value  # 1, 1.0 and True are equal, and not the same


def _label(axis: Axis, place: int) -> Any:
    value = axis.values[place]
    return value if isinstance(value, (bool, int, float, str)) else axis.labels()[place]
