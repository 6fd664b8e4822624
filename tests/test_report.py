"""The figures and the page."""

import html.parser
import re
import sys
from pathlib import Path

import browser
import fakes
import matplotlib
import pytest
from matplotlib.figure import Figure

from experiments import _dark, _figures, _report
from experiments.__main__ import main
from experiments._table import at_least, at_most, digits

pytestmark = pytest.mark.once(x64=True)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The report, twice, on an experiment that holds, one that fails and one that never ran."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.delenv("JAXDEPTH_DATA", raising=False)
        patch.setenv("JAX_COMPILATION_CACHE_DIR", "set, so that the runner sets none")
        patch.setattr(sys, "dont_write_bytecode", True)
        failing = fakes.GOOD.replace("2 * number}", "3 * number}").replace("Twice", "Thrice")
        package = fakes.write(folder, good=fakes.GOOD, failing=failing, never=fakes.BROKEN)
        assert main(["run"], package) == 1
        first = Path("results/report.html").read_text("utf-8")
        assert main(["report"], package) == 0
        return first, Path("results/report.html").read_text("utf-8")


@pytest.fixture(scope="module")
def page(pages):
    return pages[0]


class Reader(html.parser.HTMLParser):
    """Collects text, attributes and the nesting of tags."""

    VOID = ("meta", "img", "br", "input")

    def __init__(self):
        super().__init__()
        self.text, self.attributes, self.open, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def read(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_the_page_tells_every_claim_and_every_verdict(read):
    text = " ".join(" ".join(read.text).split())
    for phrase in (
        "Twice <n> is n plus n",
        "2n = n + n",
        "Elements <VII>",
        "3 of 4 claims hold",
        "1 of 2 claims hold",
        "Not run yet: python -m experiments run never",
        "numpy",
        '"numbers": [1, 2, 3]',
    ):
        assert phrase in text
    assert [word for word in read.text if word in ("holds", "FAILS")].count("FAILS") == 1


def test_the_page_holds_all_it_shows(page, read):
    assert {"link", "iframe", "object", "embed"}.isdisjoint(read.tags)
    sources = [value for name, value in read.attributes if name == "src"]
    assert len(sources) == 2
    assert all(source.startswith("data:image/svg+xml;") for source in sources)
    assert [value for name, value in read.attributes if name == "href"] == ["#failing", "#good"]
    assert "@import" not in page
    assert "url(" not in page.replace("url(#", "")
    assert all(value for name, value in read.attributes if name == "alt")


@pytest.mark.skipif(browser.find() is None, reason="no Chromium here")
def test_the_page_opens_in_a_browser_and_asks_for_nothing_more(page, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page, "utf-8")
    shown = browser.Page(tmp_path / "profile")
    try:
        shown.open(path)
        for width in (1000, 390):
            shown.size(width, 800)
            assert shown.run("document.documentElement.scrollWidth") <= width
            assert shown.run("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert shown.run("document.querySelectorAll('figure.live svg circle').length") == 2
        assert shown.troubles == []
        assert [each for each in shown.requests if not each.startswith("data:")] == [path.as_uri()]
    finally:
        shown.close()


def test_a_result_of_an_earlier_program_is_marked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "set, so that the runner sets none")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert main(["run"], fakes.write(tmp_path, good=fakes.GOOD)) == 0
    assert "by an earlier program" not in Path("results/report.html").read_text("utf-8")
    edited = fakes.GOOD.replace('{"double": 2 * number}', '{"double": number + number}')
    assert main(["report"], fakes.write(tmp_path, good=edited)) == 0
    page = Path("results/report.html").read_text("utf-8")
    assert "by an earlier program" in page
    assert "The program has changed since these results" in page


def test_what_experiments_say_cannot_become_markup(page):
    assert "<n>" not in page
    assert "<VII>" not in page
    assert "<doubles>" not in page
    assert page.count("</script>") == page.count("<script") == 3
    assert "Elements &lt;VII&gt;, 2<sup>(n+1)</sup>" in page
    assert "The <code>double</code> of a number equals its sum with <em>itself</em> &amp;" in page


def test_the_same_results_give_the_same_page(pages):
    assert pages[0] == pages[1]


def test_pictures_of_the_same_figure_have_the_same_bytes(tmp_path):
    @_figures.styled
    def plot() -> Figure:
        figure, axes = _figures.panels(1, 2)
        for i, colour in enumerate(_figures.colours(3)):
            axes[0].plot([1, 2, 3], [i, 2, 3 * i], color=colour, clip_on=True)
        _figures.bound(axes[1], [1, 2], [3, 4], label="Lemma 3.3")
        axes[1].legend()
        return figure

    first, second = (_figures.save(plot(), tmp_path / name) for name in ("a", "b"))
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("2^k + 1", "2<sup>k</sup> + 1"),
        ("4^−(m+1), s^0.96, 10^-6.5.", "4<sup>−(m+1)</sup>, s<sup>0.96</sup>, 10<sup>-6.5</sup>."),
        ("‖w‖^{2−2/N} > |r|^p", "‖w‖<sup>2−2/N</sup> &gt; |r|<sup>p</sup>"),
        ("E_μ(f − g)², Pr_w g, Σ_{s≤m} m^s", "E<sub>μ</sub>(f − g)², Pr<sub>w</sub> g, "
         "Σ<sub>s≤m</sub> m<sup>s</sup>"),
        ("jd.bounds.l1_gap, a_b_c, depth_width_map", "jd.bounds.l1_gap, a_b_c, depth_width_map"),
    ],
)  # fmt: skip
def test_formulas_are_set_with_indices_and_powers(text, marked):
    assert _report._prose(text) == marked


def test_bounds_are_rounded_to_the_side_that_is_proven():
    assert [at_least(0.12267884), at_most(0.00541648)] == ["0.1226", "0.0055"]
    assert [at_least(0.0178), at_most(0.0178)] == ["0.0178", "0.0178"]  # not a digit is lost
    assert [at_least(67.109, 0), at_most(67.109, 0)] == ["67", "68"]
    assert [at_least(9.99e-14, 1, "e"), at_most(9.99e-14, 1, "e")] == ["9.9e-14", "1.0e-13"]
    assert [digits(12_345.0), digits(2**62)] == ["12,345", "4.612e+18"]


def test_a_drawing_has_its_own_colours_in_the_dark(tmp_path):
    @_figures.styled
    def plot() -> Figure:
        figure, axes = _figures.panels()
        axes.plot([1, 2], [3, 4], color="#440154")  # dark violet, unseen on dark paper
        axes.plot([1, 2], [3, 5], color=_figures.ORANGE)
        return figure

    drawing = _figures.save(plot(), tmp_path / "a")[0].read_text("utf-8")
    rules = drawing.partition("<style>@media (prefers-color-scheme: dark)")[2].partition("</style>")
    seen = re.findall(r'"stroke: (#\w+)"\][^{}]*\{stroke:(#\w+)', rules[0])
    assert dict(seen)["#222222"] == _dark.INK
    assert _figures.ORANGE.lower() not in dict(seen)  # bright enough as it is
    for colour, other in seen:
        if colour != "#e6e6e6":  # the grid is to stand back
            assert _dark.contrast([int(other[i : i + 2], 16) for i in (1, 3, 5)]) >= 4.5


def test_the_style_stays_within_the_figure():
    before = dict(matplotlib.rcParams)
    drawn = _figures.styled(lambda: matplotlib.rcParams["svg.hashsalt"])
    assert drawn() == "jaxdepth"
    assert dict(matplotlib.rcParams) == before
