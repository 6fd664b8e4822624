"""Drawings that follow the reader's light or dark: an SVG with its own dark colours.

A viewer in dark mode takes the rules that are written into the file; print, and viewers that know
no such thing, see the drawing as matplotlib wrote it.
"""

from __future__ import annotations

import re

PAPER = "#14181d"  # what is white in the light
INK = "#e6edf3"
MAP_INK, MAP_GREY = "#202020", "#767676"  # on a map, which is the same on either page
_OWN = {
    "#222222": INK,
    "#777777": "#9aa4af",  # grey
    "#e6e6e6": "#333b44",  # the grid
    **{kept: kept for kept in (MAP_INK, MAP_GREY)},
}
_CONTRAST = 4.5  # WCAG's least for text
_COLOUR = re.compile(r"(fill|stroke): (#[0-9a-f]{6})")
_MAPS = ':not([id^="QuadMesh"] *):not([id^="QuadContourSet"] *)'  # must agree with their colour bar


def adapting(svg: str) -> str:
    """Return the drawing with rules for a dark page."""
    found = sorted(set(_COLOUR.findall(svg)))
    rules = [
        f'[style*="{what}: {colour}"]{_MAPS}{{{what}:{dark(colour)}!important}}'
        for what, colour in found
        if dark(colour) != colour
    ]
    paper = f"#patch_1>path{{fill:{PAPER}!important}}"
    style = f"<style>@media (prefers-color-scheme: dark){{{paper}{''.join(rules)}}}</style>"
    head, tag, rest = svg.partition("<svg")
    inside, end, body = rest.partition(">")
    return f"{head}{tag}{inside}{end}\n {style}{body}"


def dark(colour: str) -> str:
    """Return what is seen on dark paper in the place of a colour: itself if it can be.

    Others are mixed with as little white as gives the contrast.
    """
    if colour in _OWN:
        return _OWN[colour]
    channels = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    for white in range(101):
        mixed = [round(each + (255 - each) * white / 100) for each in channels]
        if contrast(mixed) >= _CONTRAST:
            break
    return "#" + "".join(f"{each:02x}" for each in mixed)


def contrast(channels: list[int]) -> float:
    """Return WCAG's contrast ratio to the dark paper."""
    paper = _luminance([int(PAPER[i : i + 2], 16) for i in (1, 3, 5)])
    return (_luminance(channels) + 0.05) / (paper + 0.05)


def _luminance(channels: list[int]) -> float:
    linear = [
        each / 255 / 12.92 if each <= 10 else ((each / 255 + 0.055) / 1.055) ** 2.4
        for each in channels
    ]
    return sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
