"""How much memory tiles in flight may take together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_SHARE = 0.8  # of what is free: the rest is the interpreter's, the compiler's and the results'


def budget(devices: Sequence[Any]) -> int:
    """Return how many bytes tiles may take on these devices together, each an equal part.

    On the host, the least of free RAM and what cgroups (versions 1 and 2) leave of their limits; on
    accelerators what the least of them has free.
    """
    if devices[0].platform == "cpu":
        return int(_SHARE * min([*_ram(), *_cgroup()], default=2**62))
    free = []
    for device in devices:
        with contextlib.suppress(Exception):  # a backend that keeps no books
            books = device.memory_stats()
            free.append(books["bytes_limit"] - books["bytes_in_use"])
    return int(_SHARE * min(free, default=2**62)) * len(devices)


def _ram() -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield 1024 * int(line.split()[1])
                return
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cgroup(
    member: Path = Path("/proc/self/cgroup"), system: Path = Path("/sys/fs/cgroup")
) -> Iterator[int]:
    """Yield what every cgroup of this process leaves: a limit may stand on any of its parents."""
    try:
        lines = member.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            root, most, used = system, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, most, used = (
                system / "memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            )
        else:
            continue
        inside = root / path.lstrip("/")
        for folder in (inside, *inside.parents):
            with contextlib.suppress(OSError, ValueError):  # "max" is no number, and no limit
                limit = int((folder / most).read_text())
                if limit < 2**60:
                    taken = int((folder / used).read_text()) - _reclaimable(folder)
                    yield max(limit - taken, 0)
            if folder == root:
                break


def _reclaimable(folder: Path) -> int:
    """Return the bytes of files that the kernel keeps only while nobody wants the memory."""
    with contextlib.suppress(OSError, ValueError):
        rows = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
        books = {row[0]: int(row[1]) for row in rows}
        return books.get("total_inactive_file", books.get("inactive_file", 0))
    return 0
