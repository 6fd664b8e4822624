"""What a result depends on, as a hash and as words that a refusal can name."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import sys
import types
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_PACKAGES = ("jax", "jaxlib", "jaxdepth", "optax", "equinox", "numpy", "builtins")
_PLAIN = (type(None), bool, int, float, complex, str, bytes)


def sha(text: str) -> str:
    """Return 16 hexadecimal digits of SHA-256."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def environment() -> dict[str, Any]:
    """Return what moves the bits of a result besides plan, measure and device."""
    packages = ("jaxdepth", "jax", "jaxlib")
    return {
        "versions": {package: _version(package) for package in packages},
        "precision": precision(),
    }


def precision() -> dict[str, str]:
    """Return the precision that this thread computes in."""
    config: Any = jax.config
    return {
        "float": jnp.result_type(float).name,
        "matmul": str(config.jax_default_matmul_precision),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def named(measure: Any) -> str:
    """Return what a message calls a measure."""
    measure = inspect.unwrap(measure) if callable(measure) else measure
    if isinstance(measure, functools.partial):
        return named(measure.func)
    name = getattr(measure, "__qualname__", type(measure).__qualname__)
    return f"{_module(measure)}.{name}"


def _module(thing: Any) -> str:
    """Return the module of a function or class: of a script the name that an import would give."""
    name = str(getattr(thing, "__module__", "?"))
    if name != "__main__":
        return name
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    return spec.name if spec else Path(getattr(main, "__file__", None) or name).stem


def fingerprint(thing: Any) -> str:
    """Return a hash of a value, a function or a pytree, the same in every process.

    A function counts by its source, its defaults, what it closes over, and the functions and plain
    values of its own module that it names, in turn. Of other modules' functions the name counts:
    packages change by their version.
    """
    return sha("\n".join(_told(thing, [])))


def _told(thing: Any, seen: list[Any]) -> Iterator[str]:
    if isinstance(thing, _PLAIN):
        yield f"{type(thing).__name__} {thing!r}"
        return
    if any(thing is each for each in seen):
        yield f"again {[thing is each for each in seen].index(True)}"
        return
    seen.append(thing)
    if isinstance(thing, (np.ndarray, np.generic, jax.Array)):
        keys = jnp.issubdtype(thing.dtype, jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(jnp.asarray(thing)) if keys else thing)
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        yield f"array {array.dtype.str} {array.shape} {digest}"
    elif isinstance(thing, (tuple, list, set, frozenset)):
        parts = ["\n".join(_told(each, seen)) for each in thing]
        yield f"{type(thing).__name__} {len(parts)}"
        yield from sorted(parts) if isinstance(thing, (set, frozenset)) else parts
    elif isinstance(thing, Mapping):
        yield f"mapping {len(thing)}"
        for key, value in thing.items():
            yield from _told(key, seen)
            yield from _told(value, seen)
    elif isinstance(thing, functools.partial):
        yield "partial"
        yield from _told((thing.func, thing.args, thing.keywords), seen)
    elif isinstance(thing, types.MethodType):
        yield f"method {thing.__func__.__qualname__}"
        yield from _told((thing.__func__, thing.__self__), seen)
    elif isinstance(thing, types.ModuleType):
        yield f"module {thing.__name__}"
    elif isinstance(thing, type):
        yield f"class {_module(thing)} {thing.__qualname__}"
        if not _installed(thing):
            yield _source(thing)
    elif callable(thing) and hasattr(thing, "__wrapped__"):
        yield from _told(inspect.unwrap(thing), seen)
    elif isinstance(thing, types.FunctionType):
        yield from _function(thing, seen)
    elif dataclasses.is_dataclass(thing):  # Equinox modules are
        yield f"{_module(type(thing))}.{type(thing).__qualname__}"
        for field in dataclasses.fields(thing):
            yield field.name
            yield from _told(getattr(thing, field.name, None), seen)
    else:
        text = repr(thing)
        yield f"{_module(type(thing))}.{type(thing).__qualname__}"
        yield "" if " at 0x" in text else text


def _function(function: types.FunctionType, seen: list[Any]) -> Iterator[str]:
    yield f"function {_module(function)} {function.__qualname__}"
    if _installed(function):
        yield from _told(_captured(function), seen)  # optimisers are closures over their numbers
        return
    yield _source(function) or "\n".join(_code(function.__code__))
    yield from _told((function.__defaults__, function.__kwdefaults__), seen)
    yield from _told(_captured(function), seen)
    for name in sorted(_names(function.__code__)):
        value = function.__globals__.get(name)
        ours = getattr(value, "__module__", None) == function.__module__ and callable(value)
        if ours or (isinstance(value, (*_PLAIN, tuple)) and name in function.__globals__):
            yield name
            yield from _told(value, seen)


def _installed(thing: Any) -> bool:
    return _module(thing).split(".")[0] in _PACKAGES


def _source(thing: Any) -> str:
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):  # typed into an interpreter
        return ""


def _captured(function: types.FunctionType) -> dict[str, Any]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    found = {}
    for name, cell in cells:
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not yet assigned
            found[name] = None
    return found


def _names(code: types.CodeType) -> set[str]:
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _code(code: types.CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    for each in code.co_consts:
        yield from _code(each) if isinstance(each, types.CodeType) else (repr(each),)
