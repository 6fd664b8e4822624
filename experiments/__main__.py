"""The command line: `python -m experiments list | run | sweep | check | plot | report | fetch`."""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from experiments._config import UsageError, split

if TYPE_CHECKING:
    from experiments._runner import Choice, Judged, Stored

# JAX and matplotlib take seconds to import: only what needs them imports them, within its function,
# and after the arguments have been read.


def main(argv: Sequence[str] | None = None, package: str = "experiments") -> int:
    """Run one command.

    Args:
        argv: the arguments; the process's own by default.
        package: where experiments are looked for.

    Returns:
        0: well. 1: a claim fails, an experiment broke, or a file cannot be read or written. 2: bad
        usage, or nothing stored. 130: interrupted; what was finished is kept.
    """
    try:
        options = _parser(discover(package)).parse_args(argv)
        return int(options.act(options, package))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\nInterrupted. Finished parts are kept; the same command (without --fresh) resumes.",
            file=sys.stderr,
        )
        return 130
    except OSError as error:  # a file that cannot be read or written, which its message names
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if error.name not in ("jax", "jaxlib", "equinox", "optax", "jaxtyping", "matplotlib"):
            raise
        print(
            f'error: {error.name} is not installed here: pip install -e ".[experiments]", '
            "or `python3 run.py`, which sets everything up.",
            file=sys.stderr,
        )
        return 2


def discover(package: str = "experiments") -> dict[str, str]:
    """Return every experiment's name and its docstring's first line, importing none of them."""
    spec = find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or ()
    paths = sorted(path for folder in folders for path in Path(folder).glob("[!_]*.py"))
    return {path.stem: _first_line(path) for path in paths}


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]


def _parser(experiments: dict[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    choosing = argparse.ArgumentParser(add_help=False)
    choosing.add_argument("names", nargs="*", metavar="NAME", help="experiments; all by default")
    form = choosing.add_mutually_exclusive_group()
    for name, text in (
        ("quick", "minutes on a laptop (the default)"),
        ("full", "the paper's sizes"),
    ):
        form.add_argument(f"--{name}", action="store_const", const=name, dest="form", help=text)
    choosing.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one field of the experiment's Config; may be repeated",
    )
    choosing.add_argument("--out", type=Path, default=Path("results"), metavar="DIR")
    choosing.add_argument(
        "--data",
        metavar="DIR",
        help="the data's directory, for experiments that read one (or the variable JAXDEPTH_DATA)",
    )

    def command(name: str, act: object, text: str) -> argparse.ArgumentParser:
        parents = [] if name == "list" else [choosing]
        one = commands.add_parser(name, help=text, description=text, parents=parents)
        one.set_defaults(act=act, experiments=experiments)
        return one

    command("list", _list, "name the experiments and what each claims")
    run = command("run", _run, "compute, judge the claims, draw the figures, write the report")
    run.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="use what is stored of the same configuration and program (the default)",
    )
    run.add_argument("--fresh", action="store_false", dest="resume", help="the same as --no-resume")
    _computing(run)
    sweep = command("sweep", _sweep, _SWEEP)
    _computing(sweep)
    sweep.add_argument("--dry-run", action="store_true", help="say what it takes, and run nothing")
    sweep.add_argument(
        "--worker",
        type=_share,
        metavar="I/N",
        help="share I of N, from 0: for N processes at once, on one machine or many",
    )
    sweep.add_argument("--chunk", type=int, metavar="K", help="at most K configurations in flight")
    sweep.add_argument(
        "--store", type=Path, metavar="DIR", help="keep the tiles there, and not where `run` looks"
    )
    sweep.add_argument("--retry", action="store_true", help="try again what failed")
    sweep.add_argument("--fresh", action="store_false", dest="resume", help="measure all again")
    command("check", _check, "judge the claims of stored results; exit 1 when one fails")
    command("plot", _plot, "draw the figures of stored results")
    command("report", _report, "write OUT/report.html from stored results")
    fetching = commands.add_parser("fetch", help=_FETCH, description=_FETCH)
    fetching.add_argument("directory", type=Path, metavar="DIR", help="new or empty")
    fetching.set_defaults(act=_fetch, experiments=experiments)
    return parser


def _computing(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--device", choices=("cpu", "gpu", "tpu"), help="where to compute; JAX's choice by default"
    )
    command.add_argument(
        "--precision",
        choices=("float32", "float64"),
        help="the default float; what needs float64 has it in any case",
    )


def _share(text: str) -> tuple[int, int]:
    index, slash, number = text.partition("/")
    if not (slash and index.isdigit() and number.isdigit() and int(index) < int(number)):
        raise argparse.ArgumentTypeError(f"must be I/N with 0 ≤ I < N; got {text!r}")
    return int(index), int(number)


_SWEEP = "run the sweep of one experiment, or a share of it; `run` judges and draws what is there"
_FETCH = "download UCI's gas sensors, checked by their checksum, for `--data DIR`"


def _list(options: argparse.Namespace, package: str) -> int:
    del package
    width = max(map(len, options.experiments), default=0)
    for name, line in options.experiments.items():
        print(f"{name:{width}}  {line}")
    return 0


def _run(options: argparse.Namespace, package: str) -> int:
    names, choice = _chosen(options)
    _settle(options)
    from experiments import _runner
    from experiments._store import open_directory

    out = open_directory(options.out)
    modules = _runner.load(package, names)
    _runner.cache_compilations(out)
    finished, whole = _runner.run(modules, choice, out, resume=options.resume)
    judged = [_runner.judge(one) for one in finished]
    _runner.tell(judged)
    everything = _runner.load(package, list(options.experiments))
    stored, missing = _runner.collect(everything, _runner.NEWEST, out)
    drawn = _publish([_runner.judge(one) for one in stored], missing, out)
    return 0 if whole and drawn and all(one.holds for one in judged) else 1


def _sweep(options: argparse.Namespace, package: str) -> int:
    names, choice = _chosen(options)
    if len(options.names) != 1:
        raise UsageError(f"`sweep` takes one experiment; got {', '.join(options.names) or 'none'}.")
    _settle(options)
    from experiments import _provenance, _runner
    from experiments._store import Store, open_directory
    from experiments._sweeping import PART

    (name,) = names
    module = _runner.load(package, names)[name]
    if not hasattr(module, "sweep"):
        raise UsageError(f"{name} is no sweep. `run` computes it.")
    config = _runner.settle({name: module}, choice)[name]
    sweep = module.sweep(config)
    print(str(sweep.plan).partition("\n")[0] if sweep.host else sweep.plan)
    if options.chunk is not None and options.chunk < 1:
        raise UsageError(f"`--chunk` must be at least 1; got {options.chunk}.")
    if options.dry_run:
        print(sweep.predict(chunk=options.chunk))
        return 0
    _runner.cache_compilations(open_directory(options.out))
    identity = _provenance.digest(_provenance.identity(name, module, config))
    store = options.store or Store(options.out, name, identity).sweep(PART)
    shared = {name: getattr(options, name) for name in ("chunk", "worker", "resume", "retry")}
    try:
        dataset = sweep.run(store, **shared)
    except (RuntimeError, MemoryError, ValueError) as error:  # each names itself and its cure
        print(f"error: {error}", file=sys.stderr)
        return 1
    missing = dataset.attrs["missing"]
    print(f"{store}: {sweep.plan.size - missing:,} of {sweep.plan.size:,} configurations")
    return 0


def _settle(options: argparse.Namespace) -> None:
    """Choose device and precision."""
    import jax

    if options.precision:
        jax.config.update("jax_enable_x64", options.precision == "float64")
    if options.device == "cpu":
        jax.config.update("jax_platforms", "cpu")  # accelerators need not even be woken
    elif options.device:
        try:
            jax.devices(options.device)  # where there is one, it is the default
        except RuntimeError as error:
            raise UsageError(f"`--device {options.device}`: {error}") from error


def _check(options: argparse.Namespace, package: str) -> int:
    from experiments import _runner

    stored, missing = _stored(options, package)
    judged = [_runner.judge(one) for one in stored]
    _runner.tell(judged)
    if missing:
        raise UsageError(_nothing(missing, options.out))
    return 0 if all(one.holds for one in judged) else 1


def _plot(options: argparse.Namespace, package: str) -> int:
    stored, _ = _stored(options, package)
    from experiments._report import draw

    for one in stored:
        print(*draw(one), sep="\n")
    return 0


def _report(options: argparse.Namespace, package: str) -> int:
    from experiments._runner import judge

    stored, missing = _stored(options, package)
    return 0 if _publish([judge(one) for one in stored], missing, options.out) else 1


def _fetch(options: argparse.Namespace, package: str) -> int:
    del package
    from experiments import _gas_sensor
    from experiments._fetch import fetch

    files = fetch(options.directory)
    X, _ = _gas_sensor.load(options.directory)
    print(f"{options.directory}: {len(files)} batch files, {len(X):,} ethanol rows")
    return 0


def _publish(judged: list[Judged], missing: list[str], out: Path) -> bool:
    from experiments._report import write

    page, drawn = write(judged, missing, out)
    print(f"\nThe report: {page}")
    return drawn


def _stored(options: argparse.Namespace, package: str) -> tuple[list[Stored], list[str]]:
    names, choice = _chosen(options)
    from experiments import _runner

    stored, missing = _runner.collect(_runner.load(package, names), choice, options.out)
    if not stored:
        raise UsageError(_nothing(missing, options.out))
    return stored, missing


def _nothing(missing: list[str], out: Path) -> str:
    return (
        f"nothing is stored in {str(out)!r} for {', '.join(missing)}. "
        f"Compute it: python -m experiments run {' '.join(missing)}"
    )


def _chosen(options: argparse.Namespace) -> tuple[list[str], Choice]:
    unknown = [name for name in options.names if name not in options.experiments]
    if unknown:
        raise UsageError(
            f"no experiment is called {', '.join(unknown)}. "
            f"There are: {', '.join(options.experiments)}."
        )
    settings = dict(map(split, options.set))
    data = options.data or os.environ.get("JAXDEPTH_DATA")
    if data and not Path(data).is_dir():
        raise UsageError(
            f"`--data` (or JAXDEPTH_DATA) must be a directory that exists; got {data!r}."
        )
    from experiments._runner import Choice

    explicit = bool(options.form or settings or options.data)
    where = str(Path(data).resolve()) if data else None
    names = list(dict.fromkeys(options.names)) or list(options.experiments)
    return names, Choice(options.form or "quick", settings, where, explicit)


if __name__ == "__main__":
    sys.exit(main())
