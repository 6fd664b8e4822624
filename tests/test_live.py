"""Live figures, in a real browser: what the slider changes is what the theorem says."""

import re
from dataclasses import replace

import browser
import numpy as np
import pytest

import jaxdepth as jd
from experiments import _live, radial_separation, sawtooth_separation
from experiments._live import Axis, Frame, Live, Panel, area, bars, dots, line, note
from experiments._report import _POLICY, _STYLE

pytestmark = pytest.mark.once(x64=True)
seen = pytest.mark.skipif(browser.find() is None, reason="no Chromium here")

DEPTH = 4
MARKS = (
    "[...document.querySelectorAll('svg')].map(s => [...s.querySelectorAll('g > *')]"
    ".map(mark => mark.outerHTML).join())"
)


def some(**changes):
    panel = Panel("plain & <simple>", Axis("x", 1e-3, 1e4, log=True), Axis("y", -2, 2))
    marks = [
        line([0.01, 1, float("nan"), 10, 100], [0, 1, 1, 1, 0], "blue", dashed=True),
        area([1, 10], [0, 0], [1, 2], "sky"),
        area([1, 10], 0, [1, 2], "orange"),
        bars([1, 10], [2, 20], -1, -0.5, "red"),
        note(1, 1.5, "here </script>", anchor="middle"),
    ]
    frames = [Frame(f"place {i}", [[*marks, dots([10**i], [i], "green")]]) for i in range(3)]
    live = Live("A </script> <b>figure</b>", "place", ["0", "1", "2"], [panel], frames, start=1)
    return replace(live, **changes)


@pytest.fixture(scope="module")
def sawtooth():
    """The live figure of the sawtooths, computed to a small depth."""
    config = replace(sawtooth_separation.QUICK, max_depth=DEPTH, teeth=(2,), theorem=(1,))
    return sawtooth_separation.live(sawtooth_separation.count_deep(config))[0]


@pytest.fixture(scope="module")
def page(sawtooth, tmp_path_factory):
    """Two figures, open in the browser."""
    folder = tmp_path_factory.mktemp("live")
    figures = _live.html(sawtooth, "sawtooth") + _live.html(some(), "some")
    path = folder / "page.html"
    path.write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>live</title>'
        f"<style>{_STYLE}</style>{figures}<script>{_live.SCRIPT}</script></html>",
        "utf-8",
    )
    page = browser.Page(folder / "profile")
    try:
        page.size(1000, 900)
        page.open(path)
        yield page
        assert page.troubles == []
        assert page.requests == [path.as_uri()]  # nothing else, to the end
    finally:
        page.close()


def focus(page, name):
    page.run(f"document.querySelector('#slider-{name}').focus()")


@seen
def test_the_slider_redraws_the_sawtooth_its_classifier_and_its_counts(page):
    focus(page, "sawtooth")
    page.press("Home")
    drawn = []
    for k in range(1, DEPTH + 1):
        told = page.run("document.querySelector('#live-sawtooth output').textContent")
        assert f"k = {k}: {2 * k} layers, {3 * k} ReLUs, {2**k + 1} label intervals" in told
        assert f"{2**k} affine pieces" in told
        inside = "#live-sawtooth svg g"
        assert page.run(f"document.querySelectorAll('{inside} rect').length") == 2 ** (k - 1)
        paths = page.run(f"[...document.querySelectorAll('{inside} path')].map(p => p.outerHTML)")
        sawtooth = next(path for path in paths if "blue" in path)
        assert len(re.findall("[ML]", sawtooth.split('"')[1])) == 2**k + 1
        drawn.append(sawtooth)
        page.press("ArrowRight")
    assert len(set(drawn)) == DEPTH
    said = page.run("document.querySelector('#slider-sawtooth').getAttribute('aria-valuetext')")
    assert said == told


@seen
def test_the_button_plays_to_the_end_and_a_hand_on_the_slider_stops_it(page):
    page.run("document.querySelector('#live-some button').click()")
    assert page.run("document.querySelector('#live-some button').ariaLabel") == "pause"
    ended = (
        "new Promise(done => { const wait = () => document.querySelector('#live-some button')"
        ".ariaLabel === 'play' ? done(document.querySelector('#slider-some').value)"
        " : setTimeout(wait, 50); wait(); })"
    )
    assert page.run(ended) == "2"
    page.run("document.querySelector('#live-some button').click()")
    focus(page, "some")
    page.press("ArrowRight")
    assert page.run("document.querySelector('#live-some button').ariaLabel") == "play"
    assert page.run("document.querySelector('#live-some output').textContent") == "place 1"


@seen
def test_all_that_is_said_is_text(page):
    assert page.run("document.querySelector('#live-some figcaption').textContent") == (
        "A </script> <b>figure</b>"
    )
    assert page.run("document.querySelectorAll('b').length") == 0
    texts = page.run("[...document.querySelectorAll('#live-some text')].map(t => t.textContent)")
    assert {"plain & <simple>", "here </script>", "10⁻³", "10⁴", "x", "y"} <= set(texts)


@seen
@pytest.mark.parametrize("width", [1000, 390, 320])
def test_a_narrow_page_is_not_scrolled_sideways(page, width):
    page.size(width, 800)
    assert page.run("document.documentElement.scrollWidth") <= width
    widths = page.run(
        "[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().width)"
    )
    assert all(250 < each <= width for each in widths)
    assert not any("NaN" in marks for marks in page.run(MARKS))


@seen
def test_ink_and_paper_change_places_in_the_dark(page):
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('svg .title')).fill"
    found = {}
    for dark in (False, True):
        page.dark(dark)
        found[dark] = [sum(map(int, re.findall(r"\d+", page.run(each)))) for each in (ground, ink)]
    assert found[False][0] > 700 > 150 > found[False][1]
    assert found[True][0] < 150 < 600 < found[True][1]


def test_what_no_tube_holds_in_the_picture_is_the_floor_that_is_told():
    dim, target = 3, jd.radial.Cosine(4.0, 10.0)
    u, directions = np.linspace(1e-3, 6.0, 301), np.array([1.0, 2, 4, 8, 16])
    certificate = jd.radial.certify(target, dim, directions)
    found = {
        "frequencies": u,
        "spectrum": np.asarray(target.spectrum(u, dim)),
        "share": radial_separation.tube_share(u, dim),
        "directions": directions,
        "floors": np.asarray(certificate.floor),
        "norm": np.asarray(certificate.norm_squared),
    }
    figure = radial_separation._uncovered("a wave", found, 0.0, [], [])
    assert list(figure.places) == ["1", "2", "4", "8", "16"]
    for frame, floor in zip(figure.frames, found["floors"], strict=True):
        held, out = frame.marks[0]
        assert held["high"] == out["low"]
        drawn = np.trapezoid(np.subtract(out["high"], out["low"]), out["x"])
        # The grid's quadrature; four digits a coordinate; and the mass beyond u = 5.2, under .3%.
        assert floor - 0.004 * float(found["norm"]) < drawn < floor + 0.001
        told = re.search(r"errs by (\S+) or more", frame.told).group(1)
        assert floor - 1e-4 < float(told) <= floor


def test_numbers_are_as_fine_as_a_pixel_and_gaps_are_gaps():
    assert _live.rounded([1 / 3, float("nan"), float("inf"), 2]) == [0.3333, None, None, 2.0]
    assert _live.scientific(0.00152) == "1.5e-3"
    assert _live.log_steps(1, 1000, 4) == [1, 10, 100, 1000]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"places": ["0", "1"]}, "2 places need as many frames: 3"),
        ({"panels": []}, "needs marks for 0 panels"),
        ({"start": 3}, "`start` must be one of the 3 places: 3"),
    ],
)
def test_a_figure_without_all_of_its_frames_is_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        some(**changes)
