"""Figures beside their results, and one page of plain HTML that holds everything."""

from __future__ import annotations

import base64
import inspect
import json
import re
import traceback
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import jaxdepth as jd
from experiments import _figures, _live
from experiments._chapters import CHAPTERS, Picture
from experiments._contract import Claim
from experiments._illustrations import ILLUSTRATIONS
from experiments._runner import STALE, Judged, Stored
from experiments._table import HEADINGS, cells

_CODE = re.compile(r"`([^`]+)`")
_POWER = re.compile(r"(?<=[\w)|‖])\^(?:([-−]?(?:\w+(?:\.\d+)?|\([^()]*\)))|\{([^{}]*)\})")
_INDEX = re.compile(r"(?<![\w.])([^\W\d_]{1,2})_(?:(\w)(?!\w)|\{([^{}]*)\})")
_EMPHASIS = re.compile(r"(?<![\w*`])\*(\w[^*`]*)\*(?![\w*])")

_STYLE = Path(__file__).with_name("_report.css").read_text("utf-8")
# Nothing from outside of the page, and nothing to it: it opens from a stick or an archive alike.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_DEPARTS = "Where we depart:"  # a paragraph of an experiment that says so
_CONTENTS = ("result", "claims", "time", "device")


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
    chapters = _by_chapter(judged)
    pieces = [_chapter(name, those, out) for name, those in chapters.items()]
    page = out / "report.html"
    jd.sweeps.write_text(page, _page(chapters, missing, [text for text, _ in pieces]))
    return page, all(drawn for _, drawn in pieces)


def _by_chapter(judged: list[Judged]) -> dict[str, list[Judged]]:
    """Return the runs in the order of the page: in a chapter those with a live figure first."""
    named = {one.stored.name: getattr(one.stored.module, "CHAPTER", "") for one in judged}
    names = [*(name for name in CHAPTERS if name in named.values()), ""]
    found = {
        name: [one for one in judged if named[one.stored.name] == name]
        for name in dict.fromkeys([*names, *named.values()])
    }
    return {
        name: sorted(those, key=lambda one: not hasattr(one.stored.module, "live"))
        for name, those in found.items()
        if those
    }


def _page(chapters: dict[str, list[Judged]], missing: list[str], texts: list[str]) -> str:
    judged = [one for those in chapters.values() for one in those]
    rows = [row for one in judged for row in one.claims]
    tally = f"{sum(row.holds for row in rows)} of {len(rows)} claims hold"
    command = escape(" ".join(["python -m experiments run", *missing]))
    absent = f"<p>Not run yet: <code>{command}</code></p>" if missing else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>jaxdepth: {tally}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>What depth does, claim by claim</h1>
<p class="lead">{tally}. Each section reruns one result on the theory of depth in neural networks:
what the theorem predicts, what came out, and how far to trust the number. <em>exact</em>: integers
or rationals; <em>certified</em>: rounding enclosed; <em>bounded</em>: one-sided under a stated
rounding model; <em>estimate</em>: measured.</p>
<table class="contents">
{_head(_CONTENTS)}
<tbody>
{"".join(_contents(name, those) for name, those in chapters.items())}</tbody>
</table>
{absent}
{"".join(texts)}
</main>
<script>{_live.SCRIPT}</script>
</body>
</html>
"""


def _head(headings: Sequence[str]) -> str:
    cells = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    return f"<thead><tr>{cells}</tr></thead>"


def _contents(name: str, judged: list[Judged]) -> str:
    """Return a chapter's rows of the table of contents."""
    title = f'<tr><th scope="rowgroup" colspan="{len(_CONTENTS)}">{_titled(name)}</th></tr>\n'
    return title + "".join(map(_entry, judged))


def _titled(name: str) -> str:
    return escape(CHAPTERS[name].title if name in CHAPTERS else "Others")


def _entry(one: Judged) -> str:
    name = escape(one.stored.name)
    verdict = f'<span class="{"holds" if one.holds else "FAILS"}">{escape(one.tally)}</span>'
    verdict += ", by an earlier program" if one.stored.stale else ""
    manifest = one.stored.manifest
    cells = (
        f'<a href="#{name}">{_inline(_title(one))}</a>',
        verdict,
        f"{manifest['seconds']:.0f} s",
        escape(_device(manifest)),
    )
    labelled = zip(_CONTENTS, cells, strict=True)
    return (
        f"<tr>{''.join(f'<td data-label={label}>{cell}</td>' for label, cell in labelled)}</tr>\n"
    )


def _device(manifest: dict[str, Any]) -> str:
    return f"{manifest['devices']} × {manifest['device']} ({manifest['machine']})"


def _chapter(name: str, judged: list[Judged], out: Path) -> tuple[str, bool]:
    """Return a chapter, and whether all of its figures could be drawn."""
    parts = [f"<h2>{_titled(name)}</h2>\n"]
    pictures: list[str | None] = []
    if name in CHAPTERS:
        parts += map(_paragraph, CHAPTERS[name].text)
        pictures = [_picture(picture, out) for picture in CHAPTERS[name].pictures]
        parts += [picture or "" for picture in pictures]
    sections = [_section(one) for one in judged]
    parts += [text for text, _ in sections]
    return "".join(parts), None not in pictures and all(drawn for _, drawn in sections)


def _section(one: Judged) -> tuple[str, bool]:
    """Return what is to be said of one run, and whether its figures could be drawn."""
    name, form = one.stored.name, one.stored.manifest["form"]
    body = (inspect.getdoc(one.stored.module) or "").split("\n\n")[1:]
    figure, moving = _figure(one), _moving(one)
    text = f"""
<section id="{escape(name)}">
<h3>{_inline(_title(one))}</h3>
<p class="lead"><code>{escape(name)}</code>, {escape(form)}: {escape(one.tally)}</p>
{_paragraph(STALE.capitalize()) if one.stored.stale else ""}
{"".join(map(_paragraph, body))}
{moving or ""}
<table>
{_head(HEADINGS)}
<tbody>
{"".join(map(_row, one.claims))}</tbody>
</table>
{figure or ""}
{_provenance(one.stored)}
</section>
"""
    return text, figure is not None and moving is not None


def _title(one: Judged) -> str:
    first = (inspect.getdoc(one.stored.module) or one.stored.name).partition("\n\n")[0]
    return " ".join(first.split()).rstrip(".")


def _paragraph(text: str) -> str:
    if text.startswith("    "):
        return f"<pre>{escape(inspect.cleandoc(text))}</pre>\n"
    if text.startswith("- "):
        items = "".join(
            f"<li>{_inline(item)}</li>" for item in re.split(r"^- ", text, flags=re.M)[1:]
        )
        return f"<ul>{items}</ul>\n"
    kind = ' class="departs"' if text.startswith(_DEPARTS) else ""
    return f"<p{kind}>{_inline(text)}</p>\n"


def _inline(text: str) -> str:
    """Return text as HTML: code in backticks, emphasis, indices and powers."""
    return "".join(
        f"<code>{escape(part)}</code>" if i % 2 else _EMPHASIS.sub(r"<em>\1</em>", _prose(part))
        for i, part in enumerate(_CODE.split(text))
    )


def _prose(text: str) -> str:
    lowered = _INDEX.sub(r"\1<sub>\2\3</sub>", escape(text))
    return _POWER.sub(r"<sup>\1\2</sup>", lowered)


def _row(claim: Claim) -> str:
    labelled = zip(HEADINGS, cells(claim), strict=True)
    cell = "".join(
        f'<td data-label="{heading}"><span class="{escape(text) if heading == "verdict" else ""}">'
        f"{_inline(text)}</span></td>"
        for heading, text in labelled
    )
    return f"<tr>{cell}</tr>\n"


def _figure(one: Judged) -> str | None:
    """Return the figure within the page's own text, or None where it could not be drawn."""
    alt = getattr(one.stored.module, "ALT", _title(one))
    return _tried(lambda: _shown(draw(one.stored)[0], alt))


def _moving(one: Judged) -> str | None:
    """Return the live figures, "" where there are none, None where they could not be made."""
    name, live = one.stored.name, getattr(one.stored.module, "live", lambda _: ())
    return _tried(
        lambda: "".join(
            _live.html(figure, f"{name}-{i}") for i, figure in enumerate(live(one.stored.results))
        )
    )


def _picture(picture: Picture, out: Path) -> str | None:
    return _tried(
        lambda: _shown(
            _figures.save(ILLUSTRATIONS[picture.name](), out / picture.name)[0],
            picture.alt,
            picture.told,
        )
    )


def _tried(make: Callable[[], str]) -> str | None:
    """Return what is made; None, its trouble printed, where that fails: the page must come out."""
    try:
        return make()
    except Exception:
        traceback.print_exc()
        return None


def _shown(path: Path, alt: str, caption: str = "") -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    image = f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(alt)}">'
    return f"<figure>{said}{image}</figure>\n"


def _provenance(stored: Stored) -> str:
    manifest = stored.manifest
    facts: dict[str, Any] = {
        "computed": f"{manifest['date']}, in {manifest['seconds']:.0f} s",
        "device": _device(manifest),
        "precision": manifest["precision"],
        **({"seed": manifest["seed"]} if manifest["seed"] is not None else {}),
        "commit": manifest["commit"] or "not from a git checkout",
        "versions": ", ".join(f"{name} {number}" for name, number in manifest["versions"].items()),
        "configuration": json.dumps(manifest["config"], ensure_ascii=False),
        "hash": manifest["hash"],
    }
    items = "".join(f"<dt>{key}</dt><dd>{escape(str(fact))}</dd>" for key, fact in facts.items())
    return f"<details><summary>Where these numbers come from</summary><dl>{items}</dl></details>"
