"""How every benchmark measures."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np


def seconds(call: Callable[[], Any], repeats: int = 3) -> float:
    """Return the least time of `repeats` calls after a warm-up (compilation apart)."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def least(calls: Mapping[str, Callable[[], Any]], budget: float = 15.0) -> dict[str, float]:
    """Return the least time of each call, all taken in turns for `budget` seconds after a warm-up.

    Before each, a pause: threads of the call before spin a while, on cores that the next one needs.
    """
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + budget
    while time.perf_counter() < end or not all(len(taken) >= 3 for taken in times.values()):
        for name, call in calls.items():
            time.sleep(0.02)
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: min(taken) for name, taken in times.items()}


def machine() -> str:
    """Say what a table was measured on."""
    device = jax.devices()[0]
    return (
        f"{device.platform} {device.device_kind}, {os.cpu_count()} cores, {platform.machine()}; "
        f"Python {platform.python_version()}, JAX {jax.__version__}, NumPy {np.__version__}"
    )
