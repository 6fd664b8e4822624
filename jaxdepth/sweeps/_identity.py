"""What a result depends on, as hashes and as words that a refusal can name."""

from __future__ import annotations

import functools
import hashlib
import inspect
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxdepth._misc import refuse
from jaxdepth.sweeps._content import Teller, real_name, sha as sha

_PACKAGES = ("jaxdepth", "jax", "jaxlib", "numpy", "equinox", "optax")


def environment(*things: Any) -> dict[str, Any]:
    """Return what moves the bits of a result besides plan, measure and device.

    Args:
        things: the measure, the values of axes: what they name of installed packages counts by
            the packages' versions.
    """
    teller = Teller()
    for thing in things:
        teller(thing)
    # Bytecode, by which functions are told, is the same within a minor version.
    python = ".".join(platform.python_version_tuple()[:2])
    found = {name: _version(name) for name in (*_PACKAGES, *sorted(teller.packages))}
    return {
        "versions": {"python": python, **found},
        "precision": precision(),
        "random": randomness(),
    }


def precision() -> dict[str, str]:
    """Return the precision that this thread computes in."""
    config: Any = jax.config
    return {
        "float": jnp.result_type(float).name,
        "matmul": str(config.jax_default_matmul_precision),
    }


def randomness() -> dict[str, str]:
    """Return what the numbers that a random key draws depend on."""
    config: Any = jax.config
    return {
        "threefry_partitionable": str(config.jax_threefry_partitionable),
        "default_prng_impl": str(config.jax_default_prng_impl),
    }


@functools.cache
def _version(package: str) -> str:
    """Return the version of the distribution that a package is of."""
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        names = metadata.packages_distributions().get(package, [])  # reads all that is installed
        version = ", ".join(f"{name} {metadata.version(name)}" for name in sorted(set(names)))
    return version + (_checkout() if package == "jaxdepth" else "") or "not installed"


def _checkout() -> str:
    """Return a hash of this package's files where they are edited rather than installed."""
    root = Path(__file__).parents[1]
    if not {"site-packages", "dist-packages"}.isdisjoint(root.parts):
        return ""
    files = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        files.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return f"+{files.hexdigest()[:12]}"


def named(measure: Any) -> str:
    """Return what a message calls a measure."""
    measure = inspect.unwrap(measure) if callable(measure) else measure
    if isinstance(measure, functools.partial):
        return named(measure.func)
    name = getattr(measure, "__qualname__", type(measure).__qualname__)
    return f"{real_name(str(getattr(measure, '__module__', '?')))}.{name}"


def parts(thing: Any) -> dict[str, str]:
    """Return two hashes, the same in every process: of the code in a thing, and of its values.

    A function is told by its instructions (comments and docstrings do not count), its defaults,
    what it closes over, and whatever it names of its own module and others that are not installed,
    in turn: functions, classes, arrays, containers. An object is told by its class and by what
    pickle would keep of it. What is of an installed package, or of the standard library, is told by
    its name, and by the version in `environment`.

    Values count as they are when asked, so before a run: a list that a measure appends to makes it
    another measure afterwards.

    Raises:
        ValueError: something without content that another process could tell, such as an open
            file.
    """
    try:
        code, values = Teller()(thing)
    except RecursionError:
        cure = "Hold it in arrays, tuples or dicts."
        refuse(named(thing), "something of fewer parts within parts", type(thing), cure)
    return {"source": code or sha(""), "captured": values}


def fingerprint(thing: Any) -> str:
    """Return one hash of a value, a function or an object, the same in every process; see `parts`.

    Example:
        >>> fingerprint(1.0) == fingerprint(1.0) != fingerprint(1)
        True
    """
    return sha(" ".join(parts(thing).values()))
