"""Figures beside their results, and one page of plain HTML that holds everything."""

from __future__ import annotations

import base64
import inspect
import json
import re
import traceback
from html import escape
from pathlib import Path

import jaxdepth as jd
from experiments import _figures
from experiments._contract import Claim
from experiments._runner import Judged, Stored
from experiments._table import HEADINGS, cells

_CODE = re.compile(r"`([^`]+)`")
_POWER = re.compile(r"(?<=[\w)])\^(-?\w+|\([^()]*\))")
_EMPHASIS = re.compile(r"(?<![\w*`])\*(\w[^*`]*)\*(?![\w*])")

# No script, no font, no address outside of the page: it opens from a stick or an archive alike.
_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --paper: #fff; --faint: #59636e; --line: #d1d9e0;
  --well: #0b6e4f; --ill: #b3261e; --shade: #f6f8fa }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #14181d; --faint: #9aa4af;
  --line: #3a424b; --well: #5fd0a5; --ill: #ff8a80; --shade: #1c2128 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem }
h2 { font-size: 1.3rem; margin: 3rem 0 .3rem; padding-top: 1rem; border-top: 1px solid var(--line) }
p { max-width: 46rem; margin: .6rem 0 } .lead { color: var(--faint) }
pre { font-size: .85rem; overflow-x: auto; background: var(--shade); padding: .6rem .8rem;
  border-radius: 6px }
code { font-size: .9em } sup { line-height: 0 }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; font-size: .92rem }
th, td { text-align: left; vertical-align: top; padding: .45rem .7rem .45rem 0;
  border-bottom: 1px solid var(--line) }
th { font-weight: 600; color: var(--faint) }
td { font-variant-numeric: tabular-nums } td:first-child { width: 34% }
td:nth-child(5) { white-space: nowrap }
.holds { color: var(--well); font-weight: 600; white-space: nowrap }
.FAILS { color: var(--ill); font-weight: 700; white-space: nowrap }
figure { margin: 1.2rem 0; background: #fff; border: 1px solid var(--line); border-radius: 6px;
  padding: .6rem }
img { display: block; max-width: 100%; height: auto; margin: 0 auto }
a { color: inherit } ul { padding-left: 1.2rem }
details { font-size: .88rem; color: var(--faint) } summary { cursor: pointer }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .6rem 0 }
dt { font-weight: 600 } dd { margin: 0 }
@media (max-width: 44rem) { thead { display: none } tr { display: block; padding: .5rem 0;
  border-bottom: 1px solid var(--line) } td, td:first-child { display: flex; width: auto; border: 0;
  padding: .12rem 0; gap: .8rem } td::before { content: attr(data-label); color: var(--faint);
  flex: 0 0 5.5rem } td:first-child { font-weight: 600 } td:first-child::before { display: none } }
"""


def draw(stored: Stored) -> tuple[Path, Path]:
    """Draw a run's figure next to its results; return the paths of the SVG and the PNG."""
    return _figures.save(stored.module.plot(stored.results), stored.store.folder / stored.name)


def write(judged: list[Judged], missing: list[str], out: Path) -> tuple[Path, bool]:
    """Write `out`/report.html, and the figures in it.

    Args:
        judged: the runs to tell of.
        missing: experiments of which nothing is stored.
        out: the results' directory.

    Returns:
        The page, and whether every figure could be drawn.
    """
    figures = [_figure(one) for one in judged]
    sections = [_section(one, figure or "") for one, figure in zip(judged, figures, strict=True)]
    page = out / "report.html"
    jd.sweeps.write_text(page, _page(judged, missing, sections))
    return page, None not in figures


def _page(judged: list[Judged], missing: list[str], sections: list[str]) -> str:
    rows = [row for one in judged for row in one.claims]
    tally = f"{sum(row.holds for row in rows)} of {len(rows)} claims hold"
    contents = "".join(
        f'<li><a href="#{escape(one.stored.name)}">{escape(_title(one))}</a> '
        f'<span class="{"holds" if one.holds else "FAILS"}">{escape(one.tally)}</span></li>\n'
        for one in judged
    )
    absent = "".join(
        f"<p>Not run yet: <code>python -m experiments run {escape(name)}</code></p>"
        for name in missing
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>jaxdepth: {tally}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>What depth does, claim by claim</h1>
<p class="lead">{tally}. Each section reruns one result on the theory of depth in neural networks:
what the theorem predicts, what came out, and how far to trust the number. <em>exact</em>: integers
or rationals; <em>certified</em>: rounding enclosed; <em>bounded</em>: one-sided under a stated
rounding model; <em>estimate</em>: measured.</p>
<ul>
{contents}</ul>
{absent}
{"".join(sections)}
</body>
</html>
"""


def _section(one: Judged, figure: str) -> str:
    name, form = one.stored.name, one.stored.manifest["form"]
    body = (inspect.getdoc(one.stored.module) or "").split("\n\n")[1:]
    return f"""
<section id="{escape(name)}">
<h2>{escape(_title(one))}</h2>
<p class="lead"><code>{escape(name)}</code>, {escape(form)}: {escape(one.tally)}</p>
{"".join(map(_paragraph, body))}
<table>
<thead><tr>{"".join(f"<th>{heading}</th>" for heading in HEADINGS)}</tr></thead>
<tbody>
{"".join(map(_row, one.claims))}</tbody>
</table>
{figure}
{_provenance(one.stored)}
</section>
"""


def _title(one: Judged) -> str:
    first = (inspect.getdoc(one.stored.module) or one.stored.name).partition("\n\n")[0]
    return " ".join(first.split())


def _paragraph(text: str) -> str:
    if text.startswith("    "):
        return f"<pre>{escape(inspect.cleandoc(text))}</pre>\n"
    marked = _CODE.sub(r"<code>\1</code>", _EMPHASIS.sub(r"<em>\1</em>", _prose(text)))
    return f"<p>{marked}</p>\n"


def _prose(text: str) -> str:
    return _POWER.sub(r"<sup>\1</sup>", escape(text))


def _row(claim: Claim) -> str:
    labelled = zip(HEADINGS, cells(claim), strict=True)
    cell = "".join(
        f'<td data-label="{heading}"><span class="{escape(text) if heading == "verdict" else ""}">'
        f"{_prose(text)}</span></td>"
        for heading, text in labelled
    )
    return f"<tr>{cell}</tr>\n"


def _figure(one: Judged) -> str | None:
    """Return the figure within the page's own text, or None where it could not be drawn."""
    try:
        paths = draw(one.stored)
    except Exception:
        traceback.print_exc()
        return None
    # A figure of many points is smaller as a bitmap than as a drawing.
    path = min(paths, key=lambda path: path.stat().st_size)
    kind = {".svg": "image/svg+xml", ".png": "image/png"}[path.suffix]
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<figure><img src="data:{kind};base64,{data}" alt="{escape(_title(one))}"></figure>'


def _provenance(stored: Stored) -> str:
    manifest = stored.manifest
    facts = {
        "computed": f"{manifest['date']}, in {manifest['seconds']:.0f} s",
        "device": f"{manifest['devices']} × {manifest['device']} ({manifest['machine']})",
        "precision": manifest["precision"],
        "seed": manifest["seed"],
        "commit": manifest["commit"] or "not from a git checkout",
        "versions": ", ".join(f"{name} {number}" for name, number in manifest["versions"].items()),
        "configuration": json.dumps(manifest["config"], ensure_ascii=False),
        "hash": manifest["hash"],
    }
    items = "".join(f"<dt>{key}</dt><dd>{escape(str(fact))}</dd>" for key, fact in facts.items())
    return f"<details><summary>Where these numbers come from</summary><dl>{items}</dl></details>"
