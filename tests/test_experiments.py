"""Every experiment keeps the contract, and its claims hold on what it computes."""

import dataclasses
import functools
import importlib
import json
import os
import typing

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.__main__ import discover
from experiments._chapters import CHAPTERS
from experiments._contract import Claim, Grade, direct
from experiments._figures import drawing
from experiments._live import html
from experiments._runner import CONTRACT
from experiments._store import as_arrays

NAMES = list(discover())
DATA = os.environ.get("JAXDEPTH_DATA")
# One pass of the suite is enough: experiments choose their precision themselves.
once = pytest.mark.once


def module_of(name):
    return importlib.import_module(f"experiments.{name}")


# These take up to a minute each. `python3 run.py` computes and judges them all the same.
LONG = {"radial_separation", "ball_indicator", "hardest_radial", "certificate_map"}
# A dimension is a compilation of many seconds, and a network a training: fewer will do here.
FEWER = {
    "width_table": {"dims": (3, 30, 60)},
    "sawtooth_separation": {"restarts": 2},
    "pieces_at_init": {"draws": 40},
    "learning_oscillations": {"starts": (4, 3, 3)},
}


def cases():
    """Every experiment on what it carries along, and on the real rows where they are given."""
    for name in NAMES:
        long = [pytest.mark.slow] if name in LONG else []
        yield pytest.param(name, None, id=name, marks=long)
        if DATA and hasattr(module_of(name).QUICK, "data"):
            yield pytest.param(name, DATA, id=f"{name}-data", marks=pytest.mark.slow)


@functools.cache
def results_of(name, data):
    """What the quick form computes, once for all tests."""
    quick = module_of(name).QUICK
    config = dataclasses.replace(quick, data=data) if data else quick
    config = dataclasses.replace(config, **FEWER.get(name, {}))
    return as_arrays(module_of(name).run(config, direct), name)


def test_the_three_results_are_there():
    named = {"sawtooth_separation", "radial_separation", "implicit_acceleration"}
    assert named <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_keeps_the_contract(name):
    module = module_of(name)
    assert all(hasattr(module, part) for part in CONTRACT)
    assert discover()[name].endswith(".")
    assert module.Config.__dataclass_params__.frozen
    for config in (module.QUICK, module.FULL):
        assert isinstance(config, module.Config)
        hash(config)
        json.dumps(dataclasses.asdict(config))
    assert module.QUICK != module.FULL


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"steps": 0}, "`steps` must be at least 1; got 0"),
        ({"records": 0}, "`records` must be at least 1"),
        ({"records": 3}, "`records` must divide the steps, 400"),
        ({"records": 3, "data": "a folder"}, "`records` must divide the steps, 2000"),
        ({"rates": 3}, "`rates` must be at least 4"),
        ({"scouting": (401,)}, "`scouting` must be from 1 to the steps, 400"),
        ({"spacing": 1.0}, "`spacing` must be between 1 and 10"),
        ({"seed": -1}, "`seed` must be at least 0"),
    ],
)
def test_sizes_of_the_acceleration_that_cannot_be_run_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(module_of("implicit_acceleration").QUICK, **change)


@once
@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("ball_indicator", {"dims": (10, 20)}, r"`dims` must be among \[3, 10, 20\] and hold 3"),
        ("ball_indicator", {"dims": (3, 4)}, "`dims` must be among"),
        ("width_table", {"dims": (3,)}, "`dims` must be two or more, ascending from 2 on"),
        ("width_table", {"dims": (10, 3)}, "`dims` must be two or more, ascending"),
        ("width_table", {"checked": (7,)}, "`checked` must be among `dims`"),
        ("width_table", {"shares": (0.1, 0.5)}, "`shares` must descend between 1 and 0"),
    ],
)
def test_sizes_without_an_answer_are_refused(name, change, match):
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(module_of(name).QUICK, **change)


@once
def test_directions_on_the_spiral_are_units_that_stay_apart():
    v = module_of("ball_indicator")._spiral(35)
    np.testing.assert_allclose(
        np.linalg.norm(v, axis=1), 1, rtol=1e-14
    )  # rounding of three squares
    cosines = np.abs(v @ v.T)[~np.eye(35, dtype=bool)]
    # 35 caps of one radius, and their mirror images, cover at most the sphere: 70·(1 − cos r) ≤ 2.
    closest = np.degrees(np.arccos(cosines.max()))
    assert 10 < closest < 2 * np.degrees(np.arccos(1 - 2 / 70))


@once
@pytest.mark.parametrize(("name", "data"), list(cases()))
def test_the_claims_hold(name, data):
    module, results = module_of(name), results_of(name, data)
    claims = module.claims(results)
    assert claims
    for row in claims:
        assert isinstance(row, Claim)
        assert all((row.claim, row.source, row.predicted, row.measured))
        assert row.grade in typing.get_args(Grade)
        assert isinstance(row.holds, (bool, np.bool_))
    module.check(results)


@once
@pytest.mark.parametrize(("name", "data"), list(cases()))
def test_the_figure_reads_results_only(name, data):
    results = results_of(name, data)
    before = {key: array.copy() for key, array in results.items()}
    plot = module_of(name).plot
    first, second = plot(results), plot(results)
    assert isinstance(first, Figure)
    assert results.keys() == before.keys()
    for key, array in before.items():
        np.testing.assert_array_equal(results[key], array)
    assert drawing(first) == drawing(second)


@once
@pytest.mark.parametrize(
    ("name", "data"), [case for case in cases() if hasattr(module_of(case.values[0]), "live")]
)
def test_live_figures_read_results_only(name, data):
    results = results_of(name, data)
    before = {key: array.copy() for key, array in results.items()}
    live = module_of(name).live
    first, second = ([html(each, name) for each in live(results)] for _ in range(2))
    assert first == second != []
    for each in live(results):
        told = [frame.told for frame in each.frames]
        assert len(set(told)) == len(set(each.places)) == len(told) > 1
        assert all(axis.low < axis.high for panel in each.panels for axis in (panel.x, panel.y))
    assert results.keys() == before.keys()
    for key, array in before.items():
        np.testing.assert_array_equal(results[key], array)


@once
def test_every_experiment_stands_in_a_chapter_and_says_what_its_figure_shows():
    assert {module_of(name).CHAPTER for name in NAMES} == set(CHAPTERS)
    texts = [module_of(name).ALT for name in NAMES]
    assert len(set(texts)) == len(texts)
    assert all(100 < len(text) < 340 and text.endswith(".") for text in texts)
