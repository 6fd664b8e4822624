"""Theorem calculators: architecture numbers in, exact integers and Fractions out."""

from jaxdepth.bounds._eldan_shamir import (
    eldan_shamir16_width as eldan_shamir16_width,
    universal_units as universal_units,
)
from jaxdepth.bounds._pieces import serra18_pieces_upper as serra18_pieces_upper
from jaxdepth.bounds._random import breakpoint_law as breakpoint_law
from jaxdepth.bounds._telgarsky import (
    Telgarsky16Separation as Telgarsky16Separation,
    l1_gap as l1_gap,
    log_telgarsky16_crossing_upper as log_telgarsky16_crossing_upper,
    piecewise_poly_crossing_upper as piecewise_poly_crossing_upper,
    telgarsky16_crossing_upper as telgarsky16_crossing_upper,
    telgarsky16_disagreement_lower as telgarsky16_disagreement_lower,
    telgarsky16_separation as telgarsky16_separation,
    triangle_count as triangle_count,
)
