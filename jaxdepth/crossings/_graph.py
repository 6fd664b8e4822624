"""Graphs with numbers on their edges: what of a tower leads where, and its strong components."""

from __future__ import annotations

from collections.abc import Iterator, Set

Matrix = dict[int, dict[int, int]]  # row -> column -> entry, the positive ones; all rows are there


def between(matrix: Matrix, ends: set[int]) -> Matrix:
    """Keep the nodes from which a path leads to `ends`."""
    kept = _flood(_reversed(matrix), ends)
    return {
        node: {image: times for image, times in row.items() if image in kept}
        for node, row in matrix.items()
        if node in kept
    }


def components(matrix: Matrix) -> Iterator[Matrix]:
    """Yield the strong components: Kosaraju's two searches, with stacks of their own."""
    finished: list[int] = []
    visited: set[int] = set()
    for root in matrix:
        stack = [] if root in visited else [(root, iter(matrix[root]))]
        visited.add(root)
        while stack:
            node, images = stack[-1]
            fresh = next((image for image in images if image not in visited), None)
            if fresh is None:
                finished.append(node)
                stack.pop()
            else:
                visited.add(fresh)
                stack.append((fresh, iter(matrix[fresh])))
    sources = _reversed(matrix)
    told: set[int] = set()
    for root in reversed(finished):
        if root not in told:
            part = _flood(sources, {root}, told)
            told |= part
            yield {
                node: {image: times for image, times in matrix[node].items() if image in part}
                for node in sorted(part)
            }


def _reversed(matrix: Matrix) -> dict[int, list[int]]:
    sources: dict[int, list[int]] = {node: [] for node in matrix}
    for node, row in matrix.items():
        for image in row:
            sources[image].append(node)
    return sources


def _flood(
    edges: dict[int, list[int]], start: set[int], barred: Set[int] = frozenset()
) -> set[int]:
    reached, waiting = set(start), list(start)
    for node in waiting:  # which grows meanwhile
        fresh = set(edges[node]) - reached - barred
        reached |= fresh
        waiting += fresh
    return reached
