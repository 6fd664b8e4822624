"""Theorem calculators: architecture numbers in, exact integers and Fractions out."""

from jaxdepth.bounds._capacity import (
    telgarsky16_random_label_samples as telgarsky16_random_label_samples,
    telgarsky16_vc_upper as telgarsky16_vc_upper,
)
from jaxdepth.bounds._eldan_shamir import (
    eldan_shamir16_width as eldan_shamir16_width,
    universal_units as universal_units,
)
from jaxdepth.bounds._periodic import periodic_growth as periodic_growth
from jaxdepth.bounds._pieces import serra18_pieces_upper as serra18_pieces_upper
from jaxdepth.bounds._polynomials import (
    PiecewisePoly as PiecewisePoly,
    piecewise_poly_composition as piecewise_poly_composition,
    piecewise_poly_crossing_upper as piecewise_poly_crossing_upper,
    piecewise_poly_product as piecewise_poly_product,
    piecewise_poly_sum as piecewise_poly_sum,
)
from jaxdepth.bounds._random import breakpoint_law as breakpoint_law
from jaxdepth.bounds._separation import (
    Telgarsky16Gaps as Telgarsky16Gaps,
    Telgarsky16Separation as Telgarsky16Separation,
    alternating_error_lower as alternating_error_lower,
    l1_gap as l1_gap,
    telgarsky15_error_lower as telgarsky15_error_lower,
    telgarsky16_disagreement_lower as telgarsky16_disagreement_lower,
    telgarsky16_gaps as telgarsky16_gaps,
    telgarsky16_separation as telgarsky16_separation,
)
from jaxdepth.bounds._square import square_error_lower as square_error_lower
from jaxdepth.bounds._telgarsky import (
    log_telgarsky16_crossing_upper as log_telgarsky16_crossing_upper,
    telgarsky16_crossing_upper as telgarsky16_crossing_upper,
    telgarsky16_tree_crossing_upper as telgarsky16_tree_crossing_upper,
    triangle_count as triangle_count,
)
