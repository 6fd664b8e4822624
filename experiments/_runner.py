"""Find experiments, run them part by part through the store, judge what is stored."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import jax

from experiments import _provenance
from experiments._config import UsageError, keys, override
from experiments._contract import Claim, Results
from experiments._store import Store, as_arrays, latest
from experiments._table import table

Fetched = TypeVar("Fetched")

STALE = "the program has changed since these results; run it again."
CONTRACT = ("Config", "QUICK", "FULL", "run", "claims", "check", "plot")


@dataclass(frozen=True)
class Choice:
    """Which configuration of an experiment is meant.

    Attributes:
        form: "quick" or "full".
        settings: text by field name, from `--set`.
        data: directory of the data, for experiments whose `Config` has a field `data`.
        explicit: whether the user asked for exactly this one, and not for the newest run.
    """

    form: str
    settings: dict[str, str]
    data: str | None
    explicit: bool

    @property
    def label(self) -> str:
        """Return the configuration's name in a word or three."""
        return self.form + (" with changes" if self.settings else "")

    def of(self, module: ModuleType) -> Any:
        """Return the `Config` of one experiment; settings it does not know are another's."""
        config = module.FULL if self.form == "full" else module.QUICK
        known = {key: text for key, text in self.settings.items() if key in keys(config)}
        if self.data is not None and "data" in keys(config):
            known = {"data": self.data, **known}
        return override(config, known)


NEWEST = Choice("quick", {}, None, explicit=False)


@dataclass(frozen=True)
class Stored:
    """One finished run, read back."""

    name: str
    module: ModuleType
    store: Store
    results: Results
    manifest: dict[str, Any]
    stale: bool = False  # whether the program has changed since


@dataclass(frozen=True)
class Judged:
    """A run and what is to be said of its claims.

    Attributes:
        stored: the run.
        claims: the rows of the claims table.
        trouble: what kept them from being judged, or "".
    """

    stored: Stored
    claims: list[Claim]
    trouble: str

    @property
    def holds(self) -> bool:
        """Whether every claim was judged and holds."""
        return not self.trouble and all(row.holds for row in self.claims)

    @property
    def tally(self) -> str:
        """Return the verdict on all claims in a phrase."""
        counted = f"{sum(row.holds for row in self.claims)} of {len(self.claims)} claims hold"
        return f"{counted}; {self.trouble}" if self.trouble else counted


def load(package: str, names: list[str]) -> dict[str, ModuleType]:
    """Import experiments and see that they keep the contract."""
    modules = {name: importlib.import_module(f"{package}.{name}") for name in names}
    for name, module in modules.items():
        lacking = [part for part in CONTRACT if not hasattr(module, part)]
        if lacking:
            raise UsageError(f"{name} is no experiment: it lacks {', '.join(lacking)}.")
    return modules


def settle(modules: dict[str, ModuleType], choice: Choice) -> dict[str, Any]:
    """Return every experiment's `Config`, refusing settings that none of them knows."""
    known = {name: keys(module.QUICK) for name, module in modules.items()}
    for key in choice.settings:
        if not any(key in names for names in known.values()):
            listed = "; ".join(f"{name}: {', '.join(names)}" for name, names in known.items())
            raise UsageError(f"`--set {key}=…`: no such key. There are: {listed}.")
    return {name: choice.of(module) for name, module in modules.items()}


def cache_compilations(out: Path) -> None:
    """Keep compiled programs under `out`, per host, unless the user keeps them elsewhere."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(out / ".cache" / platform.node()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def run(
    modules: dict[str, ModuleType], choice: Choice, out: Path, *, resume: bool
) -> tuple[list[Stored], bool]:
    """Run experiments one after the other; an exception in one does not lose the others.

    Args:
        modules: by name, from `load`.
        choice: which configuration.
        out: the results' directory.
        resume: fetch what is stored under the same identity; otherwise compute everything again.

    Returns:
        What finished, and whether all did.
    """
    configs = settle(modules, choice)
    finished = []
    for i, (name, module) in enumerate(modules.items(), 1):
        print(f"[{i}/{len(modules)}] {name} ({choice.label})", flush=True)
        try:
            finished.append(_run_one(name, module, configs[name], choice.label, out, resume))
        except Exception:
            traceback.print_exc()
            print(f"      {name} failed; the others go on.", flush=True)
    return finished, len(finished) == len(modules)


def collect(
    modules: dict[str, ModuleType], choice: Choice, out: Path
) -> tuple[list[Stored], list[str]]:
    """Read finished runs back: the newest of each, or the one that an explicit choice means.

    Returns:
        What is stored, and the names of the experiments of which nothing is.
    """
    configs = settle(modules, choice)
    found = []
    for name, module in modules.items():
        if choice.explicit:
            identity = _provenance.identity(name, module, configs[name])
            store: Store | None = Store(out, name, _provenance.digest(identity))
        else:
            store = latest(out, name)
        if store and (stored := _salvage(store.fetch, f"{name}'s results")):
            stale = _provenance.is_stale(module, stored[1])
            found.append(Stored(name, module, store, *stored, stale))
            if stale:
                print(f"{name}: {STALE}")
    return found, [name for name in modules if name not in {one.name for one in found}]


def judge(stored: Stored) -> Judged:
    """Judge the claims on stored results, and see that `check` says the same."""
    claims, trouble = [], ""
    try:
        claims = stored.module.claims(stored.results)
        stored.module.check(stored.results)
    except AssertionError as error:
        if all(row.holds for row in claims):
            trouble = f"check fails and no claim says so: {error}"
    except Exception as error:
        traceback.print_exc()
        trouble = f"{type(error).__name__}: {error}"
    return Judged(stored, claims, trouble)


def tell(judged: list[Judged]) -> None:
    """Print the claims table of every experiment."""
    width = shutil.get_terminal_size((140, 24)).columns
    for one in judged:
        print(f"\n{one.stored.name}: {one.tally}\n")
        print(table(one.claims, width))


def _run_one(
    name: str, module: ModuleType, config: Any, form: str, out: Path, resume: bool
) -> Stored:
    identity = _provenance.identity(name, module, config)
    store = Store(out, name, _provenance.digest(identity))
    if resume and (stored := _salvage(store.fetch, "the results")):
        store.point()
        print(f"      stored already in {store.folder}; --fresh computes it again", flush=True)
        return Stored(name, module, store, *stored)
    parts = _Parts(store, resume)
    start = time.perf_counter()
    results = as_arrays(module.run(config, parts), f"{name}.run")
    spent = time.perf_counter() - start
    print(f"      finished in {spent:.1f} s", flush=True)
    manifest = _provenance.manifest(
        identity, module, config, form, parts.costs, spent + parts.spared
    )
    store.keep(results, manifest)
    return Stored(name, module, store, results, manifest)


class _Parts:
    """The `part` given to an experiment's `run`: fetched where stored, else computed and kept."""

    def __init__(self, store: Store, resume: bool):
        self.costs: dict[str, float] = {}  # seconds by part, from whenever it was computed
        self.spared = 0.0  # seconds of the parts that did not have to be computed now
        self._store = store
        self._resume = resume

    def folder(self, name: str) -> Path:
        return self._store.sweep(name)

    def __call__(self, name: str, compute: Callable[[], Results]) -> Results:
        if name in self.costs:
            raise ValueError(f"`part` names must differ within a run; {name!r} came twice.")
        print(f"      part {len(self.costs) + 1}, {name} … ", end="", flush=True)
        if self._resume and (kept := _salvage(lambda: self._store.fetch_part(name), "the part")):
            results, self.costs[name] = kept
            self.spared += self.costs[name]
            print(f"stored already ({self.costs[name]:.1f} s spared)", flush=True)
            return results
        start = time.perf_counter()
        results = as_arrays(compute(), f"part {name!r}")
        self.costs[name] = time.perf_counter() - start
        self._store.keep_part(name, results, self.costs[name])
        print(f"{self.costs[name]:.1f} s", flush=True)
        return results


def _salvage(fetch: Callable[[], Fetched | None], what: str) -> Fetched | None:
    """Fetch what is stored, and None with a warning where it cannot be read."""
    try:
        return fetch()
    except Exception as error:  # a damaged zip fails in a dozen ways; each means "compute it again"
        print(f"warning: {what} cannot be read ({type(error).__name__}: {error})", flush=True)
        return None
