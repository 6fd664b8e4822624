"""The part of an experiment that is a sweep: the same from `run` and from the command `sweep`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import jaxdepth as jd
from experiments._contract import Part

PART = "sweep"  # the name of the part, and of the folder of its tiles


@dataclass(frozen=True)
class Sweep:
    """A plan and what is measured of each of its configurations; an experiment's `sweep(config)`.

    Attributes:
        plan: from `jd.sweeps.grid`.
        measure: as for `jd.sweeps.run`; a function of a module, so that other processes find it.
        float64: whether it needs 64-bit on, whatever the default.
        host: whether it runs in Python.
    """

    plan: jd.sweeps.Plan
    measure: Callable[..., Any]
    float64: bool = False
    host: bool = False

    def run(self, store: Path | None, **options: Any) -> Any:
        """Run it; return the dataset. `options` are those of `jd.sweeps.run`."""
        with self._precision():
            return jd.sweeps.run(self.plan, self.measure, store=store, host=self.host, **options)

    def predict(self, **options: Any) -> jd.sweeps.Prediction:
        """Say what it will take."""
        with self._precision():
            return jd.sweeps.predict(self.plan, self.measure, host=self.host, **options)

    def _precision(self) -> Any:
        return jax.enable_x64(self.float64 or jnp.result_type(float) == jnp.float64)


def swept(sweep: Sweep, part: Part) -> Any:
    """Run the sweep of an experiment where its part keeps its tiles; return the dataset."""
    return sweep.run(part.folder(PART), progress=sys.stderr.isatty())
