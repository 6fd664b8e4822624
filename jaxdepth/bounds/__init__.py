"""Theorem calculators: architecture numbers in, exact integers and Fractions out."""

from jaxdepth.bounds._pieces import serra18_pieces_upper as serra18_pieces_upper
from jaxdepth.bounds._telgarsky import Telgarsky16Separation as Telgarsky16Separation
from jaxdepth.bounds._telgarsky import l1_gap as l1_gap
from jaxdepth.bounds._telgarsky import (
    log_telgarsky16_crossing_upper as log_telgarsky16_crossing_upper,
)
from jaxdepth.bounds._telgarsky import (
    piecewise_poly_crossing_upper as piecewise_poly_crossing_upper,
)
from jaxdepth.bounds._telgarsky import telgarsky16_crossing_upper as telgarsky16_crossing_upper
from jaxdepth.bounds._telgarsky import (
    telgarsky16_disagreement_lower as telgarsky16_disagreement_lower,
)
from jaxdepth.bounds._telgarsky import telgarsky16_separation as telgarsky16_separation
from jaxdepth.bounds._telgarsky import triangle_count as triangle_count
