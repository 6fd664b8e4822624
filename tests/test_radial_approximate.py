"""Three layers suffice: the bound of `approximate` above Monte Carlo and below the floors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdepth as jd
from jaxdepth.radial._design import Layout, design, pieces
from jaxdepth.radial._error_bound import _over, error_bound, panels


def lower_mean_square(three, target, dim):
    """Estimate E_μ(f − g)² from below, at the level .0005, on the host in float64."""
    rng, num, net = np.random.default_rng(0), 2**16, three.network
    z = np.asarray(jd.radial.Measure(dim).icdf(rng.random(num)))
    direction = rng.normal(size=(num, dim))
    x = direction * (z / np.linalg.norm(direction, axis=1))[:, None]
    weights = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(net)]
    sigma = {
        "relu": lambda x: np.maximum(x, 0),
        "step": lambda x: np.heaviside(x, 1.0),
        "sigmoid": lambda x: (1 + np.tanh(x / 2)) / 2,
        "rbf": lambda x: np.exp(-(x**2)),
    }
    h = sigma[net.activation](x / jd.radial.Measure(dim).radius_unit @ weights[0].T + weights[1])
    f = sigma[net.profile](h @ weights[2].T + weights[3]) @ weights[4] + weights[5]
    with jax.enable_x64(True):
        g = np.asarray(target.profile(jnp.asarray(z)))
    squares = (f - g) ** 2
    return squares.mean() - 3.3 * squares.std() / num**0.5


@pytest.mark.parametrize(
    ("dim", "radius", "error", "activation", "neurons"),
    [(3, 2.0, 0.0099, "relu", 32), (10, 6.0, 0.0111, "sigmoid", 21)],
)
def test_three_layers_beat_every_two_layer_network_of_as_many_directions(
    x64, dim, radius, error, activation, neurons
):
    target = jd.radial.Ball(radius)
    three = jd.radial.approximate(target, dim, error, activation=activation)
    assert three.network.num_neurons == neurons
    # Panels and directions of the shapes that the certificate's tests compile in three dimensions.
    method = jd.radial.Bounded(panels_u=32, panels_z=4)
    floors = jd.radial.certify(target, dim, np.full(5, float(neurons)), method=method).floor
    assert 0 < lower_mean_square(three, target, dim) < three.error <= error < floors.min()


@pytest.mark.once
@pytest.mark.parametrize(
    ("target", "error", "activation", "profile"),
    [
        (jd.radial.Ball(2.0), 0.05, "step", None),
        (jd.radial.Ball(2.0), 0.05, "relu", "rbf"),
        (jd.radial.Cosine(2.0, 6.0), 0.05, "relu", None),
        (jd.radial.Cosine(2.0, 6.0), 0.05, "sigmoid", "rbf"),
        (jd.radial.SignCosine(2.0, 6.0), 0.05, "sigmoid", None),
        (jd.radial.Shells([1.0, 2.0, 3.0, 4.0], [0.5, 0.0, -1.0]), 0.05, "sigmoid", "relu"),
        (jd.radial.Shells([1.0, 2.0, 3.0], [1.0, 1.0]), 0.05, "sigmoid", None),
        (jd.radial.Profile([1.0, 3.0, 5.0], [1.0, -1.0, 0.0]), 0.05, "sigmoid", None),
    ],
)
def test_bounds_hold_on_samples_for_every_target_and_activation(target, error, activation, profile):
    three = jd.radial.approximate(target, 3, error, activation=activation, profile=profile)
    assert lower_mean_square(three, target, 3) < three.error <= error


@pytest.mark.once
def test_the_bound_of_a_step_is_the_mass_of_the_shell_it_cannot_place():
    # One step at s = b², and |s − z²| ≤ δ: wrong at most where |z² − b²| ≤ δ.
    ball = pieces(jd.radial.Ball(2.0))
    made = design(ball, 3, "step", "step", Layout(units=60, density=1.0, ramp=0.01))
    delta, mu = made.squares_error(3), jd.radial.Measure(3)
    mass = mu.cdf((4 + delta) ** 0.5) - mu.cdf((4 - delta) ** 0.5)
    # To the panel, 3·2^-13 at either end.
    assert 0 <= error_bound(made, 3, panels(ball, 3)) - mass < 8 * 2.0**-13


@pytest.mark.once
@pytest.mark.parametrize("profile", ["relu", "step", "sigmoid", "rbf"])
def test_the_bound_is_above_the_worst_error_on_every_radius(profile):
    # Integrate the error of ψ(z² + δ·cos 40z), which stays within δ.
    g = pieces(jd.radial.SignCosine(2.0, 3.0))
    layout = Layout(units=80, density=1.0, ramp=2.0, treads=3 if profile == "step" else 1)
    made = design(g, 3, "relu", profile, layout)
    z = np.linspace(0, made.radius, 20001)
    s = z**2 + made.squares_error(3) * np.cos(40 * z)
    truth = np.where(z < 3.0, np.sign(np.cos(2 * z)), 0.0)
    mass = np.diff(np.asarray(jd.radial.Measure(3).cdf(z)))
    integral = np.sum(np.square(made.nodes()(s) - truth)[:-1] * mass)
    assert 1e-4 < integral < error_bound(made, 3, panels(g, 3))


@pytest.mark.once
def test_extremes_over_runs_of_cells_are_those_of_a_loop():
    values = np.sin(np.arange(40.0) ** 2)
    first = np.arange(25)
    last = first + 1 + (first * 7) % 15
    least, most = _over(values - 1, values + 1, first, last)
    for i, j, low, high in zip(first, last, least, most, strict=True):
        assert (low, high) == (values[i:j].min() - 1, values[i:j].max() + 1)


@pytest.mark.once
def test_the_output_is_zero_far_out(getkey):
    three = jd.radial.approximate(jd.radial.Ball(2.0), 3, 0.02)
    x = 1e3 * jax.random.normal(getkey(), (50, 3))
    # Sums of ~2e4 (the layers grow linearly before they cancel), in the working precision.
    scale = 1e5 * float(jnp.finfo(x.dtype).eps)
    np.testing.assert_allclose(jax.vmap(three.network)(x), 0, atol=scale)


@pytest.mark.once
def test_smaller_errors_cost_more_neurons():
    sizes = [
        jd.radial.approximate(jd.radial.Ball(2.0), 3, error).network.num_neurons
        for error in (0.05, 0.02, 0.005)
    ]
    assert sizes == sorted(set(sizes))


@pytest.mark.once
def test_two_sigmoids_a_coordinate_do_whatever_the_error():
    for error in (0.02, 1e-4):
        three = jd.radial.approximate(jd.radial.Ball(6.0), 10, error, activation="sigmoid")
        assert three.network.num_neurons == 2 * 10 + 1


def test_activations_that_square_nothing_are_refused():
    with pytest.raises(ValueError, match="`activation` must be one of relu, step, sigmoid"):
        jd.radial.approximate(jd.radial.Ball(2.0), 3, 0.1, activation="rbf")
    with pytest.raises(ValueError, match="`profile` must be one of relu, step, sigmoid, rbf"):
        jd.radial.approximate(jd.radial.Ball(2.0), 3, 0.1, profile="tanh")


@pytest.mark.once
def test_a_target_that_is_zero_needs_no_network():
    with pytest.raises(ValueError, match="`target` must be not zero everywhere"):
        jd.radial.approximate(jd.radial.Shells([1.0, 2.0], [0.0]), 3, 0.1)


def test_errors_out_of_reach_are_refused():
    with pytest.raises(ValueError, match="`error` must be within reach"):
        jd.radial.approximate(jd.radial.Ball(2.0), 3, 1e-7, activation="step")


def test_errors_that_are_not_positive_are_refused():
    with pytest.raises(ValueError, match="`error` must be positive"):
        jd.radial.approximate(jd.radial.Ball(2.0), 3, 0.0)
    with pytest.raises(ValueError, match="`error` must be finite"):
        jd.radial.approximate(jd.radial.Ball(2.0), 3, float("nan"))


@pytest.mark.parametrize("error", ["a", None, True, [0.1, 0.2]])
def test_errors_that_are_no_number_are_refused(error, untyped):
    with pytest.raises(ValueError, match="`error` must be a positive number"):
        jd.radial.approximate(jd.radial.Ball(2.0), 3, error)


def test_what_is_no_radial_target_is_refused(untyped):
    with pytest.raises(ValueError, match="`target` must be a concrete radial target"):
        jd.radial.approximate(np.cos, 3, 0.1)


@pytest.mark.once
def test_the_size_of_the_target_scales_the_error_and_nothing_else():
    one, large = (
        jd.radial.approximate(jd.radial.Profile([0.0, 2.0, 4.0], [s, -s, 0.0]), 3, 0.02 * s * s)
        for s in (1.0, 2.0**40)
    )
    assert one.network.num_neurons == large.network.num_neurons < 50
    assert large.error == one.error * 2.0**80


@pytest.mark.once
def test_a_steep_piece_costs_no_more_than_a_jump():
    sizes = [
        jd.radial.approximate(target, 3, 0.02).network.num_neurons
        for target in (
            jd.radial.Ball(2.0),
            jd.radial.Profile([0.0, 2.0, 2.0 + 1e-2], [1.0, 1.0, 0.0]),
            jd.radial.Profile([0.0, 2.0, 2.0 + 1e-8], [1.0, 1.0, 0.0]),
        )
    ]
    assert max(sizes) < 2 * sizes[0]


def test_weights_that_the_dtype_does_not_hold_are_refused():
    shells = jd.radial.Shells([0.0, 2.0], [1e60])
    with pytest.raises(ValueError, match="`dtype` must be one that holds the largest weight"):
        jd.radial.approximate(shells, 3, 0.02e120, dtype=jnp.float32)
