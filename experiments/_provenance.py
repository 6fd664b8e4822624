"""What a result depends on, hashed into its address, and where it came from, written beside it."""

from __future__ import annotations

import ast
import dataclasses
import datetime
import hashlib
import inspect
import json
import platform
import subprocess
import sys
import typing
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp

import jaxdepth

_PRESENTATION = frozenset({"claims", "check", "plot", "live", "CHAPTER", "ALT", "QUICK", "FULL"})
_RUNNERS = frozenset(
    {f"experiments.{name}" for name in ("_contract", "_figures", "_live", "_table")}
)
_VERSIONS = ("jax", "jaxlib", "numpy", "equinox", "optax")


def identity(name: str, module: ModuleType, config: Any) -> dict[str, Any]:
    """Return all that can change an experiment's arrays.

    The configuration alone would answer an edited program with the old program's numbers, and
    mix parts of the two when it resumes. So the sources are in it: the library's, and the
    experiment's with its helpers', less what only presents (claims, check, plot), for mending a
    figure must not cost a recomputation. Data count by content, for a path is no identity. JAX's
    version, backend and precision are in it because they move the last bits.
    """
    return {
        "experiment": name,
        "config": _plain(config),
        "data": _data(config),
        "source": _source(module),
        "library": f"{jaxdepth.__version__}+{_library()}",
        "jax": jax.__version__,
        "backend": jax.default_backend(),
        "float": _default_float(),
    }


def digest(identity: dict[str, Any]) -> str:
    """Return the address of an identity: 16 hexadecimal digits."""
    return _sha(json.dumps(identity, sort_keys=True).encode())


def is_stale(module: ModuleType, manifest: dict[str, Any]) -> bool:
    """Whether the program has changed since the manifest's results were computed."""
    then = manifest["identity"]
    return (then["source"], then["library"]) != (
        _source(module),
        f"{jaxdepth.__version__}+{_library()}",
    )


def manifest(
    identity: dict[str, Any],
    module: ModuleType,
    config: Any,
    form: str,
    parts: dict[str, float],
    seconds: float,
) -> dict[str, Any]:
    """Describe a finished run.

    Args:
        identity: from `identity`.
        module: the experiment.
        config: the experiment's configuration.
        form: "quick", "full", or either with the words "with changes".
        parts: seconds that each part cost when it was computed.
        seconds: those of the whole run, parts fetched from the store included.
    """
    device = jax.devices()[0]
    return {
        "experiment": identity["experiment"],
        "form": form,
        "config": dataclasses.asdict(config),
        "seed": _seeds(config),
        "identity": identity,
        "hash": digest(identity),
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "parts": {part: round(cost, 3) for part, cost in parts.items()},
        "versions": {
            "python": platform.python_version(),
            "jaxdepth": jaxdepth.__version__,
            **{package: metadata.version(package) for package in _VERSIONS},
        },
        "backend": jax.default_backend(),
        "device": device.device_kind,
        "devices": jax.device_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "precision": _precision(module),
    }


def _precision(module: ModuleType) -> str:
    """Return in what an experiment computes: float64 where `run` turns that on for all of it."""
    if "enable_x64(True)" in inspect.getsource(module.run):
        return "float64 throughout"
    more = ", and where the experiment turns it on" * ("enable_x64" in inspect.getsource(module))
    return f"{_default_float()} by default; float64 in exact and certified verbs{more}"


def _seeds(config: Any) -> str | None:
    """Return the seeds that a configuration names: one, or how many from 0 on."""
    if hasattr(config, "seed"):
        return str(config.seed)
    return f"0 to {config.seeds - 1}" if hasattr(config, "seeds") else None


def _default_float() -> str:
    return jnp.result_type(float).name


def _plain(config: Any) -> dict[str, Any]:
    folders = _folders(config)
    return {name: None if name in folders else v for name, v in dataclasses.asdict(config).items()}


def _folders(config: Any) -> dict[str, Path]:
    """Return the folders of data: what a field typed `str | None` names, if it is there."""
    hints = typing.get_type_hints(type(config))
    named = {name: getattr(config, name) for name, hint in hints.items() if hint == str | None}
    return {name: Path(text) for name, text in named.items() if text and Path(text).is_dir()}


def _data(config: Any) -> str | None:
    folders = sorted(_folders(config).items())
    parts = [
        part
        for name, folder in folders
        for path in sorted(path for path in folder.iterdir() if path.is_file())
        for part in (name.encode(), path.name.encode(), _content(path))
    ]
    return _sha(*parts) if folders else None


def _content(path: Path) -> bytes:
    with path.open("rb") as stream:  # by blocks: the folder may hold more than memory does
        return hashlib.file_digest(stream, "sha256").digest()


def _source(module: ModuleType) -> str:
    tree = ast.parse(inspect.getsource(module))
    tree.body = [node for node in tree.body if not _defines(node) & _PRESENTATION]
    helpers = (sys.modules[name] for name in _helpers(tree, f"{module.__package__}."))
    return _sha(ast.unparse(tree).encode(), *(_source(helper).encode() for helper in helpers))


def _helpers(tree: ast.Module, package: str) -> list[str]:
    """Return the modules of the experiment's package that it imports, but for the runner's own."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    bases = {node.module for node in imports}
    names = bases | {f"{node.module}.{alias.name}" for node in imports for alias in node.names}
    return sorted(
        name
        for name in names
        if name and name.startswith(package) and name in sys.modules and name not in _RUNNERS
    )


def _defines(node: ast.stmt) -> set[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
        case _:
            return set()


def _library() -> str:
    root = Path(inspect.getfile(jaxdepth)).parent
    return _sha(*(path.read_bytes() for path in sorted(root.rglob("*.py"))))


def _sha(*chunks: bytes) -> str:
    whole = hashlib.sha256()
    for chunk in chunks:
        whole.update(len(chunk).to_bytes(8, "big") + chunk)
    return whole.hexdigest()[:16]


def _commit() -> str | None:
    """Return the checkout's commit, "+changes" where files differ from it; None outside of git."""
    root = Path(__file__).parent.parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return None  # installed into somebody else's repository: their commit is not ours
        changed = "+changes" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "HEAD") + changed
    except (OSError, subprocess.CalledProcessError):
        return None
