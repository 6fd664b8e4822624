"""Exact calculus of one-dimensional piecewise linear functions."""

from jaxdepth.piecewise._answer import Pieces as Pieces, PiecesResult as PiecesResult
from jaxdepth.piecewise._cycles import cycles as cycles
from jaxdepth.piecewise._on_line import Restriction as Restriction, on_line as on_line
from jaxdepth.piecewise._pieces import pieces as pieces
