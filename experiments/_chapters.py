"""The chapters of the report: the three results, each with what it says and the idea of its proof.

An experiment names its chapter, `CHAPTER = "radial"`; one that names none stands at the end.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """A drawing of an idea: its name in `_illustrations`, its caption, and what is to be seen."""

    name: str
    told: str
    alt: str


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
                "Left: the wave cos 4z and its spectral mass, between the frequencies 3 and 5. "
                "Middle: in the plane, four tubes through the ball B cover part of the ring where "
                "the mass lies. Right: the share that k tubes hold, by dimension.",
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
                "A sawtooth of four teeth and a network of one hidden layer with a line at one "
                "half; below, the intervals where each is above it, and the three of nine regions "
                "of the first on which the second is wrong throughout.",
            ),
            Picture(
                "partitions",
                "The breakpoints of the units of a layer, and their union",
                "Four units of a first layer with one breakpoint each, which cut the line into "
                "five intervals; four units of a second layer, whose union is nine intervals.",
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
