"""What the experiments on a ball share: the floor's curve, as a number and as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments._figures import BLUE, INK, SKY


def excluded(directions: np.ndarray, floors: np.ndarray, error: float) -> float:
    """Return the most directions of a curve of floors that are too few for an error."""
    return float(directions[floors > error].max(initial=0))


def draw_floor(
    axes: Any, directions: np.ndarray, floors: np.ndarray, ends: tuple[float, float]
) -> None:
    """Draw floors over the directions, and below them, from `ends[0]` to `ends[1]`, nothing."""
    bottom, top = ends
    shown = np.maximum(floors, bottom)
    axes.fill_between(directions, bottom, shown, color=SKY, alpha=0.28, linewidth=0)
    axes.plot(directions, shown, color=BLUE, label="floor of every 2-layer network")
    axes.annotate(
        "no 2-layer\nnetwork here", (0.03, 0.06), xycoords="axes fraction", color=INK, fontsize=8.5
    )
    axes.set(xscale="log", yscale="log", xlim=(1, directions[-1]), ylim=(bottom, top))
    axes.set(xlabel="directions (2 layers) or neurons")
