"""How far a run is: configurations done, their rate, the time left."""

from __future__ import annotations

import sys
import time

_EVERY = 0.2  # seconds between two looks on a terminal
_EVERY_LINE = 15.0  # and between two lines of a log


class Progress:
    """A line on standard error, redrawn on a terminal and repeated now and then elsewhere."""

    def __init__(self, total: int, stored: int, *, shown: bool) -> None:
        self._total, self._stored, self._done = total, stored, 0
        self._terminal = sys.stderr.isatty()
        self._start = self._last = time.monotonic()
        self._shown = shown and total > 0
        self._width = 0
        if self._shown and stored:
            self.say(f"{stored:,} of {total:,} configurations are stored already")

    def advance(self, configurations: int) -> None:
        """Tell of configurations that are done."""
        self._done += configurations
        now = time.monotonic()
        if self._shown and now - self._last >= (_EVERY if self._terminal else _EVERY_LINE):
            self._last = now
            self._draw(now)

    def say(self, line: str) -> None:
        """Print a line of its own."""
        if self._shown:
            blank = f"\r{' ' * self._width}\r" if self._terminal else ""
            self._print(blank + line + "\n")

    def finish(self) -> None:
        """Print the last line."""
        if self._shown and self._done:
            self.say(self._line(time.monotonic()))

    def _draw(self, now: float) -> None:
        line = self._line(now)
        if self._terminal:
            self._print(f"\r{line:{self._width}}")
            self._width = len(line)
        else:
            self._print(line + "\n")

    def _print(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):  # nobody listens any more; the run goes on
            self._shown = False

    def _line(self, now: float) -> str:
        done, rate = self._stored + self._done, self._done / max(now - self._start, 1e-9)
        left = (self._total - done) / rate if rate else float("inf")
        tail = (
            f", {duration(left)} left"
            if done < self._total
            else f" in {duration(now - self._start)}"
        )
        return f"{done:,} of {self._total:,} ({done / self._total:.0%}), {rate:,.3g}/s{tail}"


def duration(seconds: float) -> str:
    """Return seconds as a reader takes them in: `42 s`, `3 min 20 s`, `5 h 12 min`."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min" if seconds < 1e9 else "unknown"
