"""Figures that a reader moves: one slider, panels that are drawn anew for each of its places.

    def live(results: Results) -> tuple[Live, ...]:
        frames = [
            Frame(f"depth {k}: {count:,} label intervals", [line(x[k], y[k], "blue")])
            for k, count in enumerate(results["counts"])
        ]
        return (Live("depth k", [str(k) for k in ...], [Panel("mᵏ", Axis("x", 0, 1), …)], frames),)

All numbers are computed beforehand and travel in the page; the browser only draws them
(`_live.js`). Colours are names of the page's palette, so that light and dark follow the page.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Literal

import numpy as np

SCRIPT = Path(__file__).with_name("_live.js").read_text("utf-8")
Colour = Literal["blue", "orange", "green", "red", "purple", "sky", "ink", "grey"]
Mark = dict[str, Any]
_DIGITS = 4  # significant, of a coordinate: finer than a pixel


@dataclass(frozen=True)
class Axis:
    """One axis of a panel: its label, its ends, and whether it is logarithmic."""

    label: str
    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes, and what is drawn there for every place of the slider."""

    title: str
    x: Axis
    y: Axis
    still: Sequence[Mark] = ()


@dataclass(frozen=True)
class Frame:
    """What one place of the slider shows.

    Attributes:
        told: the numbers, in words: what a reader who sees no picture is told.
        marks: for every panel, what is drawn over what stands still.
    """

    told: str
    marks: Sequence[Sequence[Mark]]


@dataclass(frozen=True)
class Live:
    """A figure with a slider.

    Attributes:
        title: one sentence.
        slider: what the slider sets.
        places: of the slider, as they are read.
        panels: side by side where the page is wide.
        frames: one for each place.
        start: the place that is shown first.
        key: what the colours mean, in the order of reading.
    """

    title: str
    slider: str
    places: Sequence[str]
    panels: Sequence[Panel]
    frames: Sequence[Frame]
    start: int = 0
    key: Sequence[tuple[Colour, str]] = field(default=())

    def __post_init__(self) -> None:
        """Refuse frames that are missing, or lack a panel, and a start that is none of them."""
        if len(self.frames) != len(self.places):
            raise ValueError(f"{len(self.places)} places need as many frames: {len(self.frames)}.")
        if not 0 <= self.start < len(self.places):
            raise ValueError(f"`start` must be one of the {len(self.places)} places: {self.start}.")
        if any(len(frame.marks) != len(self.panels) for frame in self.frames):
            raise ValueError(f"Every frame needs marks for {len(self.panels)} panels.")


def line(x: Any, y: Any, colour: Colour, *, dashed: bool = False, width: float = 1.8) -> Mark:
    """Draw a polyline."""
    numbers = {"x": rounded(x), "y": rounded(y)}
    return {"kind": "line", **numbers, "colour": colour, "dashed": dashed, "width": width}


def dots(x: Any, y: Any, colour: Colour, *, size: float = 4.0) -> Mark:
    """Draw discs."""
    return {"kind": "dots", "x": rounded(x), "y": rounded(y), "colour": colour, "size": size}


def area(x: Any, low: Any, high: Any, colour: Colour, *, opacity: float = 0.3) -> Mark:
    """Fill between two curves, of which the lower may be one height."""
    below = low if np.ndim(low) == 0 else rounded(low)
    numbers = {"x": rounded(x), "low": below, "high": rounded(high)}
    return {"kind": "area", **numbers, "colour": colour, "opacity": opacity}


def bars(starts: Any, ends: Any, low: float, high: float, colour: Colour) -> Mark:
    """Fill rectangles that stand side by side between two heights."""
    return {
        "kind": "bars",
        "starts": rounded(starts),
        "ends": rounded(ends),
        "low": low,
        "high": high,
        "colour": colour,
    }


def note(x: float, y: float, text: str, colour: Colour = "ink", *, anchor: str = "start") -> Mark:
    """Write beside a point; `anchor` is "start", "middle" or "end"."""
    return {"kind": "note", "x": x, "y": y, "text": text, "colour": colour, "anchor": anchor}


def rounded(values: Any) -> list[float | None]:
    """Return coordinates in as many digits as can be seen; None, a gap, for what is not finite."""
    return [_short(value) for value in np.ravel(np.asarray(values, np.float64)).tolist()]


def _short(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


def html(live: Live, name: str) -> str:
    """Return a live figure as HTML; the page brings `SCRIPT` and the palette."""
    data = json.dumps(asdict(live), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    data = data.replace("<", "\\u003c")  # no text of ours ends the script
    key = "".join(_key(colour, text) for colour, text in live.key)
    last, told = len(live.places) - 1, live.frames[live.start].told
    return f"""<figure class="live" id="live-{escape(name)}">
<figcaption id="caption-{escape(name)}">{escape(live.title)}</figcaption>
<div class="panels"></div>
<p class="key" hidden>{key}</p>
<div class="slide" hidden><label for="slider-{escape(name)}">{escape(live.slider)}</label>
<input type="range" id="slider-{escape(name)}" min="0" max="{last}" step="1" value="{live.start}"
 aria-describedby="caption-{escape(name)}">
<button type="button" aria-label="play" aria-describedby="caption-{escape(name)}">▶</button></div>
<output for="slider-{escape(name)}" aria-live="off">{escape(told)}</output>
<noscript><p>This picture, and its slider, need a browser that runs scripts.</p></noscript>
<script type="application/json">{data}</script>
</figure>
"""


def _key(colour: Colour, text: str) -> str:
    return f'<span><i style="background:var(--{colour})"></i>{escape(text)}</span> '


def log_steps(low: float, high: float, count: int) -> list[int]:
    """Return about `count` different integers from low ≥ 1 to high, evenly in the logarithm."""
    return sorted(set(np.rint(np.geomspace(low, high, count)).astype(int).tolist()))


def joined(facts: Iterable[str]) -> str:
    """Join facts into one line."""
    return "; ".join(facts) + "."


def scientific(value: float) -> str:
    """Write a number in two digits and a power of ten: 1.5e-3."""
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits}e{int(exponent)}"
