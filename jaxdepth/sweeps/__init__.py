"""The same question over thousands of depths, widths and seeds: in bounded memory, nothing lost."""

from jaxdepth.networks._size import Size as Size
from jaxdepth.sweeps._axes import Axis as Axis, padded as padded, static as static, traced as traced
from jaxdepth.sweeps._buckets import Bucket as Bucket
from jaxdepth.sweeps._dataset import digest as digest
from jaxdepth.sweeps._engines import (
    run_on_ray as run_on_ray,
    run_on_submitit as run_on_submitit,
)
from jaxdepth.sweeps._files import (
    read_arrays as read_arrays,
    write_arrays as write_arrays,
    write_text as write_text,
)
from jaxdepth.sweeps._grid import grid as grid
from jaxdepth.sweeps._plan import Plan as Plan
from jaxdepth.sweeps._predict import Prediction as Prediction, predict as predict
from jaxdepth.sweeps._run import FailedConfigurationsError as FailedConfigurationsError, run as run
from jaxdepth.sweeps._store import StoreError as StoreError, load as load
