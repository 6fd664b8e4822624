import math
from fractions import Fraction

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import evaluate

from jaxdepth.crossings import CountResult, Exact, Grid, Rational, count
from jaxdepth.networks import MLP, TwoLayer
from jaxdepth.piecewise import on_line, pieces

NET = MLP((5, 12, 12, 1), bias_std=0.3, key=jax.random.key(7))
PLANE = TwoLayer(2, 9, key=jax.random.key(1))


def point(seed, size=5):
    return jax.random.normal(jax.random.key(seed), (size,))


@pytest.mark.parametrize("seed", range(3))
def test_counts_along_a_segment_agree_by_every_method(seed):
    path = on_line(NET, 3 * point(2 * seed), 3 * point(2 * seed + 1))
    level = Fraction(float(path(0.4)))  # met inside the segment, at a generic point
    exact, rational = (count(path, method, level=level) for method in (Exact(), Rational()))
    assert exact.value == rational.value >= 2
    assert exact.result == rational.result == CountResult.exact
    grid = count(path, Grid(2**12 + 1), level=float(level))
    assert int(grid.value) == exact.value  # no two kinks are nearer than the spacing here
    assert pieces(path).num == pieces(path, method="rational").num > 1


def test_the_path_is_the_network_on_the_segment_and_hits_both_ends():
    start, end = point(0, 2), point(1, 2)
    path = on_line(PLANE, start, end)
    for t in np.linspace(-0.5, 1.5, 9):
        x = (1 - t) * np.asarray(start, np.float64) + t * np.asarray(end, np.float64)
        expected = PLANE(jnp.asarray(x, start.dtype))
        # A coordinate is rounded thrice, and the layers amplify that a few times.
        chex.assert_trees_all_close(
            path(t), expected, rtol=0, atol=100 * jnp.finfo(start.dtype).eps
        )
    assert float(path(0.0)) == float(PLANE(start))
    assert float(path(1)) == float(PLANE(end))


def test_no_difference_of_points_is_rounded(x64):
    # end − start = 1 + 2^-60 is no float: a chord of slope 1 would meet ½ at another t.
    start, end = np.array([-(2.0**-60)]), np.array([1.0])
    net = eqx.tree_at(
        lambda line: (line.weight, line.bias),
        eqx.nn.Linear(1, 1, key=jax.random.key(0)),
        (jnp.ones((1, 1)), jnp.full(1, -0.5)),
    )
    root = (Fraction(1, 2) + Fraction(1, 2**60)) / (1 + Fraction(1, 2**60))
    assert evaluate(on_line(net, start, end).affine_layers(), root) == 0


def test_a_path_through_the_plane_bends_where_it_crosses_the_neurons_lines():
    start, end = np.array([-2.0, 0.5], np.float32), np.array([1.5, -1.0], np.float32)
    first, _ = PLANE.affine_layers()
    z = [
        (np.asarray(first.weight, np.float64) @ x + np.asarray(first.bias, np.float64))
        for x in (start.astype(np.float64), end.astype(np.float64))
    ]
    roots = np.sort((z[0] / (z[0] - z[1]))[z[0] * z[1] < 0])
    found = pieces(on_line(PLANE, start, end))
    assert found.num == len(roots) + 1
    np.testing.assert_allclose(found.breakpoints[1:-1], roots, rtol=1e-12)


@pytest.mark.once
def test_one_output_of_several_is_followed():
    net = eqx.nn.MLP(4, 4, 4, 2, key=jax.random.key(3))
    start, end = point(0, 4), 5 * point(1, 4)
    found = []
    for output in (0, 2):
        path = on_line(net, start, end, output=output)
        assert path(1.0) == net(end)[output]
        x = (jnp.asarray(0.25) * end + jnp.asarray(0.75) * start).astype(start.dtype)
        assert path(0.25) == net(x)[output]
        found.append(pieces(path).values[-1])
        assert pieces(path).num == pieces(path, method="rational").num
    np.testing.assert_allclose(found, net(end)[::2], rtol=1e-5)


@pytest.mark.once(x64=True)
def test_segments_can_be_vmapped_and_traced_once():
    starts, ends = (jnp.stack([3 * point(seed + each) for each in range(6)]) for seed in (0, 6))

    @jax.jit
    @chex.assert_max_traces(n=1)
    def crossings(starts, ends):
        def one(start, end):
            return count(on_line(NET, start, end), Grid(2**8 + 1), level=0.0).value

        return jax.vmap(one)(starts, ends)

    together = crossings(starts, ends)
    crossings(ends, starts)
    one_by_one = [
        int(count(on_line(NET, start, end), Exact(), level=0.0).value)
        for start, end in zip(starts, ends, strict=True)
    ]
    assert together.tolist() == one_by_one


def test_equal_ends_give_a_constant():
    x = point(4)
    path = on_line(NET, x, x)
    assert pieces(path).num == 1
    assert count(path, Exact(), level=float(NET(x)[0]) - 1e-3).value == 1


@pytest.mark.once
def test_smooth_networks_have_paths_too_but_list_no_layers():
    path = on_line(TwoLayer(2, 9, activation="tanh", key=jax.random.key(0)), *jnp.eye(2))
    assert int(count(path, Grid(65), level=path(0.3)).value) >= 2
    with pytest.raises(ValueError, match="`activation` must be piecewise linear"):
        path.affine_layers()


@pytest.mark.parametrize("dtype", [np.int32, np.float16, np.float64])
def test_points_take_the_precision_of_the_network(dtype):
    path = on_line(NET, np.zeros(5, dtype), np.ones(5, dtype))
    chex.assert_type([path.start, path.end, path(0.5)], NET.weight_in.dtype)
    chex.assert_type(path(dtype(1)), NET.weight_in.dtype)


def test_one_t_at_a_time(untyped):
    with pytest.raises(ValueError, match=r"`t` must be a scalar; got \(5,\)"):
        on_line(NET, point(0), point(1))(jnp.ones(5))


@pytest.mark.parametrize(
    ("net", "start", "end", "output", "match"),
    [
        (NET, np.zeros(5), np.zeros(4), None, r"`end` must be of the shape of `start`, \(5,\)"),
        (NET, np.zeros(4), np.zeros(4), None, "`start` must be a point of the network's input"),
        (NET, np.zeros((1, 5)), np.zeros((1, 5)), None, r"`start` must be a real point of shape"),
        (NET, np.zeros(5), np.full(5, math.nan), None, "`end` must be finite"),
        (NET, np.zeros(5), np.full(5, math.inf), None, "`end` must be finite"),
        (NET, np.zeros(5, complex), np.zeros(5), None, "`start` must be a real point"),
        (NET, [0.0] * 5, np.zeros(5), None, "`start` must be an array"),
        (NET, np.zeros(5), np.zeros(5), 1, "`output` must be an integer, at least 0 and at most 0"),
        (jnp.sum, np.zeros(5), np.zeros(5), 0, "`output` must be None"),
        (jnp.sin, np.zeros(5), np.zeros(5), None, "one output.*Name the one to follow by `output="),
        ("net", np.zeros(5), np.zeros(5), None, "`net` must be a network that can be called"),
    ],
)
def test_what_is_no_segment_is_refused(net, start, end, output, match, untyped):
    with pytest.raises(ValueError, match=match):
        on_line(net, start, end, output=output)
