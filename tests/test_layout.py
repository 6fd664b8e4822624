"""The floors of the library, read from its imports; and what an import may bring or change."""

import ast
import collections
import graphlib
import importlib
import inspect
import pkgutil
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxdepth

pytestmark = pytest.mark.once(x64=True)
ROOT = Path(__file__).parent.parent
# From the ground up; those that share a floor must not know of each other.
FLOORS = (
    {"_misc"},
    {"bounds"},
    {"networks"},
    {"piecewise"},
    {"_descent"},
    {"crossings", "radial", "dynamics"},
    {"sweeps"},
)
LEVEL = {name: level for level, floor in enumerate(FLOORS) for name in floor}
NEEDED = {"jax", "jaxlib", "numpy", "equinox", "optax", "jaxtyping"}  # the rest: within functions
COMMAND_LINE = {"argparse", "getopt", "optparse"}


def violations(sources: dict[str, str]) -> list[str]:
    """Every breach of the layout among sources, by dotted name (a package ends in `.__init__`)."""
    trees = {module: ast.parse(source) for module, source in sources.items()}
    found = []
    for module, tree in trees.items():
        breaches = [*_private(module, tree)]
        if module.startswith("jaxdepth."):
            breaches += [*_floors(module, tree), *_extras(module, tree), *_precision(tree)]
        found += [f"{module} {breach}" for breach in breaches]
    return found + _cycles(trees)


def _imports(module: str, nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The dotted names imported; of `from a import b`, `a.b`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            base = [*above, node.module] if node.module else above
            yield from (".".join([*base, alias.name]) for alias in node.names)


def _is_private(dotted: str) -> bool:
    return any(part.startswith("_") and not part.endswith("__") for part in dotted.split("."))


def _private(module: str, tree: ast.Module) -> Iterator[str]:
    ours = module.split(".")[0]
    for name in _imports(module, ast.walk(tree)):
        if _is_private(name) and name.split(".")[0] != ours:
            yield f"imports {name}, which is private"
    for node in ast.walk(tree):
        chain = _chain(node) if isinstance(node, ast.Attribute) else ""
        root = {"jd": "jaxdepth", "jnp": "jax", "np": "numpy", "eqx": "equinox"}.get(
            chain.split(".")[0], chain.split(".")[0]
        )
        if root in NEEDED | {"jaxdepth"} and root != ours and _is_private(chain):
            yield f"reaches for {chain}, which is private"


def _chain(node: ast.expr) -> str:
    """`a.b.c` of an attribute reached from a name, "" of any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := _chain(node.value)):
        return f"{base}.{node.attr}"
    return ""


def _floors(module: str, tree: ast.Module) -> Iterator[str]:
    owner = module.split(".")[1]
    if owner == "__init__":
        return
    if owner not in LEVEL:
        yield "stands on no floor"
        return
    for name in _imports(module, ast.walk(tree)):
        package, _, rest = name.partition(".")
        target = rest.split(".")[0]
        if package in ("experiments", "tests"):
            yield f"imports {name}, which is no part of the library"
        elif (
            package == "jaxdepth"
            and target != owner
            and not (LEVEL.get(target, len(FLOORS)) < LEVEL[owner])
        ):
            yield f"imports {name}, which is not below it"


def _extras(module: str, tree: ast.Module) -> Iterator[str]:
    standard = sys.stdlib_module_names - COMMAND_LINE
    for name in _imports(module, _at_import(tree)):
        if name.split(".")[0] not in standard | NEEDED | {"jaxdepth"}:
            yield f"imports {name} when it is imported"


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is imported: no bodies of functions, nothing for types alone."""
    for child in ast.iter_child_nodes(node):
        idle = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if not idle and not (isinstance(child, ast.If) and _chain(child.test) == "TYPE_CHECKING"):
            yield child
            yield from _at_import(child)


def _precision(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not _chain(node.func).endswith("config.update"):
            continue
        if any(
            isinstance(each, ast.Constant) and each.value == "jax_enable_x64" for each in node.args
        ):
            yield f"turns float64 on or off for everybody (line {node.lineno})"


def _cycles(trees: dict[str, ast.Module]) -> list[str]:
    def target(name: str) -> str | None:
        parts = name.split(".")
        prefixes = [".".join(parts[:length]) for length in range(len(parts), 1, -1)]
        known = [
            each for prefix in prefixes for each in (prefix, f"{prefix}.__init__") if each in trees
        ]
        return known[0] if known else None

    graph = collections.defaultdict(set)
    for module, tree in trees.items():
        found = (target(name) for name in _imports(module, ast.walk(tree)))
        graph[module] = {each for each in found if each is not None} - {module}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [f"a cycle of imports: {' -> '.join(error.args[1])}"]
    return []


def sources_of(package: str) -> dict[str, str]:
    paths = (ROOT / package).rglob("*.py")
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text("utf-8")
        for path in paths
    }


def test_the_library_and_the_experiments_keep_to_the_floors():
    assert violations(sources_of("jaxdepth") | sources_of("experiments")) == []


@pytest.mark.parametrize(
    ("module", "source", "breach"),
    [
        ("jaxdepth.bounds._a", "import jaxdepth.networks", "not below"),
        ("jaxdepth.bounds._a", "from jaxdepth import networks", "not below"),
        ("jaxdepth.bounds._a", "from ..networks import MLP", "not below"),
        ("jaxdepth.bounds._a", "def f():\n    from jaxdepth.networks import MLP", "not below"),
        ("jaxdepth.radial._a", "from jaxdepth.crossings import count", "not below"),
        ("jaxdepth.radial._a", "from jaxdepth import __version__", "not below"),
        ("jaxdepth._misc", "from jaxdepth._descent import descend", "not below"),
        ("jaxdepth.plots._a", "import jax", "no floor"),
        ("jaxdepth.radial._a", "from experiments._contract import Claim", "no part of the library"),
        ("jaxdepth.radial._a", "import matplotlib.pyplot as plt", "when it is imported"),
        ("jaxdepth.radial._a", "try:\n    import mpmath\nexcept ImportError: ...", "when it is"),
        ("jaxdepth.radial._a", "from argparse import ArgumentParser", "when it is imported"),
        ("jaxdepth.radial._a", "from jax._src import core", "private"),
        ("jaxdepth.radial._a", "import jax\njax._src.core.f()", "private"),
        ("jaxdepth.radial._a", "import equinox as eqx\neqx._module.f()", "private"),
        ("jaxdepth.radial._a", "import jax\njax.config.update('jax_enable_x64', True)", "float64"),
        ("experiments.a", "from jaxdepth.crossings._grid import Grid", "private"),
        ("experiments.a", "from jaxdepth import _misc", "private"),
        ("experiments.a", "import jaxdepth as jd\njd.crossings._grid.Grid()", "private"),
    ],
)  # fmt: skip
def test_a_breach_of_the_layout_is_seen(module, source, breach):
    assert [found for found in violations({module: source}) if breach in found]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("jaxdepth.crossings._a", "from jaxdepth.networks import MLP"),
        ("jaxdepth.crossings._a", "from jaxdepth.crossings._b import count"),
        ("jaxdepth.crossings.__init__", "from ._a import count as count"),
        ("jaxdepth.dynamics.__init__", "from jaxdepth._descent import descend as descend"),
        ("jaxdepth.radial._a", "def f():\n    import mpmath"),
        ("jaxdepth.__init__", "from jaxdepth import sweeps as sweeps"),
        ("experiments.a", "import matplotlib\nimport jaxdepth as jd\njd.crossings.count"),
    ],
)
def test_what_the_layout_allows_is_let_pass(module, source):
    assert violations({module: source}) == []


def test_a_cycle_between_the_files_of_a_package_is_seen():
    cycle = {
        "jaxdepth.radial._a": "from jaxdepth.radial._b import f",
        "jaxdepth.radial._b": "def f():\n    from jaxdepth.radial import g",
        "jaxdepth.radial.__init__": "from ._a import g as g",
    }
    assert "cycle" in "".join(violations(cycle))


def test_importing_the_library_changes_no_setting_and_brings_no_extra():
    program = (
        "import sys, jax\n"
        "before = dict(jax.config.values)\n"
        "import jaxdepth\n"
        "changed = {k for k, v in jax.config.values.items() if before.get(k) != v}\n"
        "print(changed & set(before), sorted({'matplotlib', 'mpmath', 'chex', 'xarray', 'argparse',"
        " 'scipy'} & {name.split('.')[0] for name in sys.modules} - set(sys.argv[1:])))"
    )
    bare = "import sys, jax, equinox, optax; print(*{n.split('.')[0] for n in sys.modules})"

    def output(*command: str) -> str:
        run = subprocess.run(
            [sys.executable, "-c", *command], capture_output=True, text=True, cwd=ROOT, check=True
        )
        return run.stdout.strip()

    assert output(program, *output(bare).split()) == "set() []"


def test_every_public_name_has_one_path():
    paths = collections.defaultdict(list)
    for name, package in vars(jaxdepth).items():
        if isinstance(package, types.ModuleType) and not name.startswith("_"):
            for public, value in vars(package).items():
                if not (public.startswith("_") or isinstance(value, types.ModuleType)):
                    paths[id(value)].append(f"jd.{name}.{public}")
    assert [each for each in paths.values() if len(each) > 1] == []


def test_files_of_subpackages_are_private_and_their_classes_abstract_or_final():
    for package in pkgutil.iter_modules(jaxdepth.__path__, "jaxdepth."):
        if not package.ispkg:
            continue
        module = importlib.import_module(package.name)
        assert all(file.name.startswith("_") for file in pkgutil.iter_modules(module.__path__))
        for name, value in vars(module).items():
            if inspect.isclass(value) and value.__module__.startswith("jaxdepth."):
                bases = [
                    base for base in value.__bases__ if base.__module__.startswith("jaxdepth.")
                ]
                assert all(base.__name__.startswith("Abstract") for base in bases), name
