"""How a measure meets one configuration: its arguments, and what it may return."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdepth._misc import refuse
from jaxdepth.networks._size import Size
from jaxdepth.sweeps._buckets import Bucket
from jaxdepth.sweeps._dataset import dimensions
from jaxdepth.sweeps._plan import RESERVED, Plan

VALUE = "value"  # the name of what is returned without one
_NUMBERS = (bool, int, float, complex)


class ReturnError(ValueError):
    """A measure returns what no dataset can hold."""


def check_measure(plan: Plan, measure: Any) -> None:
    """Refuse what does not take the plan's axes as keyword arguments, before anything is run."""
    if not callable(measure):
        refuse("measure", "a function of the axes", measure)
    try:
        signature = inspect.signature(measure)
    except (TypeError, ValueError):  # a builtin
        return
    try:
        signature.bind(**dict.fromkeys(plan.axes))
    except TypeError as error:
        axes = ", ".join(plan.axes)
        refuse("measure", f"a function of the keyword arguments {axes}", signature, f"({error}.)")


def varying(plan: Plan) -> list[str]:
    """Return the axes that reach a compiled measure as tracers."""
    return [name for name, axis in plan.axes.items() if axis.kind != "static"]


def check_values(plan: Plan) -> None:
    """Refuse numbers that the dtypes of a program do not hold, on any axis."""
    for name in varying(plan):
        values = np.array(plan.axes[name].values)
        dtype = _dtype(plan, name)
        with np.errstate(all="ignore"):
            held = values.astype(dtype)
        if values.dtype.kind == "i":
            lost = held != values
        else:
            lost = (np.isfinite(values) != np.isfinite(held)) | ((held == 0) != (values == 0))
        if lost.any():
            cure = "Turn 64-bit on: `with jax.enable_x64(True):`."
            refuse(name, f"numbers that {dtype} holds", values[lost][0].item(), cure)


def inputs(plan: Plan, flat: np.ndarray) -> dict[str, np.ndarray]:
    """Return the numbers of some configurations on those axes, in the dtypes of a program."""
    return {name: plan.values(name, flat).astype(_dtype(plan, name)) for name in varying(plan)}


def _dtype(plan: Plan, name: str) -> np.dtype:
    axis = plan.axes[name]
    if axis.kind == "padded":
        return np.dtype(np.int32)
    return np.dtype(jnp.result_type(float if isinstance(axis.values[0], float) else int))


def arguments(plan: Plan, bucket: Bucket, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a measure is called with: `values` are those of the varying axes."""
    found: dict[str, Any] = {}
    for name, axis in plan.axes.items():
        if axis.kind == "static":
            found[name] = bucket.statics[name]
        elif axis.kind == "padded":
            found[name] = Size(values[name], bucket.maxima[name])
        else:
            found[name] = values[name]
    return found


def alone(plan: Plan, index: int) -> dict[str, Any]:
    """Return what a measure is called with on the host: plain values, sizes without padding."""
    return {
        name: Size(value, value) if plan.axes[name].kind == "padded" else value
        for name, value in plan.configuration(index).items()
    }


def outputs(plan: Plan, result: Any, as_array: Callable[[Any], Any]) -> dict[str, Any]:
    """Return what a measure returned as arrays by name.

    Raises:
        ReturnError: something else than numbers, or under names that are taken.
    """
    try:
        return _outputs(plan, result, as_array)
    except ValueError as error:
        raise ReturnError(str(error)) from error


def _outputs(plan: Plan, result: Any, as_array: Callable[[Any], Any]) -> dict[str, Any]:
    named = result if isinstance(result, Mapping) else {VALUE: result}
    if not named:
        refuse("measure", "a function that returns something", "{}")
    taken = {*RESERVED, *plan.axes, *plan.dims}
    found = {}
    for name, value in named.items():
        if not (isinstance(name, str) and name) or name in taken:
            refuse("measure", "one whose outputs have names of their own", name, "Rename it.")
        if "/" in name or not name.isprintable() or name in (".", ".."):
            cure = "Rename it, without `/` and control characters."
            refuse("measure", "one whose outputs have names that netCDF takes", name, cure)
        found[name] = as_array(value)
        _check_dtype(name, found[name].dtype)
    for name, array in found.items():
        for dimension in dimensions(name, array.ndim):
            if dimension in taken or dimension in found:
                cure = f"It is the name of a dimension of the output {name!r}: rename either."
                refuse("measure", "one whose outputs have names of their own", dimension, cure)
    return found


def _check_dtype(name: str, dtype: Any) -> None:
    kind = _kind(dtype)
    if kind not in "biufSU" or np.dtype(dtype).isbuiltin == 2:  # 2 is NumPy's word for bfloat16
        cure = {
            "c": "Return real and imaginary parts.",
            "key": "Return `jax.random.key_data` of it.",
            "O": "Of integers beyond 64 bits return the logarithm.",
        }.get(kind, "NetCDF holds no such numbers: cast to float32, or int32.")
        refuse("measure", "one that returns numbers", f"{name} of {dtype}", cure)


def _kind(dtype: Any) -> str:
    if jnp.issubdtype(dtype, jax.dtypes.extended):
        return "key"
    return "f" if jnp.issubdtype(dtype, jnp.floating) else np.dtype(dtype).kind


def as_jax(value: Any) -> Any:
    """Return an output of a traced measure as an array."""
    if not isinstance(value, (*_NUMBERS, np.ndarray, np.generic, jax.Array)):
        _refuse_structure(value)
    return jnp.asarray(value)


def as_numpy(value: Any) -> np.ndarray:
    """Return an output of a measure on the host as an array."""
    if not isinstance(value, (*_NUMBERS, str, np.ndarray, np.generic, jax.Array)):
        _refuse_structure(value)
    return np.asarray(value)


def _refuse_structure(value: Any) -> None:
    refuse(
        "measure",
        "one that returns a number, an array, or a dict of them",
        type(value).__name__,
        "Name what you want of it: `return {'value': answer.value}`.",
    )
