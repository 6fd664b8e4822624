"""Gradient descent on products of matrices: the end-to-end rule and what follows from it."""

from jaxdepth._descent import (
    DescentResult as DescentResult,
)
from jaxdepth._descent import (
    Trajectory as Trajectory,
)
from jaxdepth._descent import (
    descend as descend,
)
