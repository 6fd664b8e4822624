"""The crossing number Cr(f): `count(fn, method)` says how often f crosses a level."""

from jaxdepth.crossings._answer import CountResult as CountResult, CrossingCount as CrossingCount
from jaxdepth.crossings._certified import Certified as Certified
from jaxdepth.crossings._changes import changes as changes
from jaxdepth.crossings._count import AbstractCounter as AbstractCounter, count as count
from jaxdepth.crossings._exact import Exact as Exact, Rational as Rational
from jaxdepth.crossings._grid import Grid as Grid
from jaxdepth.crossings._growth import (
    GrowthRate as GrowthRate,
    GrowthResult as GrowthResult,
    growth_rate as growth_rate,
)
from jaxdepth.crossings._lemma import (
    ShallowClassifier as ShallowClassifier,
    best_shallow as best_shallow,
    min_disagreement as min_disagreement,
)
from jaxdepth.crossings._soft import soft_count as soft_count
from jaxdepth.crossings._symbolic import Symbolic as Symbolic, count_iterates as count_iterates
