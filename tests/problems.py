"""Functions on [0, 1] of known crossing number, and what makes each one hard."""

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from jaxdepth.networks import AffineLayer, Sawtooth


class Problem(NamedTuple):
    name: str
    layers: Any
    level: float
    crossings: int
    pieces: int
    hard: str


def _layer(weight, bias, slope, dtype=np.float64):
    arrays = [np.asarray(array, dtype) for array in (weight, bias, slope)]
    return AffineLayer(*arrays)


def branches(number: int, dtype: Any = np.float32) -> list[AffineLayer]:
    """`number` full branches on [0, 1] by as many ReLUs, the offsets rounded to `dtype`."""
    offsets = np.arange(number) / number
    turns = 2 * number * (-1.0) ** np.arange(number)
    turns[0] = number
    return [
        _layer(np.ones((number, 1)), -offsets, 0, dtype),
        _layer(turns[None], np.zeros(1), 1, dtype),
    ]


def line(slope: float, offset: float) -> AffineLayer:
    return _layer([[slope]], [offset], 1)


def evaluate(layers, x: Fraction) -> Fraction:
    """The network at a rational point, without rounding and without enumeration."""
    h = [x]
    for layer in layers:
        slope = Fraction(float(layer.negative_slope))
        weight, bias = np.asarray(layer.weight).tolist(), np.asarray(layer.bias).tolist()
        z = [
            sum((Fraction(w) * v for w, v in zip(row, h, strict=True)), Fraction(b))
            for row, b in zip(weight, bias, strict=True)
        ]
        h = [value if value > 0 else slope * value for value in z]
    return h[0]


MIRROR = Sawtooth(1).affine_layers()
# 14 − (192/11)relu(x − 1/16) + (104/11)relu(x − 12/16) − 16relu(14/16 − x): 4 branches, 3 ReLUs.
FOUR_BRANCHES = [
    _layer([[1], [1], [-1]], [-1 / 16, -12 / 16, 14 / 16], 0),
    _layer([[-192 / 11, 104 / 11, -16]], [14], 1),
]

PROBLEMS = [
    Problem("mirror", MIRROR, 0.5, 3, 2, "nothing"),
    Problem("mirror^10", MIRROR * 10, 0.5, 1025, 1024, "every kink of a layer meets an older one"),
    Problem("touching from below", [*MIRROR * 3, line(0.5, 0.0)], 0.5, 9, 8, "maxima equal ½"),
    Problem("touching from above", [*MIRROR, line(-0.5, 1.0)], 0.5, 1, 2, "a minimum equals ½"),
    Problem("constant at the level", [line(0.0, 0.5)], 0.5, 1, 1, "f ≡ level"),
    Problem("identity", [line(1.0, 0.0)], 0.5, 2, 1, "no kink"),
    Problem("level 1", MIRROR * 2, 1.0, 5, 4, "one-point label intervals"),
    Problem("level above", MIRROR * 4, 1.5, 1, 16, "no crossing"),
    Problem("three branches, float32", branches(3) * 6, 0.5, 730, 729, "⅓ is rounded"),
    Problem("five branches, float32", branches(5) * 4, 0.5, 626, 625, "⅕ is rounded"),
    Problem("seven branches, float32", branches(7) * 4, 0.5, 2402, 2515, "rounding adds pieces"),
    Problem(
        "four branches, three ReLUs", FOUR_BRANCHES * 3, 0.5, 65, 64, "coefficients in elevenths"
    ),
    Problem(
        "duplicate neurons",
        [_layer([[1], [1], [1]], [-0.25, -0.25, -0.75], 0), _layer([[2, 2, -8]], [0], 1)],
        0.5,
        2,
        3,
        "coincident kinks",
    ),
    Problem(
        "zero biases",
        [_layer([[1], [-1]], [0, 0], 0), _layer([[1, 1]], [0], 1)],
        0.5,
        2,
        1,
        "a dead unit, and kinks at the end of the interval",
    ),
]
