"""Why a measure could not be traced, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax

from jaxdepth.sweeps._buckets import Bucket
from jaxdepth.sweeps._measure import arguments, as_jax, outputs, varying
from jaxdepth.sweeps._plan import Plan
from jaxdepth.sweeps._program import tile_inputs


def blame(plan: Plan, measure: Callable[..., Any], bucket: Bucket, error: Exception) -> None:
    """Raise an error that names the axis whose concrete value the measure needs, if there is one.

    The measure is traced again with one axis concrete at a time, then with all of them: what lets
    it pass is what it needs. If nothing does, the fault is another, and this returns.

    Raises:
        ValueError: naming the axes and the cure.
    """
    if "TypePromotionError" in type(error).__name__:
        return  # plain numbers promote where arrays do not: their passing says nothing
    names = varying(plan)
    guilty = [name for name in names if _passes(plan, measure, bucket, {name})]
    if not guilty and len(names) > 1 and _passes(plan, measure, bucket, set(names)):
        guilty = names
    if not guilty:
        return
    several = len(guilty) > 1
    axes = ", ".join(f"`{name}`" for name in guilty)
    either = f"one of the axes {axes}" if several else f"the axis {axes}"
    example = plan.axes[guilty[0]].values[0]
    raise ValueError(
        f"`measure` needs the concrete value of {either}, which is traced so that many "
        f"configurations share a program ({said(error)}). Make it "
        f"static, a compilation for each value: `{guilty[0]}=jd.sweeps.static([{example!r}, …])`; "
        "or run in Python, one configuration at a time: `host=True`."
    ) from error


def _passes(plan: Plan, measure: Callable[..., Any], bucket: Bucket, concrete: set[str]) -> bool:
    # NumPy's scalars are concrete and have the dtype that the tracers have.
    values = {name: row[0] for name, row in tile_inputs(plan, bucket.members[:1], 1).items()}
    sizes = {name for name in concrete if plan.axes[name].kind == "padded"}
    known = {name: int(values[name]) if name in sizes else values[name] for name in concrete}

    def one(traced: dict[str, Any]) -> dict[str, Any]:
        return outputs(plan, measure(**arguments(plan, bucket, traced | known)), as_jax)

    try:
        jax.eval_shape(one, {name: jax.ShapeDtypeStruct((), v.dtype) for name, v in values.items()})
    except Exception:  # whatever it is: this axis is not the reason
        return False
    return True


def said(error: BaseException) -> str:
    """Return an error in a line: its type and what it says, without tracebacks within."""
    text = str(error).strip()
    # What `eqx.error_if` raises within a program comes back at the end of a traceback in words.
    inner = re.search(r"EquinoxRuntimeError: (.*)", text)
    if inner:
        return f"EquinoxRuntimeError: {inner[1]}"
    return f"{type(error).__name__}: {text.partition(chr(10))[0]}"
