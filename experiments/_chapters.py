"""The chapters of the report: the three results, each with what it says and the seed of its proof.

An experiment names its chapter, `CHAPTER = "radial"`; one that names none stands at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from experiments import _illustrations


@dataclass(frozen=True)
class Picture:
    """A drawing of an idea: its name, what it shows, and how it is drawn."""

    name: str
    told: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Chapter:
    """One of the three results.

    Attributes:
        title: its heading.
        text: what the theorem says, in paragraphs.
        pictures: what its proof looks like, computed.
    """

    title: str
    text: tuple[str, ...]
    pictures: tuple[Picture, ...] = ()


CHAPTERS = {
    "radial": Chapter(
        "Radial functions: three layers against two",
        (
            "Some functions of ‖x‖ are within reach of a small network of 3 layers, and of no "
            "2-layer network of less than exponential width, whatever its activation and weights "
            "(Eldan & Shamir 2016, Theorem 1).",
            "What a network of k first-layer directions computes has, once multiplied by the root "
            "φ of the measure's density, a Fourier transform that lives on k tubes through the "
            "origin. A wave in ‖x‖ has its mass about a sphere instead, of which a tube covers a "
            "share that falls exponentially with the dimension. What is not covered is an error "
            "that nobody can avoid, and a number.",
        ),
        (
            Picture(
                "fourier_tubes",
                "A wave, its Fourier transform, the ball of φ, and the tubes",
                _illustrations.fourier_tubes,
            ),
        ),
    ),
    "oscillations": Chapter(
        "Oscillations: deep against shallow",
        (
            "A network of Θ(k³) layers with a few nodes each computes what no network of k layers "
            "and 2^k nodes comes near to (Telgarsky 2016, Theorem 1.1).",
            "The measure is the crossing number Cr(f): how many maximal intervals there are on "
            "which the classifier 1[f ≥ ½] is constant. Few crossings cannot follow many (Lemma "
            "3.1); few layers have few (Lemma 3.3); each further tooth-shaped layer multiplies "
            "them (Corollary 3.14).",
        ),
        (
            Picture(
                "classifiers",
                "f against g, and the intervals of their classifiers",
                _illustrations.classifiers,
            ),
            Picture(
                "partitions",
                "The breakpoints of the units of a layer, and their union",
                _illustrations.partitions,
            ),
        ),
    ),
    "acceleration": Chapter(
        "Implicit acceleration: depth as an optimiser",
        (
            "Gradient descent on the layers of a deep linear network moves their product as "
            "descent on a single layer would with a preconditioner: an adaptive rate and a "
            "momentum, and for N > 2 no regulariser does the same (Arora, Cohen & Hazan 2018, "
            "Theorems 1 and 2).",
            "Depth adds no function here: whatever it gains or loses is optimisation alone.",
        ),
    ),
}
