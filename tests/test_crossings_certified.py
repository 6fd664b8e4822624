import functools
import math
from fractions import Fraction

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxdepth._misc import as_float64
from jaxdepth.crossings import Certified, CountResult, Exact, Grid, count
from jaxdepth.crossings._enclosures import ENCLOSURES, KAPPA, piecewise_linear
from jaxdepth.crossings._intervals import enclose
from jaxdepth.crossings._steps import steps
from jaxdepth.networks import (
    MLP,
    AffineLayer,
    Composition,
    Iterated,
    Sawtooth,
    ThreeLayer,
    TwoLayer,
)
from jaxdepth.piecewise import on_line
from jaxdepth.piecewise._on_line import Restriction

mp = mpmath.mp.clone()
mp.dps = 40


def gelu(x):
    return x * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3))) / 2


# The same functions by another route, and their derivatives by yet another: differentiation.
MATHEMATICAL = {
    "tanh": mp.tanh,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "silu": lambda x: x / (1 + mp.exp(-x)),
    "gelu": gelu,
    "gelu_erf": lambda x: x * mp.ncdf(x),
    "sin": mp.sin,
    "cos": mp.cos,
    "rbf": lambda x: mp.exp(-(x**2)),
}


def derivative(function, x):
    """f′ by a central difference: off by h²f‴/6 + 10⁻⁸⁰/h, h = 10⁻²⁵."""
    with mp.workdps(80):
        h = mp.mpf(10) ** -25
        return (function(x + h) - function(x - h)) / (2 * h)


def arguments(generator, size):
    """Dense where the functions bend, with reduction's borders, tails, giants and dwarfs."""
    borders = np.log(2) * (np.arange(-12, 12) + 0.5)
    special = [0.0, -0.0, 1e-300, -1e-300, 5e-324, 1e-9, 345.0, -345.0, 689.9, -691.0, 8.5, -8.5]
    bulk = generator.uniform(-4, 4, size), generator.normal(size=size) * 30
    return np.concatenate([*bulk, borders, np.arange(-36, 36) / 8.0 + 1e-12, special])


@pytest.mark.once
@pytest.mark.parametrize("name", ENCLOSURES)
def test_an_activation_and_its_slope_keep_to_their_error_bounds(name, x64):
    sigma, function = ENCLOSURES[name], MATHEMATICAL[name]
    x = arguments(np.random.default_rng(0), 60)
    if sigma.period is None:
        x = np.concatenate([x, [-1e9, 1e9, -1e5, 1e5]])
    else:
        x = np.concatenate([x, [-1048576.0, 1048575.9]])
    value = [function(mp.mpf(number)) for number in x.tolist()]
    slope = [derivative(function, mp.mpf(number)) for number in x.tolist()]
    for point, array in ((sigma.point, x), (jax.jit(sigma.point), jnp.asarray(x))):  # XLA fuses
        off, tilted = (
            np.array(
                [float(exact - mp.mpf(v)) for exact, v in zip(truth, got.tolist(), strict=True)]
            )
            for truth, got in zip((value, slope), point(array), strict=True)
        )
        # An eighth of the bound is never reached: its proof gives room away on purpose.
        assert np.all(np.abs(off) <= KAPPA / 8 * (1 + np.abs(x)))
        assert np.all(np.abs(tilted) <= KAPPA / 8)


@pytest.mark.once
def test_every_extremum_in_the_table_is_one():
    for name, sigma in ENCLOSURES.items():
        function = MATHEMATICAL[name]
        for place, value in sigma.extrema:
            assert abs(mp.findroot(lambda x, f=function: mp.diff(f, x), place) - place) < 1e-15
            assert abs(function(mp.mpf(place)) - value) < 1e-15
        for place, slope in sigma.slope_extrema:
            bend = mp.findroot(lambda x, f=function: mp.diff(f, x, 2), mp.mpf(place))
            assert abs(bend - place) < 1e-15
            assert abs(mp.diff(function, bend) - slope) < 1e-15
        steepest = max([abs(slope) for _, slope in sigma.slope_extrema], default=1.0)
        assert steepest <= sigma.lipschitz <= 1.03 * max(steepest, 0.25)


@pytest.mark.once
@pytest.mark.parametrize("name", [*ENCLOSURES, "leaky"])
def test_ranges_over_intervals_hold_every_sample_and_are_not_idle(name):
    sigma = piecewise_linear(0.01) if name == "leaky" else ENCLOSURES[name]
    generator = np.random.default_rng(1)
    middle = generator.normal(size=2000) * 10.0 ** generator.integers(-2, 3, 2000)
    width = 10.0 ** generator.uniform(-12, 1.5, 2000)
    low, high = middle - width, middle + width
    for index, extrema in ((0, sigma.extrema), (1, sigma.slope_extrema)):
        at = [sigma.point(end)[index] for end in (low, high)]
        least, greatest = sigma.span(low, high, at, extrema)
        inside = low + (high - low) * np.linspace(0, 1, 101)[:, None]
        samples = sigma.point(inside)[index]
        doubt = KAPPA * (1 + np.maximum(np.abs(low), np.abs(high)))
        assert np.all(least - doubt <= samples.min(axis=0))
        assert np.all(samples.max(axis=0) <= greatest + doubt)
        # Samples are spaced width/50 apart; what lies between is a slope's worth.
        room = sigma.lipschitz * width / 25 if index == 0 else 4 * width / 25
        narrow = width < 1
        assert np.all((samples.max(axis=0) - least >= -doubt)[narrow])
        assert np.all((greatest - samples.max(axis=0) <= room + 2 * doubt)[narrow])
        assert np.all((samples.min(axis=0) - least <= room + 2 * doubt)[narrow])


def evaluated(net, x):
    """The steps of a network at a float x, in 40 digits."""
    h = [mp.mpf(x)]
    for step in net:
        rows = zip(step.weight.tolist(), step.bias.tolist(), strict=True)
        h = [mp.fdot(row, h) + offset for row, offset in rows]
        h = [MATHEMATICAL[step.smooth](unit) for unit in h] if step.smooth else h
    return h[0]


def listed(net):
    return steps(as_float64(net), "net")


@pytest.mark.once
@pytest.mark.parametrize("activation", ["tanh", "gelu", "sin"])
def test_boxes_hold_the_network_and_its_slope(activation):
    net = listed(multilayer(activation, 2))
    generator = np.random.default_rng(3)
    a = generator.uniform(-3, 3, 8)
    b = a + 10.0 ** generator.uniform(-9, 0, 8)
    c = a + (b - a) * 0.4
    found = enclose(net, a, b, c, 0.0, 0.0)
    for box in range(8):
        if not found.sound[box]:
            continue
        centre = evaluated(net, c[box])
        assert abs(centre - found.centre[box, 0]) <= found.centre_radius[box, 0] < 1e-11
        for x in np.linspace(a[box], b[box], 5):
            assert found.low[box, 0] <= evaluated(net, x) <= found.high[box, 0]
            slope = derivative(functools.partial(evaluated, net), mp.mpf(float(x)))
            assert abs(slope - found.slope[box, 0]) <= found.slope_radius[box, 0] + 1e-20


ELEMENTARY = {
    "tanh": np.tanh,
    "sigmoid": lambda x: 0.5 + 0.5 * np.tanh(0.5 * x),
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "silu": lambda x: x * (0.5 + 0.5 * np.tanh(0.5 * x)),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "sin": np.sin,
    "cos": np.cos,
    "rbf": lambda x: np.exp(-(x**2)),
}


def refined_count(net, level, interval, points=2001):
    """Count on a dense grid, refined wherever |f − level| is locally least."""
    sigma = ELEMENTARY[net.activation]
    weights = [np.asarray(each, np.float64) for each in (net.weight_in, *net.weights)]

    def value(x):
        h = x[None]
        for weight, bias in zip(weights, np.asarray(net.biases, np.float64), strict=True):
            h = sigma(weight @ h + bias[:, None])
        return (np.asarray(net.weight_out, np.float64) @ h)[0] + float(net.bias_out[0]) - level

    x = np.linspace(*interval, points)
    size = np.abs(value(x))
    dips = 1 + np.nonzero((size[1:-1] <= size[:-2]) & (size[1:-1] <= size[2:]))[0]
    fine = [np.linspace(x[i - 1], x[i + 1], 101) for i in dips]
    labels = value(np.unique(np.concatenate([x, *fine]))) >= 0
    return int(np.count_nonzero(labels[1:] != labels[:-1])) + 1


@pytest.mark.parametrize(
    ("activation", "gain"),
    [("tanh", 30.0), ("sigmoid", 400.0), ("softplus", 9.0), ("gelu", 9.0), ("silu", 9.0),
     ("sin", 3.0), ("cos", 3.0), ("rbf", 9.0)],
)  # fmt: skip
def test_random_networks_are_counted_as_a_refined_grid_counts_them(activation, gain):
    for seed in range(3):
        net = multilayer(activation, seed, gain)
        for level in (-0.3, 0.15):
            answer = count(net, Certified(), interval=(-3.0, 3.0), level=level)
            assert answer.trusted is True
            assert answer.result == CountResult.certified
            grid = refined_count(net, level, (-3.0, 3.0))
            assert answer.value == answer.lower == answer.upper == grid


def layer(weight, bias):
    return AffineLayer(np.array(weight, float), np.array(bias, float), np.array(1.0))


def drawn(make, *args, **options):
    """Build a network of standard normals from its shapes: JAX's own draws cost compilations."""
    shapes = eqx.filter_eval_shape(make, *args, key=jax.random.key(0), **options)
    generator = np.random.default_rng(7)

    def fill(leaf):
        return jnp.asarray(generator.normal(size=leaf.shape), leaf.dtype)

    return jax.tree.map(lambda leaf: fill(leaf) if hasattr(leaf, "shape") else leaf, shapes)


def sequential(*parts):
    """Linear maps given as (weight, bias), and activations between them."""

    def linear(weight, bias):
        weight, bias = np.array(weight, np.float64), np.array(bias, np.float64)
        made = drawn(eqx.nn.Linear, *weight.shape[::-1])
        return eqx.tree_at(lambda made: (made.weight, made.bias), made, (weight, bias))

    return eqx.nn.Sequential(
        [linear(*part) if isinstance(part, tuple) else eqx.nn.Lambda(part) for part in parts]
    )


def multilayer(activation, seed, gain=9.0):
    """One shape, one compilation for all that are drawn."""
    key = jax.random.key(seed)
    return MLP((1, 12, 12, 1), activation=activation, weight_gain=gain, key=key)


def gaussian(x):
    return jnp.exp(-jnp.square(x))


def bump(height):
    """f(x) = height·e^{−x²}: its maximum is exactly `height`, at 0."""
    return sequential(([[1]], [0]), gaussian, ([[height]], [0]))


def test_a_maximum_that_touches_the_level_is_never_certified():
    for level, value in ((0.5 - 1e-9, 3), (0.5 + 1e-9, 1)):
        answer = count(bump(0.5), Certified(), interval=(-1.0, 1.3), level=level)
        assert (answer.value, answer.trusted) == (value, True)
    answer = count(bump(0.5), Certified(), interval=(-1.0, 1.3), level=0.5)
    assert answer.result == CountResult.not_certified
    assert answer.trusted is False
    assert answer.value == answer.lower == 1  # the truth, by the convention f ≥ level, is 3
    assert answer.upper == math.inf


def test_maxima_of_all_but_equal_height_are_told_apart():
    heights = [[1.0, 1.0 + 1e-10]]
    net = sequential(([[1], [1]], [3, -3]), gaussian, (heights, [0]))  # they add 2e-16 to another
    for level, crossings in ((1 - 5e-11, 5), (1 + 5e-11, 3), (1 + 1.5e-10, 1)):
        answer = count(net, Certified(), interval=(-5.0, 5.0), level=level)
        assert (answer.value, answer.trusted) == (crossings, True)


def test_a_root_at_an_end_leaves_both_counts_possible():
    net = sequential(([[1]], [0]), jnp.tanh, ([[1]], [0]))
    answer = count(net, Certified(), interval=(0.0, 1.0), level=0.0)
    assert answer.result == CountResult.not_certified
    assert (answer.lower, answer.upper) == (1, 2)
    inside = count(net, Certified(), interval=(-1.0, 1.0), level=0.0)
    assert inside.value == 2  # the first cut falls on the root, the next does not


def test_functions_that_stay_at_the_level_end_uncertified():
    for weight in (0.0, 1e-300):
        net = sequential(([[weight]], [0]), jnp.tanh, ([[1]], [0.5]))
        answer = count(net, Certified(), level=0.5)
        assert (answer.lower, answer.upper) == (1, math.inf if weight == 0 else 2)
        assert answer.result == CountResult.not_certified
        assert count(net, Certified(), level=0.25).value == 1


def test_saturated_and_huge_networks_are_counted_or_given_up_but_never_wrong():
    steep = sequential(([[1e9], [1e9]], [-3e8, -6e8]), jnp.tanh, ([[1, -1]], [0]))
    assert count(steep, Certified(), level=0.5).value == 3  # a plateau of 2 on (0.3, 0.6)
    flat = count(steep, Certified(), level=2.0)  # 2 is the supremum, met to within e^(−1e8)
    assert flat.trusted is False
    assert flat.lower <= 1 <= flat.upper
    huge = sequential(([[1e200]], [-3e199]), jnp.tanh, ([[1e200]], [0]), jnp.tanh, ([[1]], [0]))
    answer = count(huge, Certified(), level=0.5)
    assert answer.lower <= 2 <= answer.upper
    beyond = sequential(([[1e308]], [0]), jax.nn.silu, ([[1e308]], [0]))
    assert count(beyond, Certified()).result == CountResult.not_certified


def test_a_budget_of_boxes_is_kept_and_bounds_stay_true():
    net = multilayer("sin", 0)
    whole = count(net, Certified(), interval=(-3.0, 3.0), level=0.0)
    short = count(net, Certified(max_boxes=100), interval=(-3.0, 3.0), level=0.0)
    assert whole.trusted
    assert whole.value > 2
    assert short.result == CountResult.not_certified
    assert 1 <= short.lower <= whole.value <= short.upper


def test_crossings_that_a_grid_misses_are_found():
    narrow = sequential(([[1e4]], [-3217.0]), gaussian, ([[1]], [0]))
    assert int(count(narrow, Grid(1025)).value) == 1
    assert count(narrow, Certified()).value == 3


def test_float32_weights_are_counted_as_they_are_stored(x32):
    net = sequential(([[1]], [0]), jnp.tanh, ([[1]], [0]))
    third = np.float32(1 / 3)
    net = eqx.tree_at(lambda net: net.layers[-1].bias, net, jnp.array([-third], jnp.float32))
    root = float(mp.atanh(mp.mpf(float(third))))
    for level, crossings in ((np.nextafter(root, 0) - 1e-12, 1), (root + 1e-12, 2)):
        assert count(net, Certified(), interval=(0, level), level=0.0).value == crossings


def test_levels_and_ends_beyond_float64_are_enclosed():
    net = sequential(([[3]], [0]), jax.nn.softplus, ([[1]], [0]))
    assert count(net, Certified(), interval=(Fraction(-1, 3), Fraction(1, 3)), level=1).value == 2
    close = Fraction(float(mp.log(2))) + Fraction(1, 2**70)
    assert count(net, Certified(), interval=(0, 1), level=close).trusted is False
    assert count(net, Certified(), interval=(0, 1), level=Fraction(10**9, 7)).value == 1


NETWORKS = {
    "padded": lambda: MLP.padded(
        (1, 12, 12, 1), width=4, depth=1, activation="tanh", key=jax.random.key(1)
    ),
    "TwoLayer": lambda: drawn(TwoLayer, 1, 8, activation="sigmoid"),
    "ThreeLayer": lambda: drawn(ThreeLayer, 1, (8, 3), activation="gelu"),
    "eqx.nn.MLP": lambda: drawn(eqx.nn.MLP, 1, 1, 8, 2, activation=jax.nn.silu),
    "Sequential": lambda: eqx.nn.Sequential(
        [
            drawn(eqx.nn.Linear, 1, 5),
            eqx.nn.Lambda(functools.partial(jax.nn.gelu, approximate=False)),
            drawn(eqx.nn.Linear, 5, 5, use_bias=False),
            eqx.nn.Lambda(jax.nn.leaky_relu),
            eqx.nn.Lambda(lambda x: jnp.sin(x)),
            drawn(eqx.nn.Linear, 5, 1),
        ]
    ),
    "line": lambda: on_line(
        drawn(eqx.nn.MLP, 3, 2, 4, 1, activation=jax.nn.softplus),
        jnp.array([0.1, -2.0, 1.0]),
        jnp.array([1.0, 3.0, -0.7]),
        output=1,
    ),
    "line to an activation": lambda: on_line(
        drawn(eqx.nn.MLP, 2, 2, 4, 1, activation=jnp.tanh, final_activation=jax.nn.sigmoid),
        jnp.array([0.1, -2.0]),
        jnp.array([1.0, 3.0]),
        output=0,
    ),
    "Composition": lambda: Composition([Iterated(Sawtooth(1), 2), multilayer("tanh", 1)]),
}


@pytest.mark.once
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_the_library_is_read_as_it_computes(name, x64):
    net, x = NETWORKS[name](), jnp.array([-1.7, 0.3, 2.2])
    found = enclose(listed(net), *3 * [np.asarray(x, np.float64)], 0.0, 0.0)
    assert found.sound.all()
    inputs = x if isinstance(net, (Restriction, Composition)) else x[:, None]
    value = np.asarray(jax.jit(jax.vmap(net))(inputs), np.float64).reshape(-1)
    # The network itself rounds in the working precision, 1e-7 where that is float32.
    chex.assert_trees_all_close(found.centre[:, 0], value, rtol=1e-5, atol=1e-5)


def test_slopes_and_integers_are_taken_as_exact_counting_takes_them(x32, untyped):
    ramp = eqx.nn.Sequential(
        [drawn(eqx.nn.Linear, 1, 1, use_bias=False), eqx.nn.Lambda(jax.nn.leaky_relu)]
    )
    ramp = eqx.tree_at(lambda net: net.layers[0].weight, ramp, jnp.ones((1, 1), jnp.float32))
    level = -(0.01 + float(np.float32(0.01))) / 2  # float32 rounds the slope down: f(−1) is above
    for method in (Certified(), Exact()):
        assert count(ramp, method, interval=(-1.0, 1.0), level=level).value == 1
    integers = np.array([[-128]], np.int8), np.array([3], np.int8)  # |−128| overflows in int8
    line = eqx.tree_at(lambda net: (net.weight, net.bias), drawn(eqx.nn.Linear, 1, 1), integers)
    for method in (Certified(), Exact()):
        assert count(line, method).value == 2


def test_intervals_of_a_few_ulps_and_thinner_than_one_are_counted():
    net = sequential(([[1]], [0]), jnp.tanh, ([[1]], [0]))
    third = Fraction(1, 3)
    for interval in (
        (1.0, np.nextafter(1.0, 2)),
        (1.0, 1 + 2.0**-50),
        (third, third + Fraction(1, 2**80)),
    ):
        answer = count(net, Certified(), interval=interval)
        assert (answer.value, answer.trusted) == (1, True)


def test_piecewise_linear_networks_agree_with_exact_counting():
    for seed in range(3):
        net = multilayer("relu", seed, 2.0)
        exact = count(net, Exact(), interval=(-3.0, 3.0), level=0.3)
        assert count(net, Certified(), interval=(-3.0, 3.0), level=0.3).value == exact.value


@pytest.mark.once
def test_traced_counts_equal_eager_ones_and_gradients_pass(x64):
    def padded(depth):
        """What is written into the padding must not count, for the network itself masks it."""
        net = jax.tree.map(np.asarray, multilayer("rbf", depth, 16.0))
        sizes = np.full(2, 6, np.int32), np.array(depth, np.int32)
        return eqx.tree_at(lambda net: (net.widths, net.depth), net, sizes)

    def bump_of(net, weight_in, weight_out, bias):
        """One unit: weight_out·e^{−(weight_in·x)²} + bias."""
        net = jax.tree.map(lambda leaf: leaf * 0 if leaf.dtype == float else leaf, net)
        net.weight_in[0], net.weight_out[0, 0], net.bias_out[0] = weight_in, weight_out, bias
        return net

    touching = bump_of(padded(1), 1.0, 0.5, 0.0)
    broken = bump_of(padded(1), 1.0, 0.5, np.nan)
    nets = [padded(1), padded(2), touching, touching, broken]

    def one(net, level):
        return count(net, Certified(), interval=(-3.0, 3.1), level=level)

    def scaled(scale, net, level):
        net = eqx.tree_at(lambda net: net.weight_out, net, scale * net.weight_out)
        answer = one(net, level)
        return scale**2 * answer.value.astype(float), answer

    chex.clear_trace_counter()
    program = jax.value_and_grad(chex.assert_max_traces(scaled, n=1), has_aux=True)
    program = jax.jit(jax.vmap(program, (None, 0, 0)))
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *nets)
    for levels in ([-0.7, 0.1, 0.25, 0.5, 0.5], [0.1, -0.7, 0.25, 0.5, 0.5]):
        (_, answer), gradient = program(1.0, stacked, np.array(levels))
        chex.assert_type(answer.value, jnp.int64)
        eager = [one(net, level).value for net, level in zip(nets[:3], levels, strict=False)]
        assert answer.value.tolist()[:3] == answer.upper.tolist()[:3] == eager
        assert eager[2] == 3
        assert gradient.tolist() == [2.0 * value for value in answer.value.tolist()]
        assert answer.trusted.tolist() == [True, True, True, False, False]
        results = jax.tree.map(np.asarray, answer.result)
        results = [jax.tree.map(lambda leaf, i=i: leaf[i], results) for i in (2, 3, 4)]
        expected = CountResult.certified, CountResult.not_certified, CountResult.not_finite
        assert all(bool(got == told) for got, told in zip(results, expected, strict=True))
        assert (answer.lower.tolist()[3], answer.upper.tolist()[3]) == (1, jnp.iinfo(jnp.int64).max)


def test_a_trace_without_64_bit_is_refused_with_the_cure(x32):
    net = drawn(TwoLayer, 1, 4, activation="tanh")
    with pytest.raises(ValueError, match=r"`Certified` is exact and needs float64"):
        eqx.filter_jit(lambda net: count(net, Certified(), level=0.0).value)(net)
    # A concrete network inside a caller's trace is counted all the same.
    alone = count(net, Certified(), level=0.0).value
    assert float(jax.jit(lambda x: x * count(net, Certified(), level=0.0).value)(1.0)) == alone


def test_what_cannot_be_certified_is_refused(untyped):
    step = drawn(TwoLayer, 1, 4, activation="step")
    with pytest.raises(ValueError, match=r"activations .*tanh.*; got 'step'. .* by `Grid`"):
        count(step, Certified())
    with pytest.raises(ValueError, match="`fn` must be a network of activations"):
        count(drawn(eqx.nn.MLP, 1, 1, 4, 1, activation=jnp.cbrt), Certified())

    def nearly(x):
        return x * (0.5 * (1 + jnp.tanh(0.7978845608 * (x + 0.044715 * x**3))))

    with pytest.raises(ValueError, match="`fn` must be a network of activations"):  # not √(2/π)
        count(drawn(eqx.nn.MLP, 1, 1, 4, 1, activation=nearly), Certified())
    with pytest.raises(ValueError, match="`fn` must be a network that lists its layers"):
        count(jnp.sin, Certified())
    with pytest.raises(ValueError, match="`fn` must be a network of one input and one output"):
        count(drawn(TwoLayer, 2, 3, activation="tanh"), Certified())
    with pytest.raises(ValueError, match="`fn` must be layers whose shapes fit"):
        count([layer([[1], [1]], [0, 0]), layer([[1]], [0])], Certified())
    with pytest.raises(ValueError, match="`max_boxes` must be"):
        Certified(max_boxes=0)
    for untraceable in (np.tanh, math.tanh, jax.nn.glu, None):
        with pytest.raises(ValueError, match="`fn` must be a network of activations"):
            count(
                eqx.nn.Sequential([drawn(eqx.nn.Linear, 1, 1), eqx.nn.Lambda(untraceable)]),
                Certified(),
            )
    for weight in (np.array([[1j]]), np.array([[True]])):
        odd = eqx.tree_at(lambda net: net.weight, drawn(eqx.nn.Linear, 1, 1), weight)
        with pytest.raises(ValueError, match="`fn` must be a network of real weights"):
            count(odd, Certified())
    for bad in (np.nan, np.inf):
        broken = sequential(([[bad]], [0]), jnp.tanh, ([[1]], [0]))
        with pytest.raises(ValueError, match="`fn` must be finite"):
            count(broken, Certified())
    for one in (drawn(TwoLayer, 1, 4, activation="tanh"), multilayer("tanh", 0)):
        stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), one)
        with pytest.raises(ValueError, match="`fn` must be one network"):
            count(stacked, Certified())
