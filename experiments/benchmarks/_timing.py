"""How every benchmark measures."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
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


def machine() -> str:
    """Say what a table was measured on."""
    device = jax.devices()[0]
    return (
        f"{device.platform} {device.device_kind}, {os.cpu_count()} cores, {platform.machine()}; "
        f"Python {platform.python_version()}, JAX {jax.__version__}, NumPy {np.__version__}"
    )
