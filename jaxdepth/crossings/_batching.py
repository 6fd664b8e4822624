"""How counters batch: a loop over the members instead of the plain rule of vmap."""

from __future__ import annotations

from typing import Any

import jax
from jax.custom_batching import custom_vmap
from jaxtyping import Array


def one_by_one(kernel: Any, together: int) -> Any:
    """Give `kernel` a batching rule: a loop over the batch, `together` members at a time.

    A loop over depth under the plain rule runs every member to the greatest depth and masks; in a
    loop over the members each runs to its own.
    """

    @custom_vmap
    def batched(*args: Any) -> Any:
        return kernel(*args)

    @batched.def_vmap
    def rule(axis_size: int, in_batched: Any, *args: Any) -> tuple[Any, Any]:
        del axis_size
        flat, treedef = jax.tree.flatten(args)
        mapped = jax.tree.leaves(in_batched)

        def member(row: list[Array]) -> Any:
            rows = iter(row)
            whole = [next(rows) if own else leaf for own, leaf in zip(mapped, flat, strict=True)]
            # Members that go together take the plain rule; this one would come back to itself.
            one = batched if together == 1 else kernel
            return one(*jax.tree.unflatten(treedef, whole))

        rows = [leaf for own, leaf in zip(mapped, flat, strict=True) if own]
        out = jax.lax.map(member, rows, batch_size=None if together == 1 else together)
        return out, jax.tree.map(lambda _: True, out)

    return batched
