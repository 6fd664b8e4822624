"""A target's masses on parts of the frequency axis, and the shares of tubes, as Arb's balls."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from jaxdepth.radial._ball_bessel import BallBessel
from jaxdepth.radial._hankel import RHO
from jaxdepth.radial._masses import NODES_U, PARTS, Sizes, edges_of
from jaxdepth.radial._targets import AbstractTarget


class Enclosure(NamedTuple):
    """Balls that hold the truth.

    Attributes:
        norm_squared: ‖g‖².
        masses: ∫ m over the parts, in order.
        shares: of one tube in the sphere, at the parts' left ends and at U.
        inside: whether a part's left end is below 1.
        bound: of |g|.
    """

    norm_squared: Any
    masses: list[Any]
    shares: list[Any]
    inside: np.ndarray
    bound: float


def flint() -> Any:
    """Import python-flint, or say how to get it."""
    try:
        import flint
    except ImportError as error:
        raise ImportError(
            "Ball arithmetic needs python-flint: `pip install jaxdepth[certified]`."
        ) from error
    return flint


def enclose(target: AbstractTarget, dim: int, sizes: Sizes, cutoff: float) -> Enclosure:
    """Enclose masses and shares at the precision in force."""
    problem = _Problem.of(target, dim, sizes)
    edges = np.asarray(edges_of(sizes.panels_u, cutoff, np))
    arb = flint().arb
    bessel = BallBessel(dim - 2, float(edges[-1]) * problem.radius * (1 + 1e-9))
    radii = [float(z.mid()) for z in problem.z]
    rule = _part_rule()
    columns, errors = [], []
    for left, right in pairwise(edges):
        half, middle = (arb(right) - arb(left)) / 2, (arb(right) + arb(left)) / 2
        column = []
        for x in _chebyshev_nodes():
            u = middle + half * x
            k = problem.transform(u, bessel, radii)
            column.append(half * dim * u * k * k)
        columns.append(column)
        errors.append(2 * half / PARTS * problem.interpolation_error(left, right))
    matrix = flint().arb_mat
    values = matrix([list(row) for row in zip(*columns, strict=True)])
    masses = rule * values
    flat, shares, inside = [], [], []
    for p, (left, right) in enumerate(pairwise(edges)):
        for s in range(PARTS):
            flat.append(masses[s, p] + arb(0, errors[p].upper()))
            start = arb(left) + (arb(right) - arb(left)) * s / PARTS
            shares.append(_share(dim, start))
            inside.append(bool(start < 1))
    shares.append(_share(dim, arb(edges[-1])))
    return Enclosure(problem.norm_squared, flat, shares, np.asarray(inside), problem.bound)


def _share(dim: int, u: Any) -> Any:
    """Enclose I_{1/u²}((d−1)/2, ½), or 1 where u ≤ 1."""
    arb = flint().arb
    if dim == 1 or not u > 1:
        return arb(1)
    return (1 / (u * u)).beta_lower(arb(dim - 1) / 2, arb(1) / 2, True)


class _Problem(NamedTuple):
    """A loaded quadrature rule in z, and what bounds its errors."""

    dim: int
    z: list[Any]
    load: list[Any]
    norm_squared: Any
    radius: float
    width: float
    bound: float
    wave: float
    nodes: int

    @classmethod
    def of(cls, target: AbstractTarget, dim: int, sizes: Sizes) -> _Problem:
        arb = flint().arb
        g = [np.asarray(leaf, np.float64) for leaf in target.segments]
        breaks, left, right, wave, _, break_error = g
        panels, nodes = sizes.rule
        points = [arb.legendre_p_root(nodes, i, True) for i in range(nodes)]
        ends = [arb(float(b), float(b * break_error)) for b in breaks]
        z, load, norm = [], [], arb(0)
        for j in range(left.size):
            if breaks[j] == breaks[j + 1] or (left[j] == 0 and right[j] == 0):
                continue
            width, low, rise = ends[j + 1] - ends[j], arb(left[j]), arb(right[j]) - arb(left[j])
            for panel in range(panels):
                for x, weight in points:
                    share = (panel + (x + 1) / 2) / panels
                    at = ends[j] + width * share
                    value = (low + rise * share) * (arb(float(wave)) * at).cos()
                    order, scale = at.bessel_j(arb(dim) / 2), width * weight / (2 * panels)
                    z.append(at)
                    load.append(scale * value * order)
                    norm += scale * value * value * dim * order * order / at
        about = target.regularity
        problem = cls(
            dim,
            z,
            load,
            arb(0),
            float(breaks[-1]) * (1 + 2.0**-48),
            float(np.max(np.diff(breaks)) + 4 * break_error * breaks[-1]) / panels * (1 + 2.0**-48),
            float(about.bound),
            float(wave),
            nodes,
        )
        # d·J_ν²/z is at most 2e^{2|Im z|} for integer ν and (2d/π)e^{2|Im z|} for half-integer ν.
        level = arb(2) if dim % 2 == 0 else 2 * arb(dim) / arb.pi()
        error = problem._gauss_error(arb(2), 2, lambda _: level) * arb(problem.bound) ** 2
        return problem._replace(norm_squared=norm + arb(0, error.upper()))

    def transform(self, u: Any, bessel: BallBessel, radii: list[float]) -> Any:
        """Enclose K(u) = ∫ g J_ν(z) J_{ν−1}(uz) dz."""
        arb = flint().arb
        near = float(u.mid())
        total = arb(0)
        for load, z, radius in zip(self.load, self.z, radii, strict=True):
            total += load * bessel(u * z, near * radius)

        def level(reach: Any) -> Any:
            if self.dim % 2 == 0:
                return arb(1)
            return 2 / arb.pi() * (1 / u.sqrt() if self.dim == 1 else u.sqrt() * reach)

        error = self._gauss_error(1 + u, 1, level) * arb(self.bound)
        return total + arb(0, error.upper())

    def _gauss_error(self, rate: Any, power: int, level: Any) -> Any:
        """Bound the composite rule's error, as `_hankel` derives it, on one good ellipse."""
        arb = flint().arb
        speed = float(rate.upper()) + power * self.wave
        logs = speed * self.width / 4 * (RHO - 1 / RHO) + (power - 2 * self.nodes) * np.log(RHO)
        rho = arb(float(RHO[int(np.argmin(logs))]))
        exact = rate + power * arb(self.wave)
        height, reach = (
            arb(self.width) / 4 * (rho - 1 / rho),
            arb(self.radius) + arb(self.width) / 4 * (rho + 1 / rho - 2),
        )
        size = level(reach) * (exact * height).exp() * rho ** (power - 2 * self.nodes)
        return arb(self.radius) / 2 * arb(64) / 15 * size / (1 - rho**-2)

    def interpolation_error(self, left: float, right: float) -> Any:
        """Bound the error of m's interpolant on [left, right], as `_masses` derives it."""
        arb = flint().arb
        half, middle = (right - left) / 2, (right + left) / 2
        # |u|² at the most is charged: reach^2 in odd dimensions, reach in even ones, none in one.
        degree = 0 if self.dim == 1 else 2 - (self.dim % 2 == 0)
        reach = middle + half / 2 * (RHO + 1 / RHO)
        logs = self.radius * half * (RHO - 1 / RHO) - NODES_U * np.log(RHO)
        rho = arb(float(RHO[int(np.argmin(logs + degree * np.log(reach)))]))
        exact_half, exact_middle = (arb(right) - arb(left)) / 2, (arb(right) + arb(left)) / 2
        farthest = exact_middle + exact_half / 2 * (rho + 1 / rho)
        radius = arb(self.radius)
        if self.dim % 2 == 0:
            level = farthest * radius**2 / 2
        elif self.dim == 1:
            level = 2 * radius / arb.pi()
        else:
            level = 2 * radius**3 / (3 * arb.pi()) * farthest**2
        growth = (radius * exact_half * (rho - 1 / rho)).exp()
        return 4 * arb(self.bound) ** 2 * level * growth * rho**-NODES_U / (1 - 1 / rho)


def _chebyshev_nodes() -> list[Any]:
    arb = flint().arb
    return [((arb(2 * i + 1)) / (2 * NODES_U)).cos_pi() for i in range(NODES_U)]


def _part_rule() -> Any:
    """Return the matrix from values at the Chebyshev nodes to masses on equal parts of [−1, 1]."""
    arb, matrix = flint().arb, flint().arb_mat
    ends = [arb(2 * s - PARTS) / PARTS for s in range(PARTS + 1)]
    primitive = [[_primitive(k, x) for k in range(NODES_U)] for x in ends]
    increments = [
        [after - before for before, after in zip(*rows, strict=True)]
        for rows in pairwise(primitive)
    ]
    coefficients = [
        [
            (arb(k * (2 * i + 1)) / (2 * NODES_U)).cos_pi() * (2 if k else 1) / NODES_U
            for i in range(NODES_U)
        ]
        for k in range(NODES_U)
    ]
    return matrix(increments) * matrix(coefficients)


def _primitive(k: int, x: Any) -> Any:
    """∫ T_k = ½(T_{k+1}/(k+1) − T_{k−1}/(k−1)) for k ≥ 2; x and x²/2 for k = 0, 1."""
    if k < 2:
        return x if k == 0 else x * x / 2
    return (x.chebyshev_t(k + 1) / (k + 1) - x.chebyshev_t(k - 1) / (k - 1)) / 2
