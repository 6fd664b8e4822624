"""Exact calculus of one-dimensional piecewise linear functions."""

from jaxdepth.piecewise._pieces import Pieces as Pieces
from jaxdepth.piecewise._pieces import PiecesResult as PiecesResult
from jaxdepth.piecewise._pieces import pieces as pieces
