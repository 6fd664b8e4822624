"""What the lectures share: pictures of a slide's size, in type that the last row reads."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from experiments._figures import STYLE

SIZE, DPI = (12.8, 7.2), 150  # 1920 by 1080
TYPE: dict[str, Any] = {
    "font.size": 19,
    "axes.titlesize": 22,
    "axes.labelsize": 20,
    "xtick.labelsize": 17,
    "ytick.labelsize": 17,
    "legend.fontsize": 18,
    "lines.linewidth": 3.2,
    "lines.markersize": 9,
    "axes.linewidth": 1.4,
    "hatch.linewidth": 1.6,
}


@contextlib.contextmanager
def slide(name: str, rows: int = 1, columns: int = 1, **subplots: Any) -> Iterator[Any]:
    """Make the axes of a slide; then write it into the folder of `--out`, or show it in a notebook.

        with slide("oscillations_1", 1, 2) as (left, right):
            left.plot(…)

    Args:
        name: of the file, without its suffix.
        rows: how many rows of axes.
        columns: how many columns of axes.
        subplots: passed on to `Figure.subplots`.

    Yields:
        One axes object or an array of them, as `matplotlib.pyplot.subplots` returns.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE | TYPE)
        figure = Figure(figsize=SIZE)
        yield figure.subplots(rows, columns, **subplots)
        folder = _folder()
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            figure.savefig(folder / f"{name}.png", dpi=DPI, metadata={"Software": None})
        elif "ipykernel" in sys.modules:
            _display(figure)


def _folder() -> Path | None:
    """Return what `--out` names, passing over the arguments of a notebook's kernel."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the slides here")
    return parser.parse_known_args()[0].out


def _display(figure: Figure) -> None:
    shown = io.BytesIO()
    figure.savefig(shown, dpi=DPI / 2)
    module = importlib.import_module("IPython.display")
    module.display(module.Image(shown.getvalue()))
