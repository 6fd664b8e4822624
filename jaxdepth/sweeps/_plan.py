"""What is to be run: configurations, in buckets that share a program, in tiles of one shape."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Int

from jaxdepth._misc import check_integer, refuse
from jaxdepth.sweeps._axes import Axis
from jaxdepth.sweeps._buckets import Bucket, buckets_of
from jaxdepth.sweeps._identity import fingerprint, sha

LIST = "configuration"  # the dimension of an explicit list
RESERVED = ("status", "message")  # variables of every dataset


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

    Example:
        >>> from jaxdepth.sweeps import grid
        >>> plan = grid(depth=[1, 2], seed=range(5))
        >>> plan.dims, plan.size, plan.named(0)
        ({'depth': 2, 'seed': 5}, 10, 'depth=1, seed=0')
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
        everything = np.arange(self.size)
        places = {name: self._places(name, everything) for name in self.axes}
        return buckets_of(self.axes, places, self.tile)

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
        order = [list(each) for each in self.dims.items()]  # it decides where a flat index lies
        return {"dimensions": order, "axes": axes, "buckets": sha(repr(shapes))}

    def tiled(self, tile: int) -> Plan:
        """Return this plan with `tile` configurations in one call of a program.

        Smaller tiles take less memory and lose less in a kill; larger ones fill a device.

        Args:
            tile: at least 1.

        Raises:
            ValueError: not a positive integer.

        Example:
            >>> from jaxdepth.sweeps import grid
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
            >>> from jaxdepth.sweeps import grid
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
            values = tuple(axis.values[i] for i in self._places(name, flat).tolist())
            axes[name] = replace(axis, values=values)
        return Plan(axes, {LIST: len(flat)}, dict.fromkeys(axes, LIST), self.tile)

    def configuration(self, index: int) -> dict[str, Any]:
        """Return one configuration by its flat index (rows first), as Python has its values.

        Args:
            index: from 0, below `size`.
        """
        return {name: axis.values[self._place(name, index)] for name, axis in self.axes.items()}

    def named(self, index: int) -> str:
        """Return what a message calls a configuration: `depth=3, width=8`.

        Args:
            index: flat, rows first.
        """
        labels = {name: _label(axis, self._place(name, index)) for name, axis in self.axes.items()}
        return ", ".join(f"{name}={label}" for name, label in labels.items())

    def values(self, name: str, flat: Int[np.ndarray, " n"]) -> np.ndarray:
        """Return the numbers on one axis of some configurations.

        Args:
            name: of the axis.
            flat: indices of the configurations, shape (n,).
        """
        return self._numbers[name][self._places(name, flat)]

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

    def _place(self, name: str, index: int) -> int:
        return int(self._places(name, np.array([index]))[0])

    def _places(self, name: str, flat: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """Return where on an axis some configurations lie."""
        index = list(self.dims).index(self.places[name])
        after = math.prod(self.shape[index + 1 :])
        return flat // after % self.shape[index]

    @functools.cached_property
    def _numbers(self) -> dict[str, np.ndarray]:
        return {
            name: np.array(axis.values) for name, axis in self.axes.items() if axis.kind != "static"
        }


def _label(axis: Axis, place: int) -> Any:
    value = axis.values[place]
    return value if isinstance(value, (bool, int, float, str)) else axis.labels()[place]
