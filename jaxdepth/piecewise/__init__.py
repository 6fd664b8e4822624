"""Exact calculus of one-dimensional piecewise linear functions."""

from jaxdepth.piecewise._pieces import (
    Pieces as Pieces,
    PiecesResult as PiecesResult,
    pieces as pieces,
)
