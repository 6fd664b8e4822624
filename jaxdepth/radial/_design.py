"""Designs of a 3-layer network: where the knots of its profile lie, and how far its squares reach.

All in z units: a design is scaled to points of R^d only when its network is built.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from jaxdepth.networks._units import UnitSum, profile_units, squares
from jaxdepth.radial._targets import AbstractTarget

Values = np.ndarray

_GRADING = 0.6  # by which share of its distance from a jump a Gaussian's gap grows
_SHARPEST = 5e-4  # in edge²; of gaps over many more octaves Gaussians make ripples, not plateaus
_SAMPLES = 2048


class Design(NamedTuple):
    """A network but for its dimension: the arguments of `RadialNetwork.from_profile`.

    Attributes:
        knots: radii.
        values: of the profile there.
        radius: up to which the squares are approximated.
        units: of the squares.
        activation: of layer 1.
        profile: of layer 2.
    """

    knots: Values
    values: Values
    radius: float
    units: int
    activation: str
    profile: str

    def nodes(self) -> UnitSum:
        """Return layer 2 as a function of s."""
        return profile_units(self.profile, self.knots**2, self.values)

    def squares_error(self, dim: int) -> float:
        """Bound |s − z²| up to the radius, δ."""
        return dim * squares(self.activation, self.radius, self.units)[1]

    def num_neurons(self, dim: int) -> int:
        """Count the neurons of both hidden layers."""
        first = squares(self.activation, self.radius, self.units)[0].bias.size
        return dim * first + self.knots.size - (self.profile in ("step", "sigmoid"))


class Pieces(NamedTuple):
    """A target on the host: between breaks a line times cos(wave·z), and 0 beyond the last.

    Attributes:
        breaks: radii from 0 on, increasing.
        left: of the lines.
        right: of the lines.
        wave: a frequency.
        lipschitz: a Lipschitz constant for each piece.
        scale: what g was divided by, so that |g| ≤ 1.
    """

    breaks: Values
    left: Values
    right: Values
    wave: float
    lipschitz: Values
    scale: float

    def __call__(self, z: Values, piece: Values | int) -> Values:
        """Evaluate g at z, on given pieces."""
        start, end = self.breaks[piece], self.breaks[np.add(piece, 1)]
        share = (z - start) / (end - start)
        line = self.left[piece] * (1 - share) + self.right[piece] * share
        return line * np.cos(self.wave * z)

    def jumps(self) -> tuple[Values, Values]:
        """Evaluate g on the two sides of every break but 0, the last being the radius."""
        wave = np.cos(self.wave * self.breaks[1:])
        return self.right * wave, np.append(self.left[1:], 0.0) * wave


def pieces(target: AbstractTarget) -> Pieces:
    """Read a target's segments, not all zero; before the first there is another, where g = 0."""
    segments = target.segments
    breaks, left, right = (np.asarray(row, np.float64) for row in segments[:3])
    kept = np.flatnonzero(np.diff(breaks) > 0)
    breaks, left, right = np.append(breaks[kept], breaks[-1]), left[kept], right[kept]
    if breaks[0] > 0:
        breaks, left, right = (np.append(0.0, row) for row in (breaks, left, right))
    wave, scale = float(segments.wave), float(target.regularity.bound)
    left, right = left / scale, right / scale
    sizes = np.maximum(np.abs(left), np.abs(right))
    lipschitz = np.abs(right - left) / np.diff(breaks) + wave * sizes
    return Pieces(breaks, left, right, wave, lipschitz, scale)


class Layout(NamedTuple):
    """How finely a design is made.

    Attributes:
        units: of the squares.
        density: knots per 1/lipschitz; Gaussians' gaps grow with the distance from a jump, by
            0.6/density of it.
        ramp: half the width of the ramp across a jump, in s and over δ.
        treads: parts of a ramp, which only steps need.
    """

    units: int
    density: float
    ramp: float
    treads: int = 1


def design(g: Pieces, dim: int, activation: str, profile: str, layout: Layout) -> Design | None:
    """Lay knots through g, with a ramp across every jump b, from s = b² − r to b² + r.

    Far steeper than δ a ramp would be lost on it, far flatter it costs by itself. Constant pieces
    need no knots but for Gaussians, which have to carry them.

    Returns:
        None where δ leaves no room for the ramps.
    """
    edge, rbf = float(g.breaks[-1]), profile == "rbf"
    # The squares must reach s = edge² + beyond·r, where what falls like a sigmoid is over.
    beyond = 1.0 if profile in ("relu", "step") else 4.0
    share = dim * squares(activation, 1.0, layout.units)[1]
    left = 1 - (1 + beyond * layout.ramp) * share
    if left <= 0.1:
        return None
    r = layout.ramp * max(share / left, _SHARPEST if rbf else 0.0) * edge**2
    radius = math.sqrt((edge**2 + beyond * r) / (1 - share)) * (1 + 1e-9)

    before, after = g.jumps()
    rise = after - before
    half = np.append(0.0, np.where(rise != 0, r, 0.0))  # widths at all breaks
    starts, ends = g.breaks[:-1] ** 2 + half[:-1], g.breaks[1:] ** 2 - half[1:]
    if not (starts < ends).all():
        return None
    start_of_next = np.append(starts[1:], np.inf)
    knots: list[Values] = []
    values: list[Values] = []
    for piece, (start, end) in enumerate(zip(starts, ends, strict=True)):
        s = _spread(start, end, layout.density, half[piece : piece + 2], g.lipschitz[piece], rbf)
        z = np.clip(np.sqrt(s), g.breaks[piece], g.breaks[piece + 1])
        at = g(z, piece)
        up = np.arange(1, layout.treads) / layout.treads if rise[piece] else np.zeros(0)
        if s.size and s[-1] == start_of_next[piece]:
            s, at = s[:-1], at[:-1]
        knots, values = [*knots, s], [*values, at]
        knots += [end + 2 * half[piece + 1] * up]
        values += [before[piece] + rise[piece] * up]
    if rise[-1]:
        # A Gaussian one gap further on keeps the sum from overshooting.
        knots += [edge**2 + r * np.array([1.0, 3.0] if rbf else [1.0])]
        values += [np.zeros(knots[-1].size)]
    s, at = np.concatenate(knots), np.concatenate(values)
    return Design(np.sqrt(s), at, radius, layout.units, activation, profile)


def _spread(
    start: float, end: float, density: float, half: Values, lipschitz: float, rbf: bool
) -> Values:
    """Place knots from s = start to end, `density`·lipschitz of them in a unit of z.

    Or more: Gaussians' gaps are 2·half next to a jump and grow in proportion to the distance from
    it. Knots are at equal steps of the integral of their density.
    """
    if lipschitz == 0 and not rbf:
        inner = [start] if half[0] else []
        return np.array([*inner, end] if half[1] else inner)
    near = np.geomspace(1e-14, 0.5, _SAMPLES)  # of either end, where graded gaps are small
    share = np.concatenate([[0.0], near, 1 - near[-2::-1], [1.0]])
    s = start + (end - start) * share
    per_s = density * lipschitz / (2 * np.sqrt(np.maximum(s, 1e-14 * end)))
    for width, distance in zip(half, (s - start, end - s), strict=True):
        if rbf and width:
            per_s = np.maximum(per_s, 1 / (2 * width + _GRADING / density * distance))
    steps = (per_s[1:] + per_s[:-1]) / 2 * np.diff(s)
    total = np.append(0.0, np.cumsum(steps))
    num = max(1, math.ceil(total[-1]))
    return np.append(np.interp(np.linspace(0, total[-1], num + 1)[:-1], total, s), end)
