"""The figures and the page."""

import html.parser
import re
import sys
from pathlib import Path

import fakes
import matplotlib
import pytest
from matplotlib.figure import Figure

from experiments import _figures
from experiments.__main__ import main

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

    VOID = ("meta", "img", "br")

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
        "Twice <n> is n plus n.",
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


def test_the_page_holds_all_it_shows_and_runs_nothing(page, read):
    assert {"script", "link", "iframe"}.isdisjoint(read.tags)
    sources = [value for name, value in read.attributes if name == "src"]
    assert len(sources) == 2
    assert all(source.startswith("data:image/") for source in sources)
    assert [value for name, value in read.attributes if name == "href"] == ["#failing", "#good"]
    without_pictures = re.sub(r'src="data:[^"]*"', "", page)
    assert "http" not in without_pictures
    assert all(value for name, value in read.attributes if name == "alt")


def test_what_experiments_say_cannot_become_markup(page):
    assert "<n>" not in page
    assert "<VII>" not in page
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


def test_the_style_stays_within_the_figure():
    before = dict(matplotlib.rcParams)
    drawn = _figures.styled(lambda: matplotlib.rcParams["svg.hashsalt"])
    assert drawn() == "jaxdepth"
    assert dict(matplotlib.rcParams) == before
