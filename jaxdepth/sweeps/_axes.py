"""What varies in a sweep, and how it reaches the measure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np

from jaxdepth._misc import check_integer, refuse
from jaxdepth.sweeps._identity import fingerprint

Kind = Literal["traced", "padded", "static"]

PADDED = ("width", "depth")  # axes of integers that are padded unless asked otherwise
TRACED = ("seed",)  # and traced; other integers fix shapes more often than not
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Axis:
    """The values of one axis, and how they reach a measure.

    Attributes:
        kind: "traced", a 0-d array, so that all values share a program; "padded", a `Size`, so that
            those of a bucket do; "static", the value itself, one program each.
        values: as Python has them.
        bounds: of a padded axis, the largest size of each bucket; None where the plan chooses.

    Example:
        >>> from jaxdepth.sweeps import padded
        >>> axis = padded([8, 64])
        >>> axis.kind, axis.labels()
        ('padded', [8, 64])
    """

    kind: Kind
    values: tuple[Any, ...]
    bounds: tuple[int, ...] | None = None

    def labels(self) -> list[Any]:
        """Return what names the values in a dataset: numbers or strings, the same where they are.

        Values are the same where their fingerprints are: 1, 1.0 and True are not, nor 0.0 and -0.0.
        What has no name of its own is called by its type and its fingerprint.
        """
        if self.kind != "static" or _is_coordinate(self.values):
            return list(self.values)
        keys: dict[str, str] = {}
        taken: set[str] = set()
        found = []
        for value in self.values:
            told = fingerprint(value)
            if told not in keys:
                name = _name(value, told)
                keys[told] = name
                number = itertools.count(2)
                while keys[told] in taken:
                    keys[told] = f"{name} #{next(number)}"
                taken.add(keys[told])
            found.append(keys[told])
        return found


def traced(values: Iterable[Any]) -> Axis:
    """Make an axis of numbers that reach the measure as 0-d arrays: one program for all.

    Args:
        values: integers or floats. Floats arrive in the default float dtype, integers in the
            default integer dtype. (A `host` run passes Python's numbers.)

    Returns:
        An `Axis`, for `grid`.

    Raises:
        ValueError: no values, mixed types, no numbers, NaN, or integers beyond 64 bits.

    Example:
        >>> traced(range(3)).values
        (0, 1, 2)
    """
    return _checked("values", "traced", _listed("values", values))


def padded(values: Iterable[Any], bounds: Iterable[int] | None = None) -> Axis:
    """Make an axis of sizes that reach the measure as a `Size`: one program for each bucket.

    Args:
        values: integers, at least 1.
        bounds: the largest size of each bucket; by default a plan gives an axis named `depth` one
            bucket, for loops run to their own depth, and others as few as waste at most a factor
            1.3 of arithmetic.

    Returns:
        An `Axis`, for `grid`.

    Raises:
        ValueError: no values, sizes below 1, bounds that do not ascend to the largest value.

    Example:
        >>> padded([2, 3, 40], bounds=[4, 64]).bounds
        (4, 64)
    """
    axis = _checked("values", "padded", _listed("values", values))
    if bounds is None:
        return axis
    edges = tuple(check_integer("bounds", edge, 1) for edge in bounds)
    if list(edges) != sorted(set(edges)) or not edges or edges[-1] < max(axis.values):
        refuse("bounds", f"ascending, and the last at least {max(axis.values)}", edges)
    return Axis("padded", axis.values, edges)


def static(values: Iterable[Any]) -> Axis:
    """Make an axis of values that reach the measure as they are: one program for each.

    Args:
        values: anything hashable: integers that fix shapes, strings, optimisers, None.

    Returns:
        An `Axis`, for `grid`.

    Raises:
        ValueError: no values, or some that cannot be hashed.

    Example:
        >>> static(["relu", "tanh"]).kind
        'static'
    """
    return _checked("values", "static", _listed("values", values))


def axis_of(name: str, values: Any) -> Axis:
    """Return the axis that `values` stand for, its kind by their type and the axis's name."""
    if isinstance(values, Axis):
        return values
    listed = _listed(name, values)
    types = {_type(value) for value in listed}
    if len(types) > 1:
        named = ", ".join(sorted(types))
        cure = "Write them alike (1.0 for 1), or say what they are: `jd.sweeps.static([…])`."
        refuse(name, f"of one type, and no mixture of {named}", list(listed), cure)
    return _checked(name, _kind(name, types.pop()), listed)


def check_distinct(name: str, axis: Axis) -> None:
    """Refuse an axis of a product that holds a value twice."""
    if len(set(axis.labels())) < len(axis.values):
        refuse(name, "an axis of distinct values", list(axis.values), "Drop the repeated ones.")


def _is_coordinate(values: tuple[Any, ...]) -> bool:
    """Whether values can stand in a dataset as they are, and be found there again."""
    kinds = {type(value) for value in values}
    if kinds == {float}:  # a zero of another sign is equal, and so not found
        return len({value.hex() for value in values}) == len(set(values))
    if kinds == {int}:
        return all(abs(value) <= _LARGEST for value in values)
    return kinds in ({str}, {bool})


def _kind(name: str, kind: str) -> Kind:
    if kind == "float" or (kind == "int" and name in TRACED):
        return "traced"
    return "padded" if kind == "int" and name in PADDED else "static"


def _type(value: Any) -> str:
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind.__name__
    return "callable" if callable(value) else type(value).__name__


def _listed(name: str, values: Any) -> tuple[Any, ...]:
    """Return values as Python has them."""
    if isinstance(values, Axis):
        return values.values
    if isinstance(values, (str, bytes, dict)) or not isinstance(values, Iterable):
        refuse(name, "a sequence of values", values, f"Write `[{values!r}]` for one value.")
    if isinstance(values, (np.ndarray, jax.Array)):
        if values.ndim != 1:
            refuse(name, "a sequence of values, of one axis", f"shape {values.shape}")
        values = np.asarray(values).tolist()
    listed = tuple(_plain(value) for value in values)
    if not listed:
        refuse(name, "at least one value", values, "An axis without values leaves nothing to run.")
    return listed


def _plain(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray, jax.Array)) and np.ndim(value) == 0:
        return np.asarray(value).item()
    return value


def _checked(name: str, kind: Kind, values: tuple[Any, ...]) -> Axis:
    if kind == "padded":
        return Axis(kind, tuple(check_integer(name, value, 1, 2**31 - 1) for value in values))
    if kind == "static":
        for value in values:
            try:
                hash(value)
            except TypeError:
                refuse(name, "hashable, to be static", value, "Use a tuple, or its name.")
        return Axis(kind, values)
    types = {_type(value) for value in values}
    if types not in ({"int"}, {"float"}):
        cure = "Leave other values static: `jd.sweeps.static([…])`."
        refuse(name, "integers, or floats, to be traced", list(values), cure)
    if any(math.isnan(value) for value in values):
        refuse(name, "free of NaN", list(values))
    if types == {"int"} and not all(-_LARGEST <= value <= _LARGEST for value in values):
        refuse(name, "integers of at most 64 bits", max(values, key=abs))
    return Axis(kind, values)


def _name(value: Any, told: str) -> str:
    name = getattr(value, "__name__", None) or getattr(value, "name", None)
    if isinstance(name, str) and name:
        return name
    return str(value) if _is_plain(value) else f"{type(value).__name__} #{told[:6]}"


def _is_plain(value: Any) -> bool:
    if type(value) is tuple:
        return all(map(_is_plain, value))
    return type(value) in (type(None), bool, int, float, complex, str, bytes)
