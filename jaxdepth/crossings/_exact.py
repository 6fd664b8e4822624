"""Exact counting of piecewise linear networks: one on the host, a stack in one compiled program."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import equinox as eqx
import jax
import numpy as np

from jaxdepth._misc import check_integer, is_traced, refuse, require_x64
from jaxdepth.crossings._answer import CrossingCount
from jaxdepth.crossings._count import AbstractCounter
from jaxdepth.crossings._exact_stack import count_stack
from jaxdepth.crossings._exact_traced import count_traced
from jaxdepth.crossings._rational import Rational, overflowed, proven
from jaxdepth.piecewise._float64 import AmbiguousError, enumerate_float64
from jaxdepth.piecewise._model import against, undecided
from jaxdepth.piecewise._pieces import prepare
from jaxdepth.piecewise._rational import TooManyPiecesError
from jaxdepth.piecewise._stack import Stack, member, stack_of
from jaxdepth.piecewise._traced import Room

_SAMPLED = 8  # networks of a stack that are enumerated on the host, to learn what room they need
_SPREAD = 4  # standard deviations that are allowed for
_SIZES = [m * 2**k for k in range(60) for m in range(8, 16)]


class Exact(AbstractCounter):
    """Count piecewise linear networks exactly: float64 under a rigorous bound, rationals in doubt.

    The count is of the stored weights, whatever their precision. Every kink is enumerated with a
    bound on its rounding error.
      - One concrete network: Python ints. A sign that the bound does not settle (a touching
        maximum, coincident kinks, zero biases) sends it to `Rational`, as the ends of the interval
        and the level do where they are Fractions that no float64 holds.
      - A stack of concrete networks (all arrays with a leading axis, as `eqx.filter_vmap` of a
        constructor makes them): arrays, shape (networks,), from one compiled program; the few that
        it leaves unsettled are counted one by one.
      - Under a caller's jit, vmap or grad, with 64-bit on: integer arrays. What is not settled is
        `unresolved`, `lower` and `upper` say between which bounds, and nothing else is tried.

    Attributes:
        max_pieces: hold at most so many affine pieces of one network; beyond, `result` says
            `overflow` and `upper` is Serra et al.'s bound Π(n_i + 1) + 1 (math.inf where that has
            thousands of digits) and `value` only the trivial lower bound 1.
        capacity: in a compiled program, room for so many kinks of one layer; None is twice its
            width and at least 64, more than random networks have. Beyond, `result` says `overflow`
            (and the networks of a concrete stack are counted one by one).
        dyadic: under a trace, look for numbers that do not round at all, by which kinks at one
            place and touching maxima are told. Weights made by theory (sawtooths, squares) need
            it; random ones are counted in half the time without, and are as seldom unresolved.

    Raises:
        ValueError: a setting that is no positive integer; in a count, a network that is not
            piecewise linear, a trace with 64-bit off.

    Example:
        >>> import equinox as eqx, jax
        >>> from jaxdepth.crossings import count
        >>> from jaxdepth.networks import MLP, Sawtooth
        >>> count(Sawtooth(6, teeth=3), Exact()).value
        46657
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> nets = eqx.filter_vmap(lambda key: MLP((1, 8, 1), key=key))(keys)
        >>> count(nets, Exact(), level=0.0).value.shape
        (3,)
    """

    max_pieces: int = eqx.field(static=True)
    capacity: int | None = eqx.field(static=True)
    dyadic: bool = eqx.field(static=True)

    def __init__(
        self, *, max_pieces: int = 2**22, capacity: int | None = None, dyadic: bool = True
    ) -> None:
        self.max_pieces = check_integer("max_pieces", max_pieces, 1)
        self.capacity = None if capacity is None else check_integer("capacity", capacity, 1)
        if not isinstance(dyadic, bool):
            refuse("dyadic", "True or False", dyadic)
        self.dyadic = dyadic

    def __call__(self, fn: Any, interval: tuple[Any, Any], level: Any) -> CrossingCount:
        """Count; see `count`."""
        if is_traced(fn, interval, level):
            require_x64("Exact")
            return count_traced(fn, *interval, level, self.capacity, dyadic=self.dyadic)
        stack = stack_of(fn)
        if stack is None:
            return self._one(fn, interval, level)
        if not all(Fraction(float(edge)) == edge for edge in (*interval, level)):
            return _stacked([self._one(member(fn, i), interval, level) for i in range(stack.size)])
        start, end = map(float, interval)
        room = self.capacity or self._room(fn, stack, interval)
        found = count_stack(fn, stack.size, start, end, float(level), room)
        return self._settled(found, fn, interval, level)

    def _room(self, fn: Any, stack: Stack, interval: tuple[Any, Any]) -> tuple[Room, ...] | None:
        """Return room for most networks of a stack, by a few of them.

        A network of fewer layers than the stack's has padding for the rest, which brings no kinks.
        Few sizes are in use, eight for each power of two, so that few programs are compiled.
        """
        most = []
        for i in range(0, stack.size, -(-stack.size // _SAMPLED)):
            layers, start, end = prepare(member(fn, i), interval, "Exact", "fn")
            try:
                kinks = enumerate_float64(layers, start, end, self.max_pieces).kinks
            except (AmbiguousError, TooManyPiecesError):
                continue
            most.append(kinks + (0,) * (stack.num_layers - len(kinks)))
        if not most:
            return None
        brought = np.array(most)

        def wanted(found: np.ndarray) -> list[int]:
            amounts = found.mean(axis=0) + _SPREAD * found.std(axis=0) + 1
            return [next(n for n in _SIZES if n >= amount) for amount in amounts]

        return tuple(map(Room, wanted(brought), wanted(2 + brought.cumsum(axis=1))))

    def _settled(
        self, found: CrossingCount, fn: Any, interval: tuple[Any, Any], level: Any
    ) -> CrossingCount:
        """Count one by one the networks that the compiled program left open."""
        still_open = np.flatnonzero(~np.asarray(found.trusted))
        if not len(still_open):
            return found
        settled = _stacked([self._one(member(fn, i), interval, level) for i in still_open.tolist()])

        def filled(before: np.ndarray, after: np.ndarray) -> np.ndarray:
            whole = before.copy()
            whole[still_open] = after
            return whole

        return jax.tree.map(filled, found, settled)

    def _one(self, fn: Any, interval: tuple[Any, Any], level: Any) -> CrossingCount:
        layers, start, end = prepare(fn, interval, "Exact", "fn", level)
        try:
            found = enumerate_float64(layers, start, end, self.max_pieces)
            rounded = float(level)
            lost = 0.0 if Fraction(rounded) == level else 2.0**-52 * abs(rounded)
            above, doubt = against(np, found.h[:, 0], found.h_error[:, 0], rounded, lost)
            if np.any(undecided(above, doubt)):
                raise AmbiguousError
        except AmbiguousError:
            return Rational(max_pieces=self.max_pieces)(fn, interval, level)
        except TooManyPiecesError:
            return overflowed(layers)
        return proven(above >= 0)


def _stacked(answers: list[CrossingCount]) -> CrossingCount:
    """Return one answer of arrays from one for each network."""
    largest = np.iinfo(np.int64).max
    value, lower, upper = (
        np.array([min(int(number), largest) if number < largest else largest for number in column])
        for column in zip(*((a.value, a.lower, a.upper) for a in answers), strict=True)
    )
    trusted = np.array([bool(a.trusted) for a in answers])
    results = [a.result for a in answers]
    return CrossingCount(
        value, lower, upper, trusted, jax.tree.map(lambda *r: np.stack(r), *results)
    )
