"""Symbolic counting of compositions against enumeration of the same network, in one process.

    python -m experiments.benchmarks.symbolic_counting_is_linear_in_depth

Enumeration holds every piece, of which m^k has 2^k. The tower holds intervals: one for a sawtooth,
p − 1 for a map with a cycle of period p, and a multiple of k where turning points have infinite
orbits, so that counting f, …, f^k costs k², and numbers of as many bits as f^k makes.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import Any

import jax

import jaxdepth as jd
from experiments.benchmarks._timing import machine, seconds
from jaxdepth.crossings import Exact, Rational, Symbolic, count, count_iterates
from jaxdepth.networks import MLP, ConnectTheDots, Iterated, Sawtooth

TENT = ConnectTheDots([0, Fraction(1, 2), 1], [0, Fraction(3, 4), 0])


class Stored:
    """A network R → R that is its layers and nothing else: rounded weights, one factor."""

    def __init__(self, net: Any) -> None:
        self._layers = net.affine_layers()

    def affine_layers(self) -> tuple[Any, ...]:
        """List the layers."""
        return self._layers


ROW = "{:<44} {:>12} {:>12} {:>12} {:>9}"


def measure_iterates(name: str, net: Any, depth: int) -> None:
    """Print the time of counting net, net², …, net^depth."""
    ours = seconds(lambda: count_iterates(net, depth))
    print(ROW.format(f"{name}, all k ≤ {depth:,}", f"{1e3 * ours:.2f} ms", "–", "–", "–"))


def measure_rivals(name: str, net: Any) -> None:
    """Print the time of one count by the tower and by both enumerations."""
    methods = (Symbolic(), Exact(), Rational())
    if len({count(net, method).value for method in methods}) > 1:
        raise AssertionError(f"the methods disagree on {name}")
    ours, exact, rational = (seconds(partial(count, net, method), 2) for method in methods)
    times = (f"{1e3 * each:.2f} ms" for each in (ours, exact, rational))
    print(ROW.format(name, *times, f"{exact / ours:.2g}x"))


def main() -> None:
    """Measure and print the table."""
    print(machine())
    print(ROW.format("composition", "Symbolic", "Exact", "Rational", "to Exact"))
    measure_iterates("mirror map", Sawtooth(1), 1000)
    measure_iterates("50 teeth", Sawtooth(1, teeth=50), 1000)
    measure_iterates("Štefan, period 9", ConnectTheDots.stefan(9), 1000)
    measure_iterates("tent of slope 3/2", TENT, 1000)
    measure_iterates("7 teeth, stored in float64", Stored(Sawtooth(1, teeth=7)), 200)
    for depth in (4, 8, 12, 16):
        measure_rivals(f"mirror map, k = {depth}", Sawtooth(depth))
    measure_rivals("3 teeth, k = 6", Iterated(Stored(Sawtooth(1, teeth=3)), 6))
    for width in (16, 64):
        net = MLP((1, width, width, 1), key=jax.random.key(1))
        measure_rivals(f"one random network, {width}x2", net)
    print(
        f"bounds.periodic_growth(9): {1e6 * seconds(lambda: jd.bounds.periodic_growth(9)):.0f} µs"
    )


if __name__ == "__main__":
    main()
