"""The claims table, for a terminal of any width, and numbers as claims write them."""

from __future__ import annotations

import itertools
import textwrap
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from typing import Any

from experiments._contract import Claim

HEADINGS = ("claim", "source", "predicted", "measured", "grade", "verdict")
_NARROWEST = 9


def at_least(value: Any, places: int = 4, form: str = "f") -> str:
    """Write a lower bound with so many decimals: rounded down, for what is proven is not more.

    As a number, or with its power of ten where `form` is "e".
    """
    return _rounded(value, f".{places}{form}", ROUND_FLOOR)


def at_most(value: Any, places: int = 4, form: str = "f") -> str:
    """Write an upper bound with so many decimals: rounded up."""
    return _rounded(value, f".{places}{form}", ROUND_CEILING)


def _rounded(value: Any, form: str, way: str) -> str:
    # Of the float's shortest decimal, so that .0178 stays .0178.
    with localcontext(rounding=way):
        return format(Decimal(repr(float(value))), form)


def digits(number: Any) -> str:
    """Write a whole number for reading."""
    return f"{int(number):,}" if number < 10**12 else f"{number:.3e}"


def verdict(row: Claim) -> str:
    """Return the verdict in a word."""
    return "holds" if row.holds else "FAILS"


def cells(row: Claim) -> tuple[str, ...]:
    """Return a claim's cells, in the order of `HEADINGS`."""
    return (row.claim, row.source, row.predicted, row.measured, row.grade, verdict(row))


def table(claims: list[Claim], width: int) -> str:
    """Lay claims out in columns, cells wrapped so that lines keep to `width` where they can."""
    rows = [HEADINGS, *map(cells, claims)]
    widths = _widths([max(map(len, column)) for column in zip(*rows, strict=True)], width)
    lines = [_row(row, widths) for row in rows]
    rule = "  ".join("-" * column for column in widths)
    gap = "\n\n" if any("\n" in line for line in lines[1:]) else "\n"
    return "\n".join([lines[0], rule, gap.join(lines[1:])])


def _widths(wanted: list[int], width: int) -> list[int]:
    """Take from the widest column until all fit: short columns keep their width."""
    widths = list(wanted)
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _row(row: tuple[str, ...], widths: list[int]) -> str:
    wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
    lines = itertools.zip_longest(*wrapped, fillvalue="")
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
