"""The theory of depth in neural networks, as programs."""

from jaxdepth import (
    bounds as bounds,
    crossings as crossings,
    dynamics as dynamics,
    networks as networks,
    piecewise as piecewise,
    radial as radial,
    sweeps as sweeps,
)

__version__ = "0.1.0"
