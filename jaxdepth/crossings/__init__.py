"""The crossing number Cr(f): `count(fn, method)` says how often f crosses a level, and how surely."""

from jaxdepth.crossings._answer import CountResult as CountResult
from jaxdepth.crossings._answer import CrossingCount as CrossingCount
from jaxdepth.crossings._changes import changes as changes
from jaxdepth.crossings._count import AbstractCounter as AbstractCounter
from jaxdepth.crossings._count import count as count
from jaxdepth.crossings._exact import Exact as Exact
from jaxdepth.crossings._exact import Rational as Rational
from jaxdepth.crossings._grid import Grid as Grid
