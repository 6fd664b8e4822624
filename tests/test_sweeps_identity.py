"""Identity: it differs where results can, and only there."""

import functools
import importlib
import os
import runpy
import subprocess
import sys
import textwrap

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdepth.sweeps import StoreError, digest, grid, padded, run, static
from jaxdepth.sweeps._identity import environment, fingerprint, parts

pytestmark = pytest.mark.once
host = functools.partial(run, host=True, progress=False)


def made(source, name="f", **names):
    """Run a source and return what it calls `name`."""
    exec(compile(textwrap.dedent(source), "<made>", "exec"), names)
    return names[name]


def scaled(k):
    def decorator(fn):
        @functools.wraps(fn)
        def wrapper(x):
            return k * fn(x)

        return wrapper

    return decorator


def square(x):
    return x * x


class Plain:
    def __init__(self, k):
        self.k = k

    def __call__(self, x):
        return self.k * x


class Slotted:
    __slots__ = ("k",)

    def __init__(self, k):
        self.k = k


def with_body(body):
    return type("Same", (), {"__call__": body})()


class Linear(eqx.Module):
    weight: jax.Array
    power: int = eqx.field(static=True)

    def __call__(self, x):
        return self.weight * x**self.power


def names(value):
    return made("def f(x): return x + T", T=value, __name__="made")


def data_array(values):
    return pytest.importorskip("xarray").DataArray(values, dims="x")


# Two lambdas of one line: their source, by lines, is the same.
TWO = [lambda x: x + 1, lambda x: x + 2]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TWO[0], TWO[1]),
        (Plain(1), Plain(2)),
        (Slotted(1), Slotted(2)),
        (with_body(lambda self, x: x), with_body(lambda self, x: -x)),
        (square, scaled(1)(square)),
        (scaled(1)(square), scaled(2)(square)),
        (scaled(1)(square), scaled(1)(abs)),
        (jax.grad(square), jax.grad(jax.grad(square))),
        (jax.grad(square), jax.grad(TWO[0])),
        (jax.jit(TWO[0]), jax.jit(TWO[1])),
        (eqx.filter_jit(TWO[0]), eqx.filter_jit(TWO[1])),
        (functools.partial(square, 1), functools.partial(square, 2)),
        (Plain(1).__call__, Plain(2).__call__),
        (Linear(jnp.ones(2), 1), Linear(jnp.ones(2), 2)),
        (Linear(jnp.ones(2), 1), Linear(jnp.zeros(2), 1)),
        (names(np.zeros(2)), names(np.ones(2))),
        (names(np.zeros(10_000)), names(np.append(np.zeros(9_999), 1))),
        (names({"a": 1}), names({"a": 2})),
        (names([1, [2]]), names([1, [3]])),
        (names(Plain(1)), names(Plain(2))),
        (data_array(np.zeros(10_000)), data_array(np.ones(10_000))),
        (np.array([1, "a"], object), np.array([1, "b"], object)),
        (jnp.ones(2, jnp.bfloat16), jnp.ones(2, jnp.float16)),
        (jax.random.key(0), jax.random.key(1)),
        (optax.sgd(0.1), optax.sgd(0.2)),
        (0.0, -0.0),
        ((1,), (1.0,)),
        ({"a", "b"}, {"a", "c"}),
        (made("def f(x, k=1): return k"), made("def f(x, k=2): return k")),
        (made("def f(a, b): return a - b"), made("def f(b, a): return b - a")),
        (made("def f(x): return (lambda: 1)()"), made("def f(x): return (lambda: 2)()")),
        (made("def f(x):\n from math import sin as g\n return g(x)"),
         made("def f(x):\n from math import cos as g\n return g(x)")),
    ],
)  # fmt: skip
def test_what_can_give_other_results_has_another_fingerprint(one, other):
    assert fingerprint(one) == fingerprint(one)
    assert fingerprint(one) != fingerprint(other)


PROGRAM = '''
import math
STEPS = [1, 2]

class Rate:
    """{0}"""
    def half(self, x):  # {0}
        return x / 2

def helper(x):
    """{0}"""
    return x + STEPS[0]

def f(x):
    """Measure {0}."""
{1}    # {0}
    class Local:
        size = 2
    return helper(x) * Local.size + Rate().half(x) + math.pi
'''


def test_comments_docstrings_and_blank_lines_do_not_count():
    fingerprints = {
        fingerprint(made(PROGRAM.format(*told))) for told in [("one", ""), ("two", "\n\n")]
    }
    assert len(fingerprints) == 1


def test_what_is_equal_and_apart_has_one_fingerprint():
    table = np.zeros(3)
    shared, apart = (table, table), (table, table.copy())
    assert fingerprint(shared) == fingerprint(apart)
    assert fingerprint([Plain(1), Plain(1)]) == fingerprint([Plain(1)] * 2)
    assert fingerprint({"x": {1, 2, 3}}) == fingerprint({"x": {3, 2, 1}})


def test_a_thing_within_itself_is_told():
    ring = Plain(1)
    ring.k = [ring]
    assert fingerprint(ring) == fingerprint(ring) != fingerprint(Plain([1]))


def test_calling_a_measure_does_not_change_it():
    compiled = eqx.filter_jit(lambda x: x + 1)
    before = fingerprint(compiled)
    compiled(1.0)
    assert fingerprint(compiled) == before
    plan = grid(rate=[0.5])
    before = fingerprint(plan)
    assert plan.buckets  # which a plan works out once
    assert fingerprint(plan) == before


@pytest.fixture
def helpers(tmp_path, monkeypatch):
    """Write a module of the user's, import it anew, and return it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(body):
        (tmp_path / "sweep_helpers.py").write_text(f"def shift(x):\n    return {body}\n")
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, "sweep_helpers", raising=False)
        return importlib.import_module("sweep_helpers")

    return write


@pytest.mark.parametrize(
    "source",
    [
        "from sweep_helpers import shift\ndef f(x): return shift(x)",
        "import sweep_helpers\ndef f(x): return sweep_helpers.shift(x)",
        "def f(x):\n from sweep_helpers import shift\n return shift(x)",
        "def f(x):\n import sweep_helpers\n return sweep_helpers.shift(x)",
    ],
)
def test_functions_of_the_users_other_modules_count_by_their_code(helpers, source):
    helpers("x + 1")
    one = fingerprint(made(source))
    helpers("x + 1  # a comment")
    assert fingerprint(made(source)) == one
    helpers("x + 2")
    assert fingerprint(made(source)) != one


def test_installed_packages_that_a_measure_names_count_by_their_version():
    source = "import jaxtyping\ndef f(x): return jaxtyping.Float[x, '']"
    versions = environment(made(source))["versions"]
    assert versions["jaxtyping"] == importlib.metadata.version("jaxtyping")
    assert "jaxtyping" not in environment(square)["versions"]
    assert versions.keys() >= {"python", "jaxdepth", "jax", "jaxlib", "numpy", "equinox", "optax"}
    assert versions["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"


def test_the_random_number_generator_is_part_of_the_environment():
    before = environment()["random"]
    with jax.default_prng_impl("rbg"):
        assert environment()["random"] != before
    assert environment()["random"] == before


def test_code_and_what_it_closes_over_are_told_apart():
    one, two = names([1]), names([2])
    assert parts(one)["source"] == parts(two)["source"]
    assert parts(one)["captured"] != parts(two)["captured"]
    assert parts(TWO[0])["source"] != parts(TWO[1])["source"]


@pytest.mark.parametrize("wrap", [lambda each: each, names, Plain, Slotted])
def test_what_has_no_content_is_refused_with_a_cure(wrap):
    with open(os.devnull) as file:
        for thing in (file, (each for each in ())):
            with pytest.raises(ValueError, match=r"content can be told.*`__getstate__`.*string"):
                fingerprint(wrap(thing))


def test_what_is_too_deep_is_refused():
    chain = Plain(None)
    for _ in range(5000):
        chain = Plain(chain)
    with pytest.raises(ValueError, match="Plain` must be something of fewer parts within parts"):
        fingerprint(chain)


ELSEWHERE = """
import optax, functools
from jaxdepth.sweeps import grid, run, static
from jaxdepth.sweeps._identity import fingerprint

NAMES = frozenset("abcdefgh")

class Target:
    def __init__(self, k): self.k = k
    def __call__(self, x): return self.k * x

def measure(optimiser, target, rate):
    return target(rate) + len(NAMES)

plan = grid(optimiser=static([optax.sgd(0.1), optax.adam(0.1)]),
            target=static([Target(1), Target(2)]), rate=[0.5])
print(plan.digest, fingerprint(measure), plan.axes["optimiser"].labels())
found = run(plan, measure, host=True, progress=False, store=STORE)
print(found.attrs["identity"], found.attrs["digest"])
"""


def test_objects_of_a_store_are_the_same_in_another_process(tmp_path, capsys):
    script = tmp_path / "sweep_elsewhere.py"
    script.write_text(ELSEWHERE.replace("STORE", repr(str(tmp_path / "store"))))
    runpy.run_path(str(script), run_name="sweep_elsewhere")
    here = capsys.readouterr().out
    there = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout == here
    assert "GradientTransformationExtraArgs #" in here
    assert " at 0x" not in here


def test_labels_tell_apart_what_is_equal_and_not_the_same():
    assert static([(1,), (1.0,)]).labels() == ["(1,)", "(1.0,)"]
    assert static([0.0, -0.0]).labels() == ["0.0", "-0.0"]
    assert static([1, 2**70]).labels() == ["1", str(2**70)]
    assert static([optax.sgd, optax.sgd]).labels() == ["sgd", "sgd"]
    one, two = static([optax.sgd(0.1), optax.sgd(0.2)]).labels()
    assert one != two
    assert static([optax.sgd(0.1)]).labels() == [one]
    assert padded([1, 2]).labels() == [1, 2]


def test_values_that_are_equal_and_not_the_same_have_results_of_their_own():
    found = host(grid(of=static([(1,), (1.0,)])), lambda of: type(of[0]) is int)["value"]
    assert found.sel(of="(1,)").item() is True
    assert found.sel(of="(1.0,)").item() is False


def test_an_axis_of_booleans_survives_netcdf(tmp_path):
    xarray = pytest.importorskip("xarray")
    made = host(grid(nesterov=[True, False]), lambda nesterov: 1.0 + nesterov, store=tmp_path)
    with xarray.open_dataset(tmp_path / "results.nc") as read:
        assert read["value"].sel(nesterov=True).item() == 2.0
        assert read["value"].sel(nesterov=False).item() == 1.0
        assert digest(read) == made.attrs["digest"]


def test_a_body_that_changed_under_its_name_is_refused(tmp_path):
    plan = grid(rate=[0.5])
    host(plan, made("def f(rate): return 2 * rate"), store=tmp_path)
    with pytest.raises(StoreError, match=r"measure.source \(its code\)"):
        host(plan, made("def f(rate): return 3 * rate"), store=tmp_path)


def test_a_list_that_grew_is_told_from_code_that_changed(tmp_path):
    seen = []

    def measure(rate):
        seen.append(rate)
        return rate

    host(grid(rate=[0.5]), measure, store=tmp_path)
    with pytest.raises(StoreError, match=r"measure.captured \(what it closes over") as caught:
        host(grid(rate=[0.5]), measure, store=tmp_path)
    assert "measure.source" not in str(caught.value)
    seen.clear()
    host(grid(rate=[0.5]), measure, store=tmp_path)


def test_the_order_of_dimensions_is_part_of_a_store(tmp_path):
    axes = {"a": static([1, 2]), "b": static([1, 2])}

    def measure(a, b):
        return 10 * a + b

    host(grid(a=axes["a"], b=axes["b"]), measure, store=tmp_path)
    turned = grid(b=axes["b"], a=axes["a"])
    with pytest.raises(StoreError, match=r"plan\.dimensions"):
        host(turned, measure, store=tmp_path)
    found = host(turned, measure, store=tmp_path / "other")["value"]
    assert found.sel(a=2, b=1).item() == 21
