"""The suite's ground: 64-bit on or off, strict promotion, two CPU devices, checked types.

`JAXDEPTH_TEST_X64=0` runs the same tests with 64-bit off, which is what users have.
"""

import contextlib
import gc
import itertools
import os
import sys

os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
)

import fakes
import jax
import jaxtyping
import pytest

X64 = os.environ.get("JAXDEPTH_TEST_X64", "1") != "0"
jax.config.update("jax_enable_x64", X64)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Tracing makes millions of objects and few cycles: Python's own 700 would collect at every turn.
gc.set_threshold(50_000, 20, 20)

with contextlib.suppress(ImportError):
    import beartype as _beartype  # noqa: F401

    jaxtyping.install_import_hook("jaxdepth", "beartype.beartype")


def pytest_collection_modifyitems(config, items):
    """Leave out of each pass what is the same in the other, or belongs there.

    A test that sets 64-bit itself runs in the pass that is so; one marked `once`, and an example,
    as users meet them, with 64-bit off; one marked `once(x64=True)` with it on, which evens out
    what the passes take.
    """
    elsewhere = "x32" if X64 else "x64"

    def belongs(item):
        fixtures = getattr(item, "fixturenames", ())
        once = item.get_closest_marker("once")
        if elsewhere in fixtures:
            return False
        if isinstance(item, pytest.DoctestItem) or once:
            there = "x64" in fixtures or bool(once and once.kwargs.get("x64"))
            return there == X64
        return True

    config.hook.pytest_deselected(items=[item for item in items if not belongs(item)])
    items[:] = [item for item in items if belongs(item)]


@pytest.fixture
def getkey():
    """Fresh keys in a fixed order: `getkey()`."""
    counter = itertools.count()
    return lambda: jax.random.key(next(counter))


@pytest.fixture
def untyped():
    """The run-time type checker off for one test: what a user meets who passes a wrong type."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def x64():
    """64-bit on for one test, whatever the suite runs with."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def x32():
    """64-bit off for one test, whatever the suite runs with."""
    with jax.enable_x64(False):
        yield


@pytest.fixture
def command(tmp_path, monkeypatch):
    """`command("run", "good")` in an empty folder, `good=` for a new source; the exit status."""
    from experiments.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("JAXDEPTH_DATA", raising=False)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "set, so that the runner sets none")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    fakes.write(tmp_path, good=fakes.GOOD)

    def run(*arguments, **sources):
        return main(arguments, fakes.write(tmp_path, **sources))

    return run
