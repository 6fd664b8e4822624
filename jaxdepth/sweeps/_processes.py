"""Several processes as one program (`jax.distributed`): what they must agree on."""

from __future__ import annotations

import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Bool


def agreed(stored: Bool[np.ndarray, " tiles"], spread: bool) -> Bool[np.ndarray, " tiles"]:
    """Return what the first process sees: all must make the same calls in the same order."""
    if not spread:
        return stored
    return np.asarray(multihost_utils.broadcast_one_to_all(stored))


def together(what: str, spread: bool) -> None:
    """Wait until all processes have come so far."""
    if spread:
        multihost_utils.sync_global_devices(what)
