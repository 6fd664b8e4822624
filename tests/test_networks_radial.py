"""The constructive network: squares within their bound, the profile through its knots."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdepth as jd
from jaxdepth.networks._radial import squares_error

KNOTS, VALUES = np.array([0.0, 0.5, 0.9, 1.1]), np.array([1.0, -0.5, 2.0, 0.25])


def build(**options):
    defaults = {"radius": 1.5, "units": 12}
    return jd.networks.RadialNetwork.from_profile(KNOTS, VALUES, 3, **(defaults | options))


def test_the_network_is_the_profile_up_to_the_error_of_the_squares(x64, getkey):
    net = build()
    x = jax.random.normal(getkey(), (300, 3)) * 0.5
    spread = squares_error(3, 1.5, 12)
    squared = np.sum(np.square(np.asarray(x)), axis=1)
    within = np.abs(np.asarray(x)).max(axis=1) <= 1.5
    offsets = np.linspace(-spread, spread, 201)
    band = np.interp(squared[:, None] + offsets, KNOTS**2, VALUES)
    out = np.asarray(jax.vmap(net)(x))
    step = np.abs(np.diff(VALUES) / np.diff(KNOTS**2)).max() * (offsets[1] - offsets[0])
    assert (out[within] >= band.min(1)[within] - step).all()
    assert (out[within] <= band.max(1)[within] + step).all()
    np.testing.assert_allclose(out[~within], VALUES[-1], atol=1e-12)


def test_the_bound_on_the_squares_is_attained(x64):
    # At 0 the interpolant of each t² is h²/8; read it off a profile linear in ‖x‖².
    net = jd.networks.RadialNetwork.from_profile([0.0, 1.0], [0.0, 1.0], 3, radius=1.5, units=4)
    assert float(net(jnp.zeros(3))) == pytest.approx(squares_error(3, 1.5, 4), rel=1e-12)


def test_far_points_see_the_last_value(x64):
    np.testing.assert_allclose(build()(jnp.array([1e6, 0.0, 0.0])), VALUES[-1], atol=1e-6)


def test_neurons_are_counted_in_both_layers():
    net = build()
    assert net.num_neurons == 2 * 3 * (12 + 1) + 4
    chex.assert_shape([net.weight_1, net.weight_2], [(78, 3), (4, 78)])


def test_the_listed_layers_compute_the_network(x64, getkey):
    net, x = build(), jax.random.normal(getkey(), (3,))
    h = x
    for layer in jd.networks.affine_layers(net):
        z = layer.weight @ h + layer.bias
        h = jnp.maximum(z, 0) + layer.negative_slope * jnp.minimum(z, 0)
    chex.assert_trees_all_close(h[0], net(x), rtol=1e-12)


def test_weights_have_the_dtype_asked_for_and_gradients_are_finite(getkey):
    net = build(dtype=jnp.float32)
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
