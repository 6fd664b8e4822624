"""What values, functions and objects consist of, told alike in every process."""

from __future__ import annotations

import builtins
import contextlib
import contextvars
import dis
import functools
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import threading
import types
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np

from jaxdepth._misc import refuse

Part = tuple[Literal["code", "value", "each"], Any]  # words of either kind, or a thing to tell
Told = tuple[str, str]  # a hash, or a few words: of code, and of values

_PLAIN = frozenset((type(None), bool, int, float, complex, str, bytes, type(...)))
_COMPILED = (type(jax.jit(len)), type(functools.lru_cache(len)))
# What belongs to a process, and says nothing of what a measure returns.
_OF_PROCESS = (
    type(threading.Lock()),
    type(threading.RLock()),
    threading.local,
    contextvars.ContextVar,
    weakref.ref,
    weakref.WeakKeyDictionary,
    weakref.WeakValueDictionary,
    weakref.WeakSet,
)
_UNTOLD = frozenset(("__doc__", "__name__", "__qualname__", "__file__", "__module__", "__dict__"))
_UNTOLD |= {"__weakref__", "_abc_impl", "__firstlineno__", "__static_attributes__"}
_UNTOLD |= {"__annotations__", "__annotate_func__", "__annotations_cache__"}
_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_ATTRIBUTE = ("LOAD_ATTR", "LOAD_METHOD")
_LAYOUT = ("EXTENDED_ARG", "RESUME", "NOP", "CACHE")
_FLAGS = 0x3FF  # of a code object: *args, **kwargs, generator, coroutine


def sha(text: str) -> str:
    """Return 16 hexadecimal digits of SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Teller:
    """Tells things by their content: a hash of the code in them, and one of the values.

    Each thing is told once and then known by its hash, so that copies and shared parts are told
    alike; a thing within itself is told by its depth there.

    Attributes:
        packages: installed ones, of which something was named; their versions stand for them.
    """

    def __init__(self) -> None:
        self.packages: set[str] = set()
        self._open: dict[int, int] = {}
        self._done: dict[int, tuple[Any, Told]] = {}  # with the thing: a dead one's id is reused

    def __call__(self, thing: Any) -> Told:
        if type(thing) in _PLAIN:
            return "", f"{type(thing).__name__} {thing!r}"
        if id(thing) in self._open:
            return "", f"within itself, at {self._open[id(thing)]}"
        if id(thing) in self._done:
            return self._done[id(thing)][1]
        self._open[id(thing)] = len(self._open)
        code: list[str] = []
        value: list[str] = []
        for kind, part in self._parts(thing):
            if kind == "each":
                inner = self(part)
                code += filter(None, inner[:1])
                value.append(inner[1])
            else:
                (code if kind == "code" else value).append(part)
        del self._open[id(thing)]
        told = (sha("\n".join(code)) if code else "", sha("\n".join(value)))
        self._done[id(thing)] = thing, told
        return told

    def _parts(self, thing: Any) -> Iterator[Part]:
        if type(thing) is np.ndarray or isinstance(thing, (np.generic, jax.Array)):
            yield from _array(thing)
        elif name := self._name(thing):
            yield "code", f"known as {name}"
        elif isinstance(thing, types.FunctionType):
            yield from self._function(thing)
        elif isinstance(thing, types.MethodType):
            yield from _all(thing.__func__, thing.__self__)
        elif isinstance(thing, _COMPILED):
            yield "code", type(thing).__qualname__
            yield "each", inspect.unwrap(thing, stop=lambda each: not isinstance(each, _COMPILED))
        elif isinstance(thing, types.ModuleType):
            yield from self._module(thing)
        elif isinstance(thing, type):
            yield from self._class(thing)
        elif type(thing) in (tuple, list) and _PLAIN.issuperset(map(type, thing)):
            yield "value", f"{type(thing).__name__} of {thing!r}"
        elif type(thing) in (tuple, list):
            yield "value", f"{type(thing).__name__} {len(thing)}"
            yield from _all(*thing)
        elif type(thing) in (set, frozenset):
            yield "value", f"{type(thing).__name__} {sorted(map(self, thing))}"
        elif type(thing) in (dict, types.MappingProxyType):
            yield "value", f"mapping {len(thing)}"
            for item in thing.items():
                yield from _all(*item)
        elif isinstance(thing, property):
            yield from _all(thing.fget, thing.fset, thing.fdel)
        elif isinstance(thing, (staticmethod, classmethod)):
            yield "code", type(thing).__name__
            yield "each", thing.__func__
        elif isinstance(thing, _OF_PROCESS):
            yield "code", type(thing).__qualname__
        elif isinstance(thing, jax.Device):
            yield "value", f"device {thing.platform} {thing.id}"
        elif isinstance(thing, jax.tree_util.PyTreeDef):
            yield from _all("tree", thing.node_data(), thing.children())
        elif isinstance(thing, (jax.extend.core.Jaxpr, jax.extend.core.ClosedJaxpr)):
            yield "code", re.sub(r" at 0x[0-9a-f]+", "", str(thing))
            yield "each", getattr(thing, "consts", None)
        else:
            yield from _reduced(thing)

    def _name(self, thing: Any) -> str | None:
        """Return the name under which an installed module holds a thing, if one does."""
        home = getattr(thing, "__module__", None)
        name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
        if not (isinstance(home, str) and isinstance(name, str) and self._installed(home)):
            return None
        found: Any = sys.modules.get(home)
        for part in name.split("."):
            found = getattr(found, part, None)
        return f"{home}.{name}" if found is thing else None

    def _function(self, function: types.FunctionType) -> Iterator[Part]:
        space = function.__globals__
        home = str(space.get("__name__"))
        steps = list(_steps(function.__code__))
        yield "code", " ".join(self._words(steps))
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        yield from _all(function.__defaults__, function.__kwdefaults__)
        for name, cell in cells:
            yield "value", name
            yield "each", _content(cell)
        if self._installed(home):  # its version tells the rest
            yield "code", f"{home}.{function.__code__.co_qualname}"
            return
        yield "each", {k: v for k, v in vars(function).items() if k != "__wrapped__"}
        yield "each", getattr(function, "__wrapped__", None)
        for chain in sorted(_chains(steps)):
            yield from self._global(space, chain)
        for wanted in sorted(_imports(steps)):
            yield from self._import(space, *wanted)

    def _words(self, steps: Iterable[Any]) -> Iterator[str]:
        """Yield instructions without what moves when comments or docstrings do."""
        for step in steps:
            if isinstance(step, str):
                yield step
            elif step.opname not in _LAYOUT:
                told = step.arg
                if step.opcode in dis.hasconst and not isinstance(step.argval, types.CodeType):
                    told = self(step.argval)[1]
                elif step.opcode in dis.hasname:
                    told = step.argrepr
                elif step.opcode in (*dis.hasjrel, *dis.hasjabs):
                    told = step.argval
                elif step.opcode in dis.hasconst:
                    told = "code"
                yield f"{step.opname} {told}"

    def _global(self, space: dict[str, Any], chain: tuple[str, ...]) -> Iterator[Part]:
        """Tell what a function finds under a global name, or under names in its own modules."""
        name, *rest = chain
        if name in _UNTOLD or (name not in space and hasattr(builtins, name)):
            return
        value = space.get(name, _absent)
        for attribute in rest:
            if not isinstance(value, types.ModuleType) or self._installed(value.__name__):
                break
            value = getattr(value, attribute, _absent)
        yield "value", ".".join(chain)
        yield "each", value

    def _import(
        self, space: dict[str, Any], level: int, name: str, wanted: tuple[str, ...]
    ) -> Iterator[Part]:
        """Tell what a function imports when it runs."""
        package = space.get("__package__") or str(space.get("__name__")).rpartition(".")[0]
        try:
            whole = importlib.util.resolve_name("." * level + name, package)
            if self._installed(whole):
                return
            module = importlib.import_module(whole)
        except (ImportError, ValueError):
            yield "code", f"no module {name}"
            return
        for each in wanted:
            yield "each", getattr(module, each, _absent)
        if not wanted:
            yield "each", module

    def _module(self, module: types.ModuleType) -> Iterator[Part]:
        yield "code", f"module {real_name(module.__name__)}"
        if not self._installed(module.__name__):
            for name, value in sorted(vars(module).items()):
                if not (name.startswith("__") or isinstance(value, types.ModuleType)):
                    yield from _all(name, value)

    def _class(self, cls: type) -> Iterator[Part]:
        yield "code", f"class {real_name(cls.__module__)}.{cls.__qualname__}"
        if self._installed(cls.__module__):
            return
        yield from _all(type(cls), cls.__bases__)
        for name, value in sorted(vars(cls).items()):
            if name not in _UNTOLD and not isinstance(
                value, (types.MemberDescriptorType, types.GetSetDescriptorType)
            ):
                yield "value", name
                yield "each", value

    def _installed(self, module: str) -> bool:
        found = is_installed(module)
        top = module.partition(".")[0]
        if found and top not in sys.stdlib_module_names:
            self.packages.add(top)
        return found


def is_installed(module: str) -> bool:
    """Whether a module is of the standard library or an installed package, which have versions."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == "jaxdepth":
        return True
    found = sys.modules.get(module) or sys.modules.get(top)
    file = getattr(found, "__file__", None)
    if found is None:
        with contextlib.suppress(ImportError, ValueError):  # a name that no import would take
            file = getattr(importlib.util.find_spec(top), "origin", None)
    return file is not None and not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def real_name(module: str) -> str:
    """Return a module's name: of a script the one that an import would give."""
    if module != "__main__":
        return module
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    return spec.name if spec else Path(getattr(main, "__file__", None) or module).stem


def _all(*things: Any) -> Iterator[Part]:
    for thing in things:
        yield "each", thing


def _array(thing: Any) -> Iterator[Part]:
    kind = "jax" if isinstance(thing, jax.Array) else "numpy"
    if jnp.issubdtype(thing.dtype, jax.dtypes.prng_key):
        kind = f"key {jax.random.key_impl(thing)}"
        thing = jax.random.key_data(thing)
    weak = getattr(thing, "weak_type", False)
    array = np.asarray(thing)
    name = str(array.dtype) if array.dtype.fields else array.dtype.name
    yield "value", f"{kind} {name} {array.shape} {'weak' if weak else ''}"
    if array.dtype.hasobject:  # its bytes are addresses
        yield from _all(*array.ravel().tolist())
    else:
        yield "value", hashlib.sha256(raw(array)).hexdigest()


def raw(array: np.ndarray) -> memoryview:
    """Return the bytes of an array, rows first, copied only where they do not lie so."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _reduced(thing: Any) -> Iterator[Part]:
    """Tell an object by what pickle would make it of again, functions by their content."""
    try:
        made = thing.__reduce_ex__(4)
    except Exception:
        refuse(
            f"{real_name(type(thing).__module__)}.{type(thing).__qualname__}",
            "something whose content can be told in another process",
            thing,
            "Give it a `__getstate__`, or make it where it is needed, named by a string axis.",
        )
    if isinstance(made, str):
        yield "code", made
        yield "each", type(thing)
        return
    make, arguments, *rest = made
    yield from _all(make, arguments)
    for part in rest:
        if type(part) is dict:  # what is worked out of the rest when it is asked is not told
            yield "each", {name: value for name, value in part.items() if not _cached(thing, name)}
        else:
            yield "each", list(part) if isinstance(part, Iterator) else part


def _cached(thing: Any, name: Any) -> bool:
    held = getattr(type(thing), name, None) if isinstance(name, str) else None
    return isinstance(held, functools.cached_property)


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet assigned
        return _absent


def _absent() -> None:
    """Stand for a name that nothing has yet."""


def _steps(code: types.CodeType) -> Iterator[Any]:
    """Yield the instructions of a function and of those within, each after its signature."""
    count = code.co_argcount + code.co_kwonlyargcount
    numbers = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    yield f"{numbers} {code.co_varnames[:count]} {code.co_flags & _FLAGS}"
    yield code.co_exceptiontable.hex()
    inner = []
    steps = list(dis.get_instructions(code))
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if following is not None and following.argval == "__firstlineno__":
            continue  # a class notes its line (3.13)
        if isinstance(step.argval, types.CodeType):
            inner.append(step.argval)
        yield step
    for each in inner:
        yield from _steps(each)


def _chains(steps: list[Any]) -> set[tuple[str, ...]]:
    """Return the global names that are loaded, with the attributes that are then taken of them."""
    found = set()
    for place, step in enumerate(steps):
        if getattr(step, "opname", "") in _GLOBAL:
            chain = [step.argval]
            for after in steps[place + 1 :]:
                if getattr(after, "opname", "") in _LAYOUT:
                    continue
                if getattr(after, "opname", "") not in _ATTRIBUTE:
                    break
                chain.append(after.argval)
            found.add(tuple(chain))
    return found


def _imports(steps: list[Any]) -> set[tuple[int, str, tuple[str, ...]]]:
    """Return the imports: how relative, of what, and which names."""
    return {
        (steps[place - 2].argval or 0, step.argval, steps[place - 1].argval or ())
        for place, step in enumerate(steps)
        if getattr(step, "opname", "") == "IMPORT_NAME"
    }
