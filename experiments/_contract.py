"""What one experiment is, so that one runner serves them all.

An experiment is a module of this package with

    Config                      a frozen dataclass of plain numbers, strings and tuples
    QUICK, FULL                 two of them: a minute on a laptop, and the paper's sizes
    run(config, part) -> Results         computes; no plotting, no files
    claims(results) -> list[Claim]       what the theorem predicts beside what came out
    check(results) -> None               raises AssertionError where a claim fails
    plot(results) -> Figure              reads results only

what the report shows more of, where there is more,

    ALT                                  what its figure shows, for who does not see it
    CHAPTER                              the result that it belongs to (`_chapters`)
    live(results) -> tuple[Live, ...]    figures with a slider (`_live`); reads results only

and, where thousands of configurations are measured alike, what `python -m experiments sweep` runs,
a share on each of many machines:

    sweep(config) -> Sweep               the plan and the measure (`_sweeping`)

`run` does its work in named parts, `part("name", compute) -> Results`: the runner stores each as an
immutable shard when it is finished, so that an interrupted run resumes at the next part. `direct`
only computes, for tests and for callers without a store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

Results = dict[str, np.ndarray]
Grade = Literal["exact", "certified", "bounded", "estimate"]


class Part(Protocol):
    """Compute one named part, or fetch it where it is stored already."""

    def __call__(self, name: str, compute: Callable[[], Results]) -> Results:
        """Return the arrays of part `name`."""
        ...

    def folder(self, name: str) -> Path | None:
        """Return where a part that is a sweep keeps its tiles; None for nowhere."""
        ...


class _Direct:
    def __call__(self, name: str, compute: Callable[[], Results]) -> Results:
        del name
        return compute()

    def folder(self, name: str) -> Path | None:
        del name
        return None


direct: Part = _Direct()


@dataclass(frozen=True)
class Claim:
    """One row of the claims table.

    Attributes:
        claim: what is claimed, one plain sentence.
        source: paper and theorem, or "derived here" with the closed form's name.
        predicted: the theorem's number, formatted for reading.
        measured: ours, likewise.
        grade: how far to trust `measured`.
        holds: the verdict.
    """

    claim: str
    source: str
    predicted: str
    measured: str
    grade: Grade
    holds: bool


def require(claims: list[Claim]) -> None:
    """Raise AssertionError naming every claim that fails."""
    failed = [
        f"{row.claim} ({row.source}): predicted {row.predicted}, measured {row.measured}"
        for row in claims
        if not row.holds
    ]
    if failed:
        raise AssertionError("; ".join(failed))
