"""Certificates by the thousand: of numbers of directions, of targets, and in ball arithmetic.

    python -m experiments.benchmarks.one_certificate_serves_thousands

The floor is the Bessel functions, one for every pair of a frequency node and a radius node: `floor`
is their number times the time that the bare pair takes for so many points in the same run. Masses
are placed once for all numbers of directions, and radii that targets share are evaluated once for
all targets under vmap; targets of different radii share nothing. The rival is the loop that a
script would otherwise write.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxdepth as jd
from experiments.benchmarks._timing import machine, seconds
from jaxdepth.radial import Ball, Bounded, Certified, Cosine

TARGETS, LOOPED = 1000, 40
METHOD = Bounded(cutoff=8.0, panels_u=16, panels_z=2)
ROW = "{:<62} {:>10} {:>12} {:>8}"


def pair_seconds(dim: int, points: int) -> float:
    """Time J_{d/2−1} alone at as many points, in float64."""
    with jax.enable_x64(True):
        z = jnp.linspace(0.01, 900.0, min(points, 2**22))
        below = jax.jit(lambda z: jd.radial.bessel_pair(dim / 2, z)[1])
        return seconds(lambda: below(z).block_until_ready()) * points / z.size


def many_directions() -> None:
    """Certify cos 4z in ten dimensions for one k and for a thousand, up to the same k."""
    target = Cosine(4.0, 63.5)
    one = seconds(lambda: jd.radial.certify(target, 10, 1e9))
    many = seconds(lambda: jd.radial.certify(target, 10, np.geomspace(1, 1e9, 1000)))
    pairs = (128 + 16) * 48 * 24 * 32  # panels and nodes, in u and in z, that `Bounded` chooses
    bare = pair_seconds(10, pairs)
    print(ROW.format("cos 4z, d = 10, one k", f"{one:.2f} s", f"{bare:.2f} s", f"{one / bare:.2f}"))
    print(ROW.format("  1,000 values of k", f"{many:.2f} s", f"{one:.2f} s", f"{many / one:.2f}"))


def many_targets(name: str, frequencies: np.ndarray, radii: Any) -> None:
    """Certify a thousand targets in four dimensions under vmap, and some of them in a loop."""

    def floor(frequency: Any, radius: Any) -> Any:
        return jd.radial.certify(Cosine(frequency, radius), 4, 100.0, method=METHOD).floor

    shared = np.ndim(radii) == 0
    with jax.enable_x64(True):
        batched = jax.jit(jax.vmap(floor, (0, None if shared else 0)))
        together = seconds(lambda: batched(frequencies, radii).block_until_ready(), 2)
    each = np.broadcast_to(radii, frequencies.shape)
    alone = seconds(
        lambda: [floor(s, b) for s, b in zip(frequencies[:LOOPED], each[:LOOPED], strict=True)], 2
    )
    loop = alone * TARGETS / LOOPED
    print(ROW.format(name, f"{together:.2f} s", f"{loop:.1f} s", f"{loop / together:.0f}"))


def grades(name: str, target: Any, dim: int, k: float) -> None:
    """Compare the two grades: seconds, and by how much their floors differ."""
    bounded = seconds(lambda: jd.radial.certify(target, dim, k))
    proven = seconds(lambda: jd.radial.certify(target, dim, k, method=Certified()), 1)
    methods = (Bounded(), Certified())
    floors = [float(jd.radial.certify(target, dim, k, method=m).floor) for m in methods]
    print(
        ROW.format(name, f"{bounded:.2f} s", f"{proven:.1f} s", f"{bounded / proven:.2f}"),
        f"floors {floors[0]:.6f}, {floors[1]:.6f}, apart by {abs(floors[0] - floors[1]):.0e}",
    )


def main() -> None:
    """Print the tables."""
    print(machine())
    print(ROW.format("certify", "ours", "floor, one", "ratio"))
    many_directions()
    frequencies = np.linspace(2, 4, TARGETS)
    print(ROW.format(f"{TARGETS} targets, d = 4", "vmap", "loop", "loop/vmap"))
    many_targets("frequencies 2 to 4, one radius", frequencies, 8.0)
    many_targets("and radii 7 to 9", frequencies, np.linspace(7, 9, TARGETS))
    print(ROW.format("grades", "bounded", "certified", "ratio"))
    grades("ball of radius 2, d = 3, k = 35", Ball(2.0), 3, 35.0)
    grades("cos 4z up to 63.5, d = 10, k = 4e5", Cosine(4.0, 63.5), 10, 4e5)
    grades("cos 4z up to 20√20, d = 20, k = 1e12", Cosine(4.0, 20 * math.sqrt(20)), 20, 1e12)


if __name__ == "__main__":
    main()
