"""A package of small stand-in experiments, written where a test wants it."""

import importlib
import sys
from pathlib import Path

GOOD = '''"""Twice <n> is n plus n.

The `double` of a number equals its sum with *itself* & nothing else:

    2n = n + n
"""

import os
import signal
from dataclasses import dataclass

import numpy as np

from experiments._contract import Claim, require
from experiments._figures import panels, styled
from experiments._live import Axis, Frame, Live, Panel, dots


@dataclass(frozen=True)
class Config:
    numbers: tuple[int, ...] = (1, 2, 3)
    rate: float = 0.5
    name: str = "two words"
    strict: bool = True
    limit: int | None = None
    data: str | None = None

    def __post_init__(self):
        if self.rate <= 0:
            raise ValueError(f"`rate` must be positive; got {self.rate}.")


QUICK = Config()
FULL = Config(numbers=(1, 2, 3, 4, 5))


def run(config, part):
    doubles = []
    for number in config.numbers:
        if os.environ.get("FAKE_KILL") == str(number):
            os.kill(os.getpid(), signal.SIGKILL)
        if os.environ.get("FAKE_INTERRUPT") == str(number):
            raise KeyboardInterrupt
        doubles.append(part(f"n{number}", lambda: {"double": 2 * number})["double"])
    return {"numbers": np.array(config.numbers), "doubles": np.stack(doubles)}


def claims(results):
    right = bool((results["doubles"] == 2 * results["numbers"]).all())
    small = bool((results["numbers"] < 9).all())
    return [
        Claim("Twice a number is n + n", "Elements <VII>, 2^(n+1)", "2n", "2n", "exact", right),
        Claim("Numbers are small", "derived here", "< 9", "a look", "estimate", small),
    ]


def check(results):
    require(claims(results))


@styled
def plot(results):
    figure, axes = panels()
    axes.plot(results["numbers"], results["doubles"])
    return figure


def live(results):
    numbers, doubles = results["numbers"].tolist(), results["doubles"].tolist()
    panel = Panel("<doubles>", Axis("n", 0, 9), Axis("2n", 0, 18))
    frames = [Frame(f"2·{n} = {m}", [[dots([n], [m], "blue")]]) for n, m in zip(numbers, doubles)]
    return (Live("Twice </script> n", "number n", [str(n) for n in numbers], [panel], frames),)
'''

BROKEN = (
    GOOD.replace("    doubles = []\n", '    raise RuntimeError("no <luck>")\n', 1)
    .replace("Twice <n> is n plus n.", "Never comes to an end.")
)  # fmt: skip


def write(folder: Path, **sources: str) -> str:
    """Write a package of experiments, or new sources into it; return its name, ready for import."""
    package = folder / "stand_ins"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    for name, source in sources.items():
        (package / f"{name}.py").write_text(source, "utf-8")
    for module in [name for name in sys.modules if name.split(".")[0] == "stand_ins"]:
        del sys.modules[module]
    importlib.invalidate_caches()
    return "stand_ins"


SWEEP = GOOD.replace(
    "def run(config, part):",
    '''def measure(number):
    if number == config_limit():
        raise ValueError("too many")
    return {"double": 2.0 * number}


def config_limit():
    return float(os.environ.get("FAKE_LIMIT", "nan"))


def sweep(config):
    numbers = [float(number) for number in config.numbers]
    return Sweep(jd.sweeps.grid(number=numbers).tiled(1), measure, host=True)


def run(config, part):
    found = part("sweep", lambda: {"double": swept(sweep(config), part)["double"].values})
    return {"numbers": np.array(config.numbers), "doubles": found["double"]}


def unused(config, part):''',
).replace(
    "from experiments._figures",
    "import jaxdepth as jd\n"
    "from experiments._sweeping import Sweep, swept\n"
    "from experiments._figures",
)  # fmt: skip
