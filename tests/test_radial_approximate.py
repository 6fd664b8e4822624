"""Three layers suffice: the bound of `approximate` above Monte Carlo and below the floors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdepth as jd


@pytest.mark.parametrize(("dim", "radius", "error"), [(3, 2.0, 0.012), (10, 6.0, 0.02)])
def test_three_layers_beat_every_two_layer_network_of_as_many_directions(
    dim, radius, error, getkey
):
    target = jd.radial.Ball(radius)
    three = jd.radial.approximate(target, dim, error)
    neurons = three.network.num_neurons
    assert three.error <= error
    assert neurons < 250
    # Panels and directions of the shapes that the certificate's tests compile in three dimensions.
    method = jd.radial.Bounded(panels_u=32, panels_z=4)
    floors = jd.radial.certify(target, dim, np.full(5, float(neurons)), method=method).floor
    assert three.error < floors.min()

    x = jd.radial.Measure(dim).sample(getkey(), 4000)
    squares = np.square(np.asarray(jax.vmap(three.network)(x) - jax.vmap(target)(x), np.float64))
    interval = 3.3 * squares.std() / len(squares) ** 0.5
    assert squares.mean() - interval > 0
    assert squares.mean() + interval < three.error


def test_a_wave_is_within_reach_too(getkey):
    target = jd.radial.Cosine(2.0, 6.0)
    three = jd.radial.approximate(target, 3, 0.05)
    x = jd.radial.Measure(3).sample(getkey(), 4000)
    squares = np.square(np.asarray(jax.vmap(three.network)(x) - jax.vmap(target)(x), np.float64))
    assert squares.mean() + 3.3 * squares.std() / len(squares) ** 0.5 < three.error <= 0.05


def test_the_output_is_zero_far_out(getkey):
    three = jd.radial.approximate(jd.radial.Ball(2.0), 3, 0.02)
    x = 1e3 * jax.random.normal(getkey(), (50, 3))
    # Sums of ~2e4 (the layers grow linearly before they cancel), in the working precision.
    scale = 1e5 * float(jnp.finfo(x.dtype).eps)
    np.testing.assert_allclose(jax.vmap(three.network)(x), 0, atol=scale)


def test_smaller_errors_cost_more_neurons():
    sizes = [
        jd.radial.approximate(jd.radial.Ball(2.0), 3, error).network.num_neurons
        for error in (0.05, 0.02, 0.005)
    ]
    assert sizes == sorted(set(sizes))


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
