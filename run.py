"""Set jaxdepth up and run it, on a machine with nothing but Python 3.11 or newer.

    python3 run.py               every experiment in its quick form, and the report
    python3 run.py test          format, lint, types, and the tests with 64-bit on and off
    python3 run.py ARGUMENTS     python -m experiments ARGUMENTS (list, run, check, plot, report)

An interpreter that has everything already is used as it is, so no network is needed then. Otherwise
the packages go into `.venv`, by uv where it is present and by pip where not; later runs find them
there. Standard library only, and it parses on Python 3.6, so that an old Python gets a clear line.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
STAMP = os.path.join(VENV, "jaxdepth-setup")  # what is installed there, or UNFINISHED
UNFINISHED = "unfinished"
KEPT = "somebody else's, "
OPTIONAL = {  # what the tests can do without, and what is then not checked
    "ruff": "format and lint",
    "mypy": "types",
    "beartype": "argument types and shapes at run time",
    "zensical": "that the site builds",
    "mkdocstrings-python": "that the site builds",
}
# Where a package is not imported by its own name.
IMPORTED_AS = {
    "mkdocstrings-python": "mkdocstrings_handlers",
    "python-flint": "flint",
    "scikit-learn": "sklearn",
}
TESTS = [  # name, arguments to python, environment; what is in one list may run at once
    [("ruff format", ["-m", "ruff", "format", "--check", "."], {})],
    [("ruff check", ["-m", "ruff", "check", "."], {})],
    [("mypy", ["-m", "mypy"], {})],
    [
        ("pytest, 64-bit on", ["-m", "pytest"], {"JAXDEPTH_TEST_X64": "1"}),
        ("pytest, 64-bit off", ["-m", "pytest"], {"JAXDEPTH_TEST_X64": "0"}),
    ],
]
EACH = 5 * 2**30  # bytes of memory that a pass of the tests may take
CACHE = "JAX_COMPILATION_CACHE_DIR"
KEEP_ALL = {  # programs too quick to compile or too small to be kept by default
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


def main(arguments):
    """Do what `arguments` ask; return the exit status."""
    if sys.version_info < OLDEST:
        print(
            f"jaxdepth needs Python {OLDEST[0]}.{OLDEST[1]} or newer; "
            f"this is {sys.version.split()[0]} ({sys.executable}). "
            "Run it by a newer one, as in: python3.12 run.py"
        )
        return 2
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    testing = arguments[:1] == ["test"]
    extra = "test" if testing else "experiments"
    try:
        troubles = shortfall(extra)
        python = prepared(extra, troubles) if troubles else sys.executable
    except KeyboardInterrupt:
        print("\nInterrupted; the next run starts the set-up again.")
        return 130
    if python is None:
        return 1
    if testing:
        return test(python, arguments[1:])
    if not arguments or arguments[0].startswith("-"):
        arguments = ["run", *arguments]  # `run` ends with the report
    return call([python, "-m", "experiments", *arguments])


def test(python, arguments):
    """Run every check though one fails, tell each with its seconds; `arguments` go to pytest."""
    floors = requirements("test")
    here = python == sys.executable
    missing = [name for name in OPTIONAL if here and lacks(name, floors[name])]
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="jaxdepth-tests-") as folder:
        for group in TESTS:
            at_once, checks = roomy(group), []
            for name, command, environment in group:
                if command[1] in missing:
                    outcomes.append((name, "SKIPPED", 0.0))
                    continue
                command = [python] + command + (arguments if "pytest" in command else [])
                kept = compiled(folder, name if at_once else "by all")
                checks.append((name, command, dict(kept, **environment)))
            for status, outcome in together(checks, folder) if at_once else one_by_one(checks):
                if status == 130:
                    return status
                outcomes.append(outcome)
    print("\n== summary")
    for name, outcome, seconds in outcomes:
        print(f"{name:18}  {outcome:7}  {seconds:6.1f} s")
    for name in missing:
        print(f"NOT CHECKED: {OPTIONAL[name]}, for this Python {lacks(name, floors[name])}")
    return int(any(outcome == "failed" for _, outcome, _ in outcomes))


def compiled(folder, name):
    """Let processes share what they compile, unless the user keeps it.

    Passes at work at once have their own: one could read what the other has half written.
    """
    if os.environ.get(CACHE):
        return {}
    return dict(KEEP_ALL, **{CACHE: os.path.join(folder, "compiled", name)})


def roomy(checks):
    """Tell whether there are processors and memory for all checks at once."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # no POSIX
        return False
    return len(checks) > 1 and (os.cpu_count() or 1) >= len(checks) and memory >= EACH * len(checks)


def one_by_one(checks):
    """Run checks in turn; yield the status and the outcome of each."""
    for name, command, environment in checks:
        print("\n== " + name, flush=True)
        start = time.time()
        yield judged(name, finished(started(command, environment, ROOT)), start)


def together(checks, folder):
    """Run checks at once: the first is seen at work, the others' output when it is complete."""
    start = time.time()
    behind = []
    for name, command, environment in checks[1:]:
        path = os.path.join(folder, name)
        with open(path, "wb") as told:
            behind.append((name, path, started(command, environment, ROOT, told)))
    outcomes = list(one_by_one(checks[:1]))
    for name, path, process in behind:
        status = finished(process)
        print("\n== " + name + ", at the same time")
        with open(path, encoding="utf-8", errors="replace") as told:
            print(told.read(), flush=True)
        outcomes.append(judged(name, status, start))
    return outcomes


def judged(name, status, start):
    """Return the exit status, and a row of the summary."""
    return status, (name, "failed" if status else "passed", time.time() - start)


def call(command):
    """Run a command; return its exit status."""
    return finished(started(command, {}))


def started(command, environment, folder=None, output=None):
    """Start a command with the checkout's own jaxdepth first."""
    path = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))
    environment = dict(os.environ, PYTHONPATH=path, **environment)
    error = subprocess.STDOUT if output else None
    return subprocess.Popen(command, env=environment, cwd=folder, stdout=output, stderr=error)


def finished(process):
    """Wait for a command; return its exit status, 130 after Ctrl-C."""
    interrupted = False
    while True:
        try:
            status = process.wait()
            return 130 if interrupted else status
        except KeyboardInterrupt:
            interrupted = True  # the command got the same Ctrl-C, and says what it has kept


def requirements(extra):
    """Return the oldest version asked of every package that `extra` needs, from pyproject.toml."""
    import tomllib

    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        project = tomllib.load(file)["project"]
    lines, extras = list(project["dependencies"]), [extra]
    while extras:
        for line in project["optional-dependencies"][extras.pop()]:
            inner = re.match(r"jaxdepth\[([\w,]+)\]$", line)
            extras += inner.group(1).split(",") if inner else []
            lines += [] if inner else [line]
    return dict(re.match(r"([\w-]+)>=([\d.]+)$", line).groups() for line in lines)


def shortfall(extra):
    """Say what this interpreter lacks of what `extra` needs, but for what the tests can skip."""
    asked = requirements(extra).items()
    return [
        lacks(name, floor) for name, floor in asked if name not in OPTIONAL if lacks(name, floor)
    ]


def lacks(name, floor):
    """Say what is wrong with a package here, "" where nothing is."""
    from importlib import metadata

    if importlib.util.find_spec(IMPORTED_AS.get(name, name)) is None:
        return "has no " + name
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""  # importable without a record of its version: a source tree on the path
    old = numbers(version) < numbers(floor)
    return f"has {name} {version}, and {floor} is needed" if old else ""


def numbers(version):
    """Return the leading numbers of a version, to compare by."""
    return [int(number) for number in re.match(r"\d+(\.\d+)*", version).group().split(".")]


def prepared(extra, troubles):
    """Return the interpreter of a `.venv` that has all that `extra` needs, made where it is not.

    A `.venv` left half made, or made here for another Python, is made again; one that somebody else
    made, or that is running this, is kept and installed into.
    """
    this = version_of(sys.executable)
    state, found = stamp(), version_of(PYTHON)
    within = os.path.realpath(sys.prefix) == os.path.realpath(VENV)
    keep = bool(found) and (within or state == "" or state.startswith(KEPT))
    mark = KEPT if keep else ""
    # The test extra holds the experiments' packages too.
    good = [mark + fingerprint(each, found) for each in (extra, "test")]
    if state in good and (keep or found == this):
        return PYTHON
    print(f"This Python {', '.join(troubles)}.", flush=True)
    uv = shutil.which("uv")
    if not keep and (found != this or state == UNFINISHED) and not made(this, bare=bool(uv)):
        return None
    if not keep:
        stamp(UNFINISHED)
    print(f"Installing jaxdepth[{extra}] and what it needs into {VENV} …", flush=True)
    if not installed(uv, f"{ROOT}[{extra}]"):
        print(
            "\nInstalling failed; the installer's reason is above. With a network, run this again. "
            "Behind a proxy, set HTTPS_PROXY, or PIP_INDEX_URL to a mirror, first. Without a "
            "network, use an interpreter that has the packages: ITS_PYTHON run.py"
        )
        return None
    stamp(mark + fingerprint(extra, version_of(PYTHON)))
    return PYTHON


def made(this, bare):
    """Make `.venv` anew, without pip where `bare`; say whether it went."""
    if not bare and importlib.util.find_spec("ensurepip") is None:
        print(
            "This Python cannot make a virtual environment: it has no ensurepip, which Debian and "
            f"Ubuntu ship apart. Install it (sudo apt install python{this}-venv), or install uv; "
            "then run this again."
        )
        return False
    print(f"Making {VENV} for Python {this}, once …", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    os.makedirs(VENV)
    stamp(UNFINISHED)
    without = ["--without-pip"] if bare else []
    if subprocess.call([sys.executable, "-m", "venv", *without, VENV]) != 0:
        print(f"Making {VENV} failed; the reason is above.")
        return False
    return True


def installed(uv, target):
    """Install the checkout and its needs into `.venv`, by uv or else by pip; say if it went."""
    by_uv = [uv, "pip", "install", "--quiet", "--python", PYTHON, "-e", target]
    if uv and subprocess.call(by_uv) == 0:
        return True
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check"]
    with open(os.devnull, "wb") as nowhere:
        if subprocess.call([*pip, "--version"], stdout=nowhere, stderr=nowhere) != 0:
            subprocess.call([PYTHON, "-m", "ensurepip"], stdout=nowhere)
    return subprocess.call([*pip, "install", "--quiet", "-e", target]) == 0


def fingerprint(extra, version):
    """Hash what a finished `.venv` depends on."""
    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        text = file.read() + f"\n{extra} {version}".encode()
    return hashlib.sha256(text).hexdigest()


def stamp(text=None):
    """Read what is written in `.venv` of its state, "" where nothing is; or write it."""
    if text is not None:
        with open(STAMP, "w") as file:
            file.write(text)
        return text
    try:
        with open(STAMP) as file:
            return file.read()
    except OSError:
        return ""


def version_of(python):
    """Return "3.12" for an interpreter that starts and is new enough, None for any other."""
    program = "import sys; print('%d.%d' % sys.version_info[:2] * (sys.version_info >= (3, 11)))"
    try:
        return subprocess.check_output([python, "-c", program]).decode().strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
