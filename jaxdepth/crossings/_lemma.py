"""The lemma in action: how well a classifier of few intervals can follow one of many.

Let f have s_f label regions, and let w ≥ 0 weigh their points. A classifier g of s_g label
intervals pays w wherever it disagrees with f. A cut of g inside a region of f may move to that end
of it which makes the region right throughout, and nothing else changes: some optimal g changes
label only where f does. So g is one label for each region, and the best one is found by a dynamic
programme over (region, label, intervals begun), in exact arithmetic.

Reference:
    Telgarsky, "Benefits of depth in neural networks", COLT 2016, Lemma 3.1 and Theorem 3.19.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdepth._misc import (
    RealLike,
    check_finite,
    check_integer,
    check_real,
    is_real,
    is_traced,
    refuse,
)
from jaxdepth.bounds import telgarsky16_disagreement_lower
from jaxdepth.networks import AffineLayer
from jaxdepth.networks._scalar import as_float
from jaxdepth.piecewise import Pieces
from jaxdepth.piecewise._pieces import prepare
from jaxdepth.piecewise._rational import TooManyPiecesError, enumerate_rational

Loss = Literal["l1", "labels", "regions"]

_TABLE = 2**31


def min_disagreement(s_f: int, s_g: int) -> int:
    """Return the fewest regions of f on which a classifier of s_g intervals is wrong throughout.

    Exactly max(0, ⌈(s_f − s_g)/2⌉), for exactly or at most s_g intervals. No cut need lie inside a
    region (see above), and an interval of g that holds c regions is wrong on at least ⌊c/2⌋: as for
    the points of `bounds.alternating_error_lower`. Lemma 3.1 of Telgarsky 2016 has s_f/2 − s_g.

    Args:
        s_f: Cr(f), at least 1.
        s_g: Cr(g), at least 1.

    Returns:
        A Python int.

    Raises:
        ValueError: an argument that is not a positive integer.

    Example:
        >>> min_disagreement(1025, 33)
        496
    """
    s_f, s_g = check_integer("s_f", s_f, 1), check_integer("s_g", s_g, 1)
    return max(0, (s_f - s_g + 1) // 2)


class ShallowClassifier(eqx.Module):
    """An optimal classifier of few intervals, and what it cannot avoid.

    Attributes:
        edges: where its label changes, ascending: the first float64 of each new label.
        labels: its labels from left to right, one more.
        error: its loss, exactly: no classifier of as few intervals has less.
        lemma: what Lemma 3.1 grants of it: the weight of as many regions as are wrong throughout by
            the lemma, if they were the lightest.
        regions: s_f, the label regions of f.

    Example:
        >>> from jaxdepth.networks import Sawtooth
        >>> best = best_shallow(Sawtooth(2), 3)
        >>> best.regions, best.labels.size, best.error
        (5, 3, Fraction(1, 4))
        >>> float(best(0.0))
        0.0
    """

    edges: Float[np.ndarray | Array, " cuts"]
    labels: Bool[np.ndarray | Array, " cuts_plus_1"]
    error: Fraction = eqx.field(static=True)
    lemma: Fraction = eqx.field(static=True)
    regions: int = eqx.field(static=True)

    def __call__(self, x: RealLike) -> Float[Array, ""]:
        """Return the label at one real number, 0.0 or 1.0; NaN at NaN."""
        x = as_float(x)
        # x ≥ edge just where x is at least the first float of its own dtype that is.
        xp: Any = np if isinstance(self.edges, np.ndarray) else jnp
        with np.errstate(over="ignore"):
            near = self.edges.astype(x.dtype)
        short = near.astype(self.edges.dtype) < self.edges
        edges = xp.where(short, xp.nextafter(near, xp.full_like(near, np.inf)), near)
        place = jnp.searchsorted(jnp.asarray(edges), x, side="right")
        return jnp.where(jnp.isnan(x), x, jnp.asarray(self.labels)[place].astype(x.dtype))


def best_shallow(
    f: Any,
    intervals: int,
    *,
    loss: Loss = "labels",
    interval: tuple[Any, Any] | None = None,
    level: Any = 0.5,
    max_pieces: int = 2**22,
) -> ShallowClassifier:
    """Find the classifier of at most `intervals` label intervals that is nearest to f, exactly.

    The labels of f are f̃ = 1[f ≥ level], those of a g with Cr(g) ≤ s are g̃. The loss is, over the
    interval (over the points of a sample: the mean),

      - "labels": the measure of {x: f̃(x) ≠ g̃(x)}, attained;
      - "l1": inf ∫|f − g| over every such g: where g̃ agrees with f̃ let g be f, and elsewhere just
        across the level, at the cost of |f − level|. On m^K this is `bounds.l1_gap`;
      - "regions": the fraction of f's label regions on which g̃ ≠ f̃ throughout, that is
        `min_disagreement(s_f, s)/s_f`.

    Args:
        f: a piecewise linear network R → R, taken as its stored weights; a `Pieces`, taken as the
            line through its stored breakpoints and values; or a sample, a pair (x, y) of arrays of
            one shape (n,), no x twice.
        intervals: s, at least 1.
        loss: "labels", "l1" or "regions".
        interval: (start, end) for a network, (0, 1) where None; None for the others, which are
            taken whole.
        level: a finite number; a Fraction stays exact.
        max_pieces: refuse a network with more affine pieces.

    Returns:
        A `ShallowClassifier`; among the optimal ones, of the fewest intervals. Time and memory grow
        with the product of s and the number of f's regions.

    Raises:
        ValueError: an f that cannot be read so, tracers (this is a host method), an `interval`
            beside pieces or a sample, a setting out of range, more regions and intervals than a
            table of 2^31 bytes has room for.

    Example:
        >>> from jaxdepth.networks import Sawtooth
        >>> best = best_shallow(Sawtooth(5), 8, loss="l1")
        >>> best.error, best.lemma
        (Fraction(25, 256), Fraction(1, 16))

    Reference:
        Derived here, at the head of this file; Telgarsky 2016, Lemma 3.1 and Theorem 3.19 bound
        from below what this computes.
    """
    intervals = check_integer("intervals", intervals, 1)
    if loss not in ("l1", "labels", "regions"):
        refuse("loss", "'labels', 'l1' or 'regions'", loss)
    if is_traced(f, interval, level):
        refuse("f", "concrete, like `interval` and `level`", "a tracer", "This is a host method.")
    threshold = Fraction(check_real("level", level))
    if isinstance(f, tuple) and not any(isinstance(entry, AffineLayer) for entry in f):
        regions = _regions_of_sample(*_sample(f, interval), threshold, loss)
    else:
        regions = _regions_of_graph(*_graph(f, interval, max_pieces), threshold, loss)
    return _nearest(regions, intervals)


class _Regions(NamedTuple):
    """The label regions of f: edges between them, weights, and the label of the first."""

    edges: list[Fraction]
    weights: list[Fraction]
    first: bool


def _graph(f: Any, interval: Any, max_pieces: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the kinks of f and its values there, as Fractions."""
    if isinstance(f, Pieces):
        if interval is not None:
            refuse("interval", "None beside `Pieces`, which know theirs", interval)
        if np.ndim(f.breakpoints) != 1:
            refuse("f", "the pieces of one network", f"a stack {np.shape(f.breakpoints)}")
        if not f.num:
            refuse("f", "pieces that were enumerated", str(f.result))
        check_finite("f", (f.breakpoints, f.values))
        return _fractions(f.breakpoints), _fractions(f.values)
    layers, start, end = prepare(
        f, (0.0, 1.0) if interval is None else interval, "best_shallow", "f"
    )
    try:
        x, y = enumerate_rational(layers, start, end, check_integer("max_pieces", max_pieces, 1))
    except TooManyPiecesError:
        refuse("max_pieces", "no less than the network's affine pieces", max_pieces)
    return _objects(x), _objects(y)


def _sample(f: tuple[Any, ...], interval: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of a sample in order and their values, as Fractions."""
    if interval is not None:
        refuse("interval", "None beside a sample, which is taken whole", interval)
    pair = "a pair of real arrays of one shape (n,), n ≥ 1"
    if len(f) != 2 or not all(isinstance(each, (np.ndarray, Array)) for each in f):
        refuse("f", pair, f)
    x, y = map(np.asarray, f)
    if x.shape != y.shape or x.ndim != 1 or not x.size or not (is_real(x.dtype) & is_real(y.dtype)):
        refuse("f", pair, [f"{each.dtype}{list(each.shape)}" for each in (x, y)])
    check_finite("f", (x, y))
    order = np.argsort(x)
    if not np.all(x[order[1:]] > x[order[:-1]]):
        refuse("f", "a sample in which no x occurs twice", x)
    return _fractions(x[order]), _fractions(y[order])


def _fractions(array: Any) -> np.ndarray:
    return _objects([Fraction(value) for value in np.asarray(array).tolist()])


def _objects(values: list[Fraction]) -> np.ndarray:
    return np.array(values, dtype=object)


def _regions_of_graph(x: np.ndarray, y: np.ndarray, level: Fraction, loss: Loss) -> _Regions:
    """Cut the graph where it crosses the level, and weigh what lies between two cuts."""
    gap = y - level
    above = np.array([value >= 0 for value in gap])
    at = np.flatnonzero(above[1:] != above[:-1])
    roots = x[at] - gap[at] * (x[at + 1] - x[at]) / (gap[at + 1] - gap[at])
    nodes, heights = np.insert(x, at + 1, roots), np.insert(abs(gap), at + 1, 0)
    starts = np.append(0, at + 1 + np.arange(len(at)))
    width = np.diff(nodes)
    parts = {
        "labels": width,
        "l1": width * (heights[1:] + heights[:-1]) / 2,  # one sign between two nodes
        "regions": None,
    }[loss]
    return _regions(roots, parts, starts, above[0])


def _regions_of_sample(x: np.ndarray, y: np.ndarray, level: Fraction, loss: Loss) -> _Regions:
    """Gather neighbouring points of one label; edges halfway between two regions."""
    above = np.array([value >= level for value in y])
    last = np.flatnonzero(above[1:] != above[:-1])
    parts = {
        "labels": _objects([Fraction(1, len(x))] * len(x)),
        "l1": abs(y - level) / len(x),
        "regions": None,
    }[loss]
    return _regions((x[last] + x[last + 1]) / 2, parts, np.append(0, last + 1), above[0])


def _regions(edges: np.ndarray, parts: Any, starts: np.ndarray, first: Any) -> _Regions:
    if parts is None:
        weights = [Fraction(1, len(starts))] * len(starts)
    else:
        weights = np.add.reduceat(parts, starts).tolist()
    return _Regions(edges.tolist(), weights, bool(first))


def _nearest(regions: _Regions, intervals: int) -> ShallowClassifier:
    number = len(regions.weights)
    common = math.lcm(*(weight.denominator for weight in regions.weights))
    whole = [int(weight * common) for weight in regions.weights]
    truth = (np.arange(number) + regions.first) % 2
    most = min(intervals, number)
    if 2 * most * number > _TABLE:
        cure = f"A table of twice their product has room for {_TABLE:,} bytes."
        refuse("intervals", f"fewer, f having {number:,} label regions", intervals, cure)
    labels, error = _dynamic_programme(whole, truth, most)
    cuts = np.flatnonzero(labels[1:] != labels[:-1])
    wrong = math.ceil(number * telgarsky16_disagreement_lower(number, intervals))
    return ShallowClassifier(
        edges=np.array([_start(regions.edges[cut], bool(truth[cut])) for cut in cuts]),
        labels=labels[np.append(0, cuts + 1)],
        error=Fraction(error, common),
        lemma=Fraction(sum(sorted(whole)[:wrong]), common),
        regions=number,
    )


def _start(edge: Fraction, falls: bool) -> float:
    """Return the first float64 right of an edge; the edge itself is of the region above."""
    near = float(edge)
    beyond = near > edge or (near == edge and not falls)
    return near if beyond else math.nextafter(near, math.inf)


def _dynamic_programme(weights: list[int], truth: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """Return the best label of every region, with at most `most` intervals, and its cost.

    best[label, n] is the least cost of the regions so far, the last of them labelled so and n + 1
    intervals begun. The integers are NumPy's where they fit, else Python's.
    """
    out_of_reach = sum(weights) + 1
    best = np.full((2, most), out_of_reach, np.int64 if out_of_reach < 2**61 else object)
    best[:, 0] = 0
    best[1 - truth[0], 0] = weights[0]
    begun = np.zeros((len(weights), 2, most), bool)
    for region in range(1, len(weights)):
        switched = np.full_like(best, out_of_reach)
        switched[:, 1:] = best[::-1, :-1]
        begun[region] = switched < best
        best = np.where(begun[region], switched, best)
        best[1 - truth[region]] += weights[region]
    # The first least one in this order has the fewest intervals.
    last, label = divmod(int(np.argmin(best.T.ravel())), 2)
    error = int(best[label, last])
    labels = np.zeros(len(weights), bool)
    for region in reversed(range(len(weights))):
        labels[region] = label
        if begun[region, label, last]:
            label, last = 1 - label, last - 1
    return labels, error
