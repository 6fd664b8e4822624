"""Exact enumeration against regioncam, a Rust library of float32 regions, in one process.

    pip install regioncam
    python -m experiments.benchmarks.exact_counting_outruns_regioncam

The floor is the products: a network with V vertices before a layer of n units that read m costs
2Vnm operations in float64 for the values and as many in float32 for the error bounds. regioncam
computes 2Vnm in float32, with no bounds.

Regions are activation regions on the interval; those of the stored float32 weights, counted by
rational arithmetic, are what a count is held against. (On a sawtooth every kink of a layer meets an
older one, which float32 enumeration takes for two.)
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import jaxdepth as jd
from experiments.benchmarks._timing import machine, seconds
from jaxdepth.crossings import Exact, count
from jaxdepth.networks import MLP, AffineLayer, Sawtooth

try:
    import regioncam
except ImportError:  # the rival's columns stay empty
    regioncam = None

INTERVAL = (-3.0, 3.0)
CHECKED = 4  # networks of a row that are held against rational arithmetic
ROW = "{:<18} {:>12} {:>12} {:>12} {:>8} {:>26}"


def rival_regions(layers: Any, interval: tuple[float, float]) -> int:
    """Count the regions by regioncam, whose `through_points` covers 3/2 of half the distance."""
    ends = np.array([[edge / 0.75] for edge in interval], np.float32)
    middle, half = ends.mean(axis=0), (ends[1] - ends[0]) / 2
    camera = regioncam.Regioncam1D.through_points(np.stack([middle - half, middle + half]))
    for weight, bias in layers[:-1]:
        camera.linear(weight, bias)
        camera.relu()
    camera.linear(*layers[-1])
    return int(camera.num_edges)


def rival_layers(net: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the layers as regioncam takes them, a linear one last."""
    layers = [
        (np.asarray(a.weight, np.float32).T.copy(), np.asarray(a.bias, np.float32))
        for a in net.affine_layers()
    ]
    if float(net.affine_layers()[-1].negative_slope) != 1.0:
        layers.append((np.ones((1, 1), np.float32), np.zeros(1, np.float32)))
    return layers


def measure_random(width: int, depth: int, networks: int) -> None:
    """Print the row of a stack of random networks."""
    keys = jax.random.split(jax.random.key(0), networks)
    sizes = (1, *[width] * depth, 1)
    stack = eqx.filter_vmap(lambda key: MLP(sizes, dtype=jnp.float32, key=key))(keys)
    one_each = [
        jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]) if eqx.is_array(leaf) else leaf, stack)
        for i in range(networks)
    ]
    batch = seconds(lambda: count(stack, Exact(), interval=INTERVAL, level=0.0)) / networks
    single = seconds(lambda: count(one_each[0], Exact(), interval=INTERVAL, level=0.0), 20)
    truth = [
        jd.piecewise.pieces(net, INTERVAL, "rational").num_regions for net in one_each[:CHECKED]
    ]
    ours = [jd.piecewise.pieces(net, INTERVAL).num_regions for net in one_each[:CHECKED]]
    times, right = ["–", "–"], f"{ours == truth}, –"
    if regioncam is not None:
        rivals = [rival_layers(net) for net in one_each]
        rival = seconds(lambda: [rival_regions(each, INTERVAL) for each in rivals]) / networks
        theirs = [rival_regions(each, INTERVAL) for each in rivals[:CHECKED]]
        times, right = (
            [f"{1e3 * rival:.3f} ms", f"{rival / batch:.1f}x"],
            (f"{ours == truth}, {theirs == truth}"),
        )
    print(
        ROW.format(
            f"{width}x{depth}", f"{1e3 * batch:.3f} ms", f"{1e3 * single:.3f} ms", *times, right
        )
    )


def measure_sawtooth(name: str, net: Any, truth: int) -> None:
    """Print the row of one sawtooth: no stack, and the regions of both."""
    single = seconds(lambda: count(net, Exact()))
    ours = jd.piecewise.pieces(net).num_regions
    times, theirs = ["–", "–"], "–"
    if regioncam is not None:
        layers = rival_layers(net)
        rival = seconds(lambda: rival_regions(layers, (0.0, 1.0)))
        times = [f"{1e3 * rival:.1f} ms", f"{rival / single:.1f}x"]
        theirs = f"{rival_regions(layers, (0.0, 1.0)):,}"
    regions = f"{ours:,}, {theirs} ({truth:,})"
    print(ROW.format(name, "–", f"{1e3 * single:.1f} ms", *times, regions))


class Stored(eqx.Module):
    """Layers as they are."""

    layers: tuple[AffineLayer, ...]

    def affine_layers(self) -> tuple[AffineLayer, ...]:
        """List them."""
        return self.layers


def stored_teeth(teeth: int, depth: int) -> Stored:
    """Store (teeth branches) composed `depth` times, the offsets j/teeth rounded to float32."""
    offsets = np.arange(teeth) / teeth
    turns = 2 * teeth * (-1.0) ** np.arange(teeth)
    turns[0] = teeth
    first = AffineLayer(
        np.ones((teeth, 1), np.float32), -offsets.astype(np.float32), np.float32(0.0)
    )
    second = AffineLayer(turns[None].astype(np.float32), np.zeros(1, np.float32), np.float32(1.0))
    return Stored((first, second) * depth)


def main() -> None:
    """Measure and print the table."""
    print(machine())
    if regioncam is None:
        print("regioncam is not installed: its columns stay empty.")
    print(
        ROW.format(
            "network", "in a stack", "alone, warm", "regioncam", "ratio", "right: ours, theirs"
        )
    )
    measure_random(16, 3, 2048)
    measure_random(64, 3, 1024)
    measure_random(256, 2, 128)
    measure_random(64, 8, 256)
    print(ROW.format("", "", "", "", "", "regions: ours, theirs"))
    measure_sawtooth("m^16", Sawtooth(16), 2**16)
    measure_sawtooth("3 teeth, 6 deep", stored_teeth(3, 6), 3**6)
    measure_sawtooth("5 teeth, 4 deep", stored_teeth(5, 4), 5**4)


if __name__ == "__main__":
    main()
