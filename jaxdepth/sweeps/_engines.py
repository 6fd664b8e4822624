"""Sweeps on engines that exist: Slurm by submitit, machines that come and go by Ray."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from jaxdepth._misc import check_integer, refuse
from jaxdepth.sweeps._extra import needed
from jaxdepth.sweeps._plan import Plan
from jaxdepth.sweeps._run import run
from jaxdepth.sweeps._store import load

if TYPE_CHECKING:
    import xarray


def run_on_submitit(
    plan: Plan,
    measure: Callable[..., Any],
    *,
    store: str | Path,
    executor: Any,
    workers: int,
    **options: Any,
) -> xarray.Dataset:
    """Run a plan as an array of jobs, each a share of the tiles, and wait for them.

    Jobs share nothing but the store: one that dies costs its tiles in flight, and the same call (or
    any other `run` on the store) measures what is missing.

    Args:
        plan: from `grid`.
        measure: as for `run`; of a module that the jobs can import.
        store: a folder that all machines see.
        executor: a `submitit.AutoExecutor` with its parameters (time, processors, partition) set;
            `cluster="local"` for this machine.
        workers: how many jobs.
        options: `chunk`, `host`, `memory`, `resume` and `units`, as for `run`.

    Returns:
        What the store holds in the end; `status` is 2 where a job died first.

    Raises:
        ValueError: bad arguments, or an executor that is none.
        RuntimeError: every job failed; where some did, a warning tells.

    Example:
        >>> import submitit  # doctest: +SKIP
        >>> executor = submitit.AutoExecutor("logs")  # doctest: +SKIP
        >>> executor.update_parameters(timeout_min=60, cpus_per_task=4)  # doctest: +SKIP
        >>> run_on_submitit(plan, measure, store="sweep", executor=executor, workers=32)
        ... # doctest: +SKIP
    """
    if not hasattr(executor, "map_array"):
        refuse("executor", "an executor of submitit", executor)
    number = check_integer("workers", workers, 1)
    share = _Share(plan, measure, str(store), number, options)
    troubles = [job.exception() for job in executor.map_array(share, range(number))]
    if all(troubles):
        raise RuntimeError(f"all {number} jobs failed, the first with: {troubles[0]}")
    for worker, trouble in enumerate(troubles):
        if trouble is not None:
            warnings.warn(f"job {worker} of {number} died: {trouble}", stacklevel=2)
    return load(store)


def run_on_ray(
    plan: Plan,
    measure: Callable[..., Any],
    *,
    store: str | Path,
    workers: int,
    remote: dict[str, Any] | None = None,
    **options: Any,
) -> xarray.Dataset:
    """Run a plan as Ray tasks, each a share of the tiles; Ray starts the killed ones again.

    A task that is started again goes on where its share stopped. Call `ray.init` first, with the
    address of a cluster or without.

    Args:
        plan: from `grid`.
        measure: as for `run`; of a module that the workers can import.
        store: a folder that all machines see.
        workers: how many tasks.
        remote: options of `ray.remote`, such as `{"num_cpus": 4, "num_gpus": 1}`.
        options: `chunk`, `host`, `memory`, `resume` and `units`, as for `run`.

    Returns:
        What the store holds in the end.

    Raises:
        ModuleNotFoundError: no Ray (`pip install 'jaxdepth[clusters]'`).

    Example:
        >>> run_on_ray(plan, measure, store="sweep", workers=8)  # doctest: +SKIP
    """
    ray = needed("ray", "clusters")
    number = check_integer("workers", workers, 1)
    share = _Share(plan, measure, str(store), number, options)
    task = ray.remote(max_retries=-1, **(remote or {}))(run_share)
    ray.get([task.remote(share, worker) for worker in range(number)])
    return load(store)


def run_share(share: _Share, worker: int) -> int:
    """Run one share: a task of Ray, which knows it by its name."""
    return share(worker)


class _Share:
    """One worker's share, to be pickled: it brings the caller's settings, which are a thread's."""

    def __init__(
        self, plan: Plan, measure: Any, store: str, number: int, options: dict[str, Any]
    ) -> None:
        self._sweep = plan, measure, store, number, options
        config: Any = jax.config
        self._settings = (
            ("enable_x64", bool(jnp.result_type(float) == jnp.float64)),
            ("default_matmul_precision", config.jax_default_matmul_precision),
            ("default_prng_impl", config.jax_default_prng_impl),
            ("threefry_partitionable", config.jax_threefry_partitionable),
        )

    def __call__(self, worker: int) -> int:
        """Run share `worker`; return how many configurations failed so far."""
        plan, measure, store, number, options = self._sweep
        with contextlib.ExitStack() as settings:
            for name, value in self._settings:
                settings.enter_context(getattr(jax, name)(value))
            dataset = run(
                plan,
                measure,
                store=store,
                worker=(worker, number),
                throw=False,
                progress=False,
                **options,
            )
        return int(dataset.attrs["failed"])
