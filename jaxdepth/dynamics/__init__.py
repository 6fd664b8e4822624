"""Gradient descent on products of matrices: the end-to-end rule and what follows from it."""

from jaxdepth._descent import (
    AbstractMonitor as AbstractMonitor,
    DescentResult as DescentResult,
    InstabilityWarning as InstabilityWarning,
    Trajectory as Trajectory,
    descend as descend,
)
from jaxdepth.dynamics._closure import Closure as Closure, closure_step as closure_step
from jaxdepth.dynamics._contour import (
    Contour as Contour,
    ContourResult as ContourResult,
    circulation as circulation,
    constant_gradient_integral as constant_gradient_integral,
    contour_integral as contour_integral,
    paper_curve as paper_curve,
)
from jaxdepth.dynamics._eigenvalue import Dense as Dense, Lanczos as Lanczos
from jaxdepth.dynamics._end_to_end import end_to_end as end_to_end, spectrum as spectrum
from jaxdepth.dynamics._field import (
    curl as curl,
    curl_one_output as curl_one_output,
    field as field,
)
from jaxdepth.dynamics._flow import Flow as Flow, FlowResult as FlowResult, flow as flow
from jaxdepth.dynamics._momentum import MomentumForm as MomentumForm, momentum_form as momentum_form
from jaxdepth.dynamics._optax import (
    end_to_end_sgd as end_to_end_sgd,
    scale_by_end_to_end as scale_by_end_to_end,
)
from jaxdepth.dynamics._regression import LpRegression as LpRegression, Optimum as Optimum
from jaxdepth.dynamics._saxe import (
    saxe_mode as saxe_mode,
    saxe_time as saxe_time,
    singular_value_rates as singular_value_rates,
)
from jaxdepth.dynamics._stability import (
    Sharpness as Sharpness,
    SharpnessResult as SharpnessResult,
    Stability as Stability,
    sharpness as sharpness,
)
from jaxdepth.networks._deep_linear import (
    imbalance as imbalance,
    imbalance_step as imbalance_step,
)
