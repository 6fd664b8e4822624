import math
from fractions import Fraction

import chex
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxdepth.bounds import breakpoint_law
from jaxdepth.networks import MLP
from jaxdepth.piecewise import pieces

INF = math.inf


def expected_sign_changes(widths, edges, gain, std):
    """Σ_ℓ n_ℓ Σ_i θ_ℓ(x_i, x_{i+1})/π: what the Gaussian limit expects on a grid, exactly.

    A pair of centred Gaussians at an angle θ differs in sign with probability θ/π, and the angle
    of the next layer follows from Cho and Saul's arc-cosine kernel. No Kac-Rice formula.
    """
    x = [mpmath.mpf(edge) for edge in edges]
    kernel = {(i, j): gain * x[i] * x[j] + std**2 for i in range(len(x)) for j in (i, i + 1)
              if j < len(x)}  # fmt: skip
    total = mpmath.mpf(0)
    for width in widths:
        after = {}
        for (i, j), value in kernel.items():
            size = mpmath.sqrt(kernel[i, i] * kernel[j, j])
            theta = mpmath.acos(value / size) if i != j else mpmath.mpf(0)
            total += width * theta / mpmath.pi
            arc = mpmath.sin(theta) + (mpmath.pi - theta) * mpmath.cos(theta)
            after[i, j] = std**2 + gain * size * arc / (2 * mpmath.pi)
        kernel = after
    return total


@pytest.mark.parametrize(
    ("widths", "interval", "gain", "std"),
    [
        ([64, 64, 64], (-1.0, 1.0), 2.0, 1.0),
        ([5, 7, 3, 9], (0.5, 3.0), 1.2, 0.3),
        ([8, 8], (-3.0, -0.25), 3.5, 2.0),
        ([1], (-2.0, 5.0), 2.0, 0.1),
    ],
)
@pytest.mark.once
def test_the_law_is_the_limit_of_grids_in_the_gaussian_limit(widths, interval, gain, std):
    def on_grid(spacings):
        return expected_sign_changes(widths, np.linspace(*interval, spacings + 1), gain, std)

    with mpmath.workdps(30):
        # A sampled kernel has a cusp |x − y|³ on its diagonal: the error is of first order in the
        # spacing and Richardson's rule takes it out.
        limit = float(2 * on_grid(256) - on_grid(128))
    np.testing.assert_allclose(breakpoint_law(widths, interval, gain, std), limit, rtol=2e-4)


@pytest.mark.once
def test_at_the_gain_of_He_layer_l_has_scale_root_l_half():
    widths, (a, b), std = [3, 1, 4, 1, 5], (-0.7, 2.5), 0.6
    with mpmath.workdps(30):
        scales = [mpmath.mpf(std) * mpmath.sqrt(mpmath.mpf(layer) / 2) for layer in range(1, 6)]
        expected = sum(
            n * (mpmath.atan(b / c) - mpmath.atan(a / c)) / mpmath.pi
            for n, c in zip(widths, scales, strict=True)
        )
    assert breakpoint_law(widths, (a, b), bias_std=std) == pytest.approx(float(expected), rel=1e-15)


def test_a_short_interval_far_out_loses_no_digits():
    with mpmath.workdps(40):
        c = mpmath.sqrt(mpmath.mpf(1) / 2)
        expected = (mpmath.atan((10**8 + 1) / c) - mpmath.atan(10**8 / c)) / mpmath.pi
    law = breakpoint_law([1], (1e8, 1e8 + 1))
    assert law == pytest.approx(float(expected), rel=1e-14)


@pytest.mark.parametrize(
    ("interval", "gain", "std"),
    [
        ((1.0, 2.0), 1e-300, 1e300),
        ((-1.0, 1.0), 1e300, 1e-300),
        ((0.0, 1.0), 1e200, 1e-200),
        ((1e200, 2e200), 2.0, 1.0),
        ((-1.7e308, 1.7e308), 2.0, 1.0),
        ((-1e257, 1e-66), 1e-70, 1e-97),
    ],
)
@pytest.mark.once
def test_no_size_of_an_argument_overflows(interval, gain, std):
    with mpmath.workdps(1000):
        c = mpmath.mpf(std) / mpmath.sqrt(mpmath.mpf(gain))
        a, b = (mpmath.atan(mpmath.mpf(end) / c) for end in interval)
        expected = float((b - a) / mpmath.pi)
    # The smallest of them is not a normal number.
    assert breakpoint_law([1], interval, gain, std) == pytest.approx(
        expected, rel=1e-14, abs=1e-307
    )


@pytest.mark.once
def test_many_layers_of_a_small_gain_bend_out_of_reach_and_do_not_overflow():
    near, all_of_it = (breakpoint_law([3] * 400, ends, 1e-3) for ends in ((1, 2), (-INF, INF)))
    assert near == pytest.approx(breakpoint_law([3] * 10, (1, 2), 1e-3), rel=1e-12)
    assert all_of_it == 1200


def test_numbers_of_every_kind_are_taken(untyped):
    law = breakpoint_law([4, 4], (0.0, 0.5), 2.0, 1.0)
    assert breakpoint_law([4, 4], (Fraction(0), Fraction(1, 2)), Fraction(2), Fraction(1)) == law
    assert breakpoint_law([4, 4], (0, np.float32(0.5)), np.int8(2), jnp.float32(1)) == law
    assert breakpoint_law([4], (Fraction(0), np.float32(INF)), 10**30) == 2
    found = jax.jit(lambda end, gain: breakpoint_law((4, 4), (end, 2.5), gain))(1, 3)
    assert float(found) == pytest.approx(breakpoint_law([4, 4], (1, 2.5), 3), rel=1e-6)
    whole = jax.eval_shape(lambda std: breakpoint_law((4,), (-INF, INF), 2.0, std), np.float16(1))
    chex.assert_type(whole, jnp.float16)


@pytest.mark.parametrize("gain", [0.5, 2.0, 7.0])
def test_on_the_line_every_neuron_bends_once_and_half_lines_share_them(gain):
    widths = [16, 8, 4]
    assert breakpoint_law(widths, (-INF, INF), gain) == 28
    for cut in (-1.5, 0.0, 4.0):
        left, right = (breakpoint_law(widths, ends, gain) for ends in ((-INF, cut), (cut, INF)))
        assert left + right == pytest.approx(28, rel=1e-15)
    assert breakpoint_law(widths, (-INF, 0.0), gain) == pytest.approx(14, rel=1e-15)
    assert breakpoint_law(widths, (-1e12, 1e12), gain) == pytest.approx(28, rel=1e-10)


def test_the_law_is_additive_in_layers_of_the_same_scale_and_linear_in_the_widths():
    one, ten = ([n, n, n] for n in (1, 10))
    assert breakpoint_law(ten, (-1.0, 2.0)) == pytest.approx(10 * breakpoint_law(one, (-1.0, 2.0)))
    # Stretching x and the biases together changes nothing.
    stretched = breakpoint_law(ten, (-3.0, 6.0), bias_std=3.0)
    assert stretched == pytest.approx(breakpoint_law(ten, (-1.0, 2.0)), rel=1e-15)


def test_the_law_is_differentiable_in_its_ends_the_gain_and_the_biases(x64):
    widths = (8, 8, 8)
    arguments = tuple(jnp.asarray(value) for value in (-0.5, 2.0, 1.7, 0.8))

    def law(a, b, gain, std):
        return breakpoint_law(widths, (a, b), gain, std)

    value, slopes = jax.jit(jax.value_and_grad(law, argnums=(0, 1, 2, 3)))(*arguments)
    concrete = [float(each) for each in arguments]
    assert float(value) == pytest.approx(law(*concrete), rel=1e-14)
    chex.assert_type(value, jnp.float64)
    for place, slope in enumerate(slopes):
        above, below = (
            law(*concrete[:place], concrete[place] + step, *concrete[place + 1 :])
            for step in (1e-5, -1e-5)
        )
        assert float(slope) == pytest.approx((above - below) / 2e-5, rel=1e-8)
    # At the ends the derivative is the density of kinks: a sum of Cauchy densities.
    scales = [0.8 * math.sqrt(sum((2 / 1.7) ** i for i in range(n)) / 1.7) for n in (1, 2, 3)]
    density = sum(8 * c / (math.pi * (c**2 + 2.0**2)) for c in scales)
    assert float(slopes[1]) == pytest.approx(density, rel=1e-13)


def test_half_lines_are_differentiable_too_and_the_dtype_is_kept(x32):
    def tail(std):
        return breakpoint_law((4, 4), (1.0, INF), bias_std=std)

    value, slope = jax.jit(jax.value_and_grad(tail))(jnp.float32(0.5))
    chex.assert_type([value, slope], jnp.float32)
    assert float(value) == pytest.approx(tail(0.5), rel=1e-6)
    assert float(slope) == pytest.approx((tail(0.51) - tail(0.49)) / 0.02, rel=1e-3)


# Kinks of one network are not independent: the error bar is of whole networks.
@pytest.mark.parametrize(
    ("sizes", "options", "interval", "loss"),
    [
        ((1, 48, 1), {}, (-1.0, 1.0), 0.0),  # one layer: the law is exact at any width
        ((1, 48, 48, 1), {"weight_gain": 1.0, "bias_std": 0.5}, (-1.0, 1.0), 0.04),
    ],
)
@pytest.mark.once
def test_random_networks_have_as_many_breakpoints_as_the_law_says(sizes, options, interval, loss):
    nets = (MLP(sizes, key=jax.random.key(seed), **options) for seed in range(60))
    found = np.array([pieces(net, interval).num - 1 for net in nets])
    law = breakpoint_law(sizes[1:-1], interval, *options.values())
    error = found.std(ddof=1) / math.sqrt(len(found))
    assert law * (1 - loss) - 4 * error < found.mean() < law + 4 * error


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (([], (0, 1)), "`widths` must be a non-empty sequence"),
        (([3, 0], (0, 1)), "`widths` must be an integer, at least 1"),
        (([3], (1.0, 1.0)), r"`interval` must be \(a, b\) with a < b"),
        (([3], (INF, -INF)), r"`interval` must be \(a, b\) with a < b"),
        (([3], (0.0, math.nan)), "`interval` must be finite"),
        (([3], (0.0,)), "`interval` must be a pair"),
        (([3], (0, 1), 0.0), "`weight_gain` must be positive"),
        (([3], (0, 1), 2.0, 0.0), "`bias_std` must be positive.*Without weights or biases"),
        (([3], (0, 1), INF), "`weight_gain` must be finite"),
    ],
)
def test_what_has_no_law_is_refused(arguments, match, untyped):
    with pytest.raises(ValueError, match=match):
        breakpoint_law(*arguments)
