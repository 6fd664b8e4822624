"""Calls in flight: as many as memory allows, fewer when a device says that it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import jax

Call = TypeVar("Call")


def fly(
    calls: Iterable[Call],
    execute: Callable[[Call], Any],
    nbytes: Callable[[Call], int],
    *,
    most: int,
    budget: int,
) -> Iterator[tuple[Call, Any]]:
    """Execute calls in threads; yield each with its result as it is finished.

    Args:
        calls: in the order in which they start.
        execute: one call; XLA lets go of the interpreter's lock meanwhile.
        nbytes: what a call takes.
        most: calls in flight at once, at least 1.
        budget: bytes that calls in flight may take; one alone may always start.

    Raises:
        MemoryError: a device has no memory for one call alone.
    """
    waiting = iter(calls)
    again: list[Call] = []
    flying: dict[Future[Any], tuple[Call, int]] = {}  # with how many there might be at its start
    taken = 0
    pool = ThreadPoolExecutor(most)
    try:
        while True:
            while len(flying) < most:
                call = again.pop() if again else next(waiting, None)
                if call is None:
                    break
                if flying and taken + nbytes(call) > budget:
                    again.append(call)
                    break
                taken += nbytes(call)
                flying[pool.submit(execute, call)] = call, most
            if not flying:
                return
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                call, then = flying.pop(future)
                taken -= nbytes(call)
                error = future.exception()
                if error is None:
                    yield call, future.result()
                elif not is_out_of_memory(error):
                    raise error
                elif then == 1:
                    raise MemoryError(
                        "a device has no memory for one tile alone. Take a smaller one: "
                        "`plan.tiled(…)`."
                    ) from error
                else:
                    most = min(most, max(1, then // 2))  # once for all that started together
                    again.append(call)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is an accelerator's that it has no memory left."""
    return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
