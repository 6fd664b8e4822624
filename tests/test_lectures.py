"""The lectures, given; and the illustrations, drawn.

Without the run-time type checker, which readers do not have and ball arithmetic pays dearly for.
"""

import runpy
import sys
from pathlib import Path

import matplotlib.image
import pytest

from experiments import _illustrations
from experiments._figures import save

FOLDER = Path(__file__).parents[1] / "lectures"
LECTURES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
SLIDES = {"acceleration": 4, "oscillations": 5, "radial": 5}

pytestmark = pytest.mark.once(x64=True)


def is_drawn(path):
    """Whether a picture is more than its paper: ink on every quarter of it."""
    picture = matplotlib.image.imread(path)[..., :3].min(axis=2)
    rows, columns = (size // 2 for size in picture.shape)
    quarters = [picture[i : i + rows, j : j + columns] for i in (0, rows) for j in (0, columns)]
    return all((quarter < 0.7).mean() > 0.005 for quarter in quarters)


@pytest.mark.parametrize("lecture", LECTURES)
def test_a_lecture_holds_and_draws_its_slides(lecture, untyped, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(sys, "argv", [f"{lecture}.py", "--out", str(tmp_path)])
    runpy.run_path(str(FOLDER / f"{lecture}.py"), run_name="__main__")
    slides = sorted(tmp_path.iterdir())
    assert [path.name for path in slides] == [
        f"{lecture}_{number}.png" for number in range(1, SLIDES[lecture] + 1)
    ]
    assert all(map(is_drawn, slides))


@pytest.mark.parametrize("name", _illustrations.ILLUSTRATIONS)
def test_an_illustration_is_the_same_bytes_when_drawn_again(name, untyped, tmp_path):
    draw = _illustrations.ILLUSTRATIONS[name]
    first, second = (
        [path.read_bytes() for path in save(draw(), tmp_path / stem)] for stem in ("one", "two")
    )
    assert first == second
    assert is_drawn(tmp_path / "one.png")
