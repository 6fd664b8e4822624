"""The constructive network: squares within their bound, the profile through its knots."""

import math

import chex
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import jaxdepth as jd
from jaxdepth.networks._radial import squares_error
from jaxdepth.networks._units import profile_units, squares

KNOTS, VALUES = np.array([0.0, 0.5, 0.9, 1.1]), np.array([1.0, -0.5, 2.0, 0.25])
UNITS = {"relu": 26, "step": 40, "sigmoid": 3}
PROFILES = [*UNITS, "rbf"]


def build(activation="relu", **options):
    defaults = {"radius": 1.5, "units": UNITS[activation], "activation": activation}
    return jd.networks.RadialNetwork.from_profile(KNOTS, VALUES, 3, **(defaults | options))


@pytest.mark.once
@pytest.mark.parametrize(("activation", "units"), [*UNITS.items(), ("relu", 7), ("sigmoid", 1)])
def test_squares_are_within_their_bound_and_attain_it(activation, units):
    radius = 1.7
    q, error = squares(activation, radius, units)
    t = np.linspace(0, radius, 30011)[1:-1]  # no threshold of the steps
    excess = q(t) - t**2
    # The bound is a supremum, which samples approach; rounding is of terms of size 30.
    assert 0.98 * error < np.abs(excess).max() <= error + 1e-12
    assert -excess.min() == pytest.approx(excess.max(), rel=0.02)


@pytest.mark.once
@pytest.mark.parametrize(("activation", "units"), [*UNITS.items(), ("relu", 7)])
def test_squares_are_even_and_never_decrease(activation, units):
    q, _ = squares(activation, 1.7, units)
    t = np.linspace(0, 20, 4001)[1:]
    # Rounding: of q's terms, which cancel.
    slack = 1e-14 * np.abs(q.coefficient).max() * 20
    np.testing.assert_allclose(q(-t), q(t), rtol=0, atol=slack)
    assert (np.diff(q(t)) >= -slack).all()


@pytest.mark.once
def test_two_sigmoids_square_with_an_error_of_the_fourth_power_of_their_width():
    errors = np.array([squares("sigmoid", 1.0, units)[1] for units in (2, 4)])
    # 2^4, and the bound's own grid of 2^-12 on top of the smaller.
    assert 14 < errors[0] / errors[1] < 17
    # The sigmoid's derivatives at b, by mpmath: what is left of F is its term of sixth order.
    units, b = 4, -float(squares("sigmoid", 1.0, 4)[0].bias[0])
    with mpmath.workdps(40):
        logistic = lambda y: 1 / (1 + mpmath.exp(-y))  # noqa: E731
        second, sixth = (mpmath.diff(logistic, -b, n) for n in (2, 6))
    # |T_3*| has leading coefficient 32 on [0, 1].
    predicted = abs(float(sixth / second)) * 2 / math.factorial(6) / units**4 / 32
    assert errors[1] == pytest.approx(predicted, rel=0.05)


@pytest.mark.parametrize("activation", UNITS)
def test_the_network_is_the_profile_up_to_the_error_of_the_squares(activation, x64, getkey):
    net, units = build(activation), UNITS[activation]
    x = jax.random.normal(getkey(), (300, 3)) * 0.5
    spread = squares_error(3, 1.5, units, activation)
    squared = np.sum(np.square(np.asarray(x)), axis=1)
    within = np.abs(np.asarray(x)).max(axis=1) <= 1.5
    offsets = np.linspace(-spread, spread, 201)
    psi = profile_units(activation, KNOTS**2, VALUES)
    band = psi(squared[:, None] + offsets)
    out = np.asarray(jax.vmap(net)(x))
    step = np.abs(np.diff(band, axis=1)).max(axis=1) + 1e-9
    assert (out[within] >= (band.min(1) - step)[within]).all()
    assert (out[within] <= (band.max(1) + step)[within]).all()
    if activation != "sigmoid":  # which reaches its limits only far out
        np.testing.assert_allclose(out[~within], VALUES[-1], atol=1e-12)


@pytest.mark.once
def test_profiles_go_through_their_values():
    knots = KNOTS**2
    np.testing.assert_allclose(profile_units("relu", knots, VALUES)(knots), VALUES, atol=1e-12)
    np.testing.assert_allclose(profile_units("rbf", knots, VALUES)(knots), VALUES, atol=1e-10)
    np.testing.assert_array_equal(profile_units("step", knots, VALUES)(knots), VALUES)
    sigmoids = profile_units("sigmoid", knots, VALUES)
    np.testing.assert_allclose(sigmoids(knots[1:-1]), VALUES[1:-1], atol=1e-12)
    np.testing.assert_allclose(sigmoids(np.array([-1e3, 1e3])), VALUES[[0, -1]], atol=1e-12)


@pytest.mark.once
@pytest.mark.parametrize("activation", PROFILES)
def test_ranges_on_cells_hold_the_values_there(activation):
    psi = profile_units(activation, KNOTS**2, VALUES)
    ends = np.linspace(-0.2, 1.6, 37)
    low, high = psi.ranges(ends)
    inside = psi(ends[:-1, None] + np.diff(ends)[0] * np.linspace(0, 1, 50)[None])
    # ReLUs' terms are some 30 in size.
    assert (inside >= low[:, None] - 1e-12).all()
    assert (inside <= high[:, None] + 1e-12).all()


def test_the_bound_on_the_squares_is_attained(x64):
    # At 0, the middle between two kinks, q(t) is h²/8; read it off a profile linear in ‖x‖².
    net = jd.networks.RadialNetwork.from_profile([0.0, 1.0], [0.0, 1.0], 3, radius=1.5, units=10)
    assert float(net(jnp.zeros(3))) == pytest.approx(squares_error(3, 1.5, 10), rel=1e-12)


def test_far_points_see_the_last_value(x64):
    for profile in PROFILES:
        net = build("sigmoid", profile=profile, radius=9.0)
        np.testing.assert_allclose(net(jnp.array([1e6, 0.0, 0.0])), VALUES[-1], atol=1e-6)
    np.testing.assert_allclose(build()(jnp.array([1e6, 0.0, 0.0])), VALUES[-1], atol=1e-6)


@pytest.mark.parametrize(
    ("activation", "profile", "first", "second"),
    [("relu", None, 26, 4), ("step", None, 80, 3), ("sigmoid", None, 2, 3), ("relu", "rbf", 26, 4)],
)
def test_neurons_are_counted_in_both_layers(activation, profile, first, second):
    net = build(activation, profile=profile)
    assert net.num_neurons == 3 * first + second
    chex.assert_shape([net.weight_1, net.weight_2], [(3 * first, 3), (second, 3 * first)])


def test_the_listed_layers_compute_the_network(x64, getkey):
    net, x = build(), jax.random.normal(getkey(), (3,))
    h = x
    for layer in jd.networks.affine_layers(net):
        z = layer.weight @ h + layer.bias
        h = jnp.maximum(z, 0) + layer.negative_slope * jnp.minimum(z, 0)
    chex.assert_trees_all_close(h[0], net(x), rtol=1e-12)


@pytest.mark.parametrize("profile", ["step", "rbf"])
def test_layers_that_are_not_piecewise_linear_are_refused_by_their_activation(profile):
    with pytest.raises(ValueError, match=f"`activation` must be piecewise linear.*'{profile}'"):
        build(profile=profile).affine_layers()


def test_sigmoid_networks_are_counted_along_a_line(x64):
    # From the ball's inside to its outside: one change of label, proven.
    ball = jd.networks.RadialNetwork.from_profile(
        [0.9, 1.1], [1.0, 0.0], 3, radius=1.5, units=3, activation="sigmoid"
    )
    line = jd.piecewise.on_line(ball, jnp.zeros(3), jnp.full(3, 0.8))
    counted = jd.crossings.count(line, jd.crossings.Certified())
    assert (counted.value, bool(counted.trusted)) == (2, True)


@pytest.mark.parametrize(("activation", "profile"), [("relu", "rbf"), ("sigmoid", "step")])
def test_weights_have_the_dtype_asked_for_and_gradients_are_finite(activation, profile, getkey):
    net = build(activation, profile=profile, dtype=jnp.float32)
    x = jax.random.normal(getkey(), (3,), jnp.float32)
    chex.assert_type(jax.tree.leaves(net), jnp.float32)
    value, gradient = jax.value_and_grad(lambda net: net(x))(net)
    chex.assert_type(value, jnp.float32)
    chex.assert_tree_all_finite(gradient)


def test_profiles_that_make_no_sense_are_refused(untyped):
    profile = jd.networks.RadialNetwork.from_profile
    with pytest.raises(ValueError, match="`knots` must be at least two increasing"):
        profile([1.0, 0.5], [1.0, 0.0], 3, radius=2.0, units=4)
    with pytest.raises(ValueError, match="`knots` must be at least two increasing"):
        profile([-1.0, 0.5], [1.0, 0.0], 3, radius=2.0, units=4)
    with pytest.raises(ValueError, match="`values` must be of the shape"):
        profile([0.5, 1.0], [1.0], 3, radius=2.0, units=4)
    with pytest.raises(ValueError, match="`values` must be finite"):
        profile([0.5, 1.0], [1.0, float("nan")], 3, radius=2.0, units=4)
    with pytest.raises(ValueError, match="`radius` must be so large"):
        profile([0.5, 1.0], [1.0, 0.0], 3, radius=1.0, units=4)
    for radius in (-2.0, 0.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="`radius` must be positive and finite"):
            profile([0.5, 1.0], [1.0, 0.0], 3, radius=radius, units=4)
    with pytest.raises(ValueError, match="`knots` must be so far apart"):
        profile([0.0, 1e-200, 1.0], [1.0, 0.5, 0.0], 3, radius=2.0, units=4)
    with pytest.raises(ValueError, match="`dtype` must be a float dtype"):
        profile([0.5, 1.0], [1.0, 0.0], 3, radius=2.0, units=4, dtype=jnp.int32)
    with pytest.raises(ValueError, match="`units` must be an integer"):
        profile([0.5, 1.0], [1.0, 0.0], 3, radius=2.0, units=0)
    with pytest.raises(ValueError, match="`activation` must be one of relu, step, sigmoid"):
        profile([0.5, 1.0], [1.0, 0.0], 3, radius=2.0, units=9, activation="tanh")
    with pytest.raises(ValueError, match="`profile` must be one of relu, step, sigmoid, rbf"):
        profile([0.5, 1.0], [1.0, 0.0], 3, radius=2.0, units=9, profile="cos")
