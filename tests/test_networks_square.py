import itertools
from fractions import Fraction

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdepth.bounds import serra18_pieces_upper, square_error_lower, triangle_count
from jaxdepth.crossings import Exact, count
from jaxdepth.networks import Sawtooth, affine_layers, polynomial, product, square
from jaxdepth.piecewise import pieces


def evaluate(layers, *x: Fraction) -> Fraction:
    """The listed network at a rational point, without rounding."""
    h = list(x)
    for layer in layers:
        rows, bias = np.asarray(layer.weight).tolist(), np.asarray(layer.bias).tolist()
        z = [
            sum((Fraction(w) * v for w, v in zip(row, h, strict=True)), Fraction(b))
            for row, b in zip(rows, bias, strict=True)
        ]
        h = [max(v, Fraction(0)) if float(layer.negative_slope) == 0 else v for v in z]
    (out,) = h
    return out


@pytest.mark.parametrize("m", [1, 2, 5, 9])
@pytest.mark.once
def test_the_square_s_error_is_exactly_4_to_the_minus_m_plus_1(m):
    """f − x² is concave between kinks: extreme at a kink or where 2x is the slope."""
    found = pieces(square(m), method="rational")
    assert found.num == 2**m
    x, y = ([Fraction(v) for v in array.tolist()] for array in (found.breakpoints, found.values))
    assert x == [Fraction(i, 2**m) for i in range(2**m + 1)]
    assert y == [v * v for v in x]
    worst = max(
        fa + slope * (slope / 2 - a) - (slope / 2) ** 2
        for (a, fa), slope in zip(
            zip(x, y, strict=True), map(Fraction, found.slopes.tolist()), strict=False
        )
        if a <= slope / 2
    )
    assert worst == square(m).error == Fraction(1, 4 ** (m + 1))


def test_the_network_is_the_sum_of_sawtooths():
    x, m = Fraction(1234567, 2**22), 7
    tooth, total = x, x
    for s in range(1, m + 1):
        tooth = min(2 * tooth, 2 - 2 * tooth)
        total -= tooth / 4**s
    assert evaluate(square(m).affine_layers(), x) == total
    assert float(square(m)(np.float32(x))) == pytest.approx(float(total), rel=1e-6)


@pytest.mark.once
def test_deep_beats_every_shallow_network_of_the_same_neurons():
    for m in range(5, 40):
        net = square(m)
        assert net.error < square_error_lower(serra18_pieces_upper([net.num_neurons]))
    net = square(4)  # its 16 pieces interpolate: twice the least error, and 13 can do better
    assert net.error > square_error_lower(serra18_pieces_upper([net.num_neurons]))


@pytest.mark.parametrize("m", [1, 3, 6])
@pytest.mark.once
def test_the_product_is_within_its_error_and_attains_it(m):
    net, error = product(m), product(m).error
    layers = net.affine_layers()
    diagonal = Fraction(1, 2 ** (m + 1))
    assert evaluate(layers, diagonal, diagonal) - diagonal**2 == error == Fraction(1, 4 ** (m + 1))
    # (x + y)/2 on a dyadic point and |x − y|/2 in the middle of two: as much too low.
    x, y = Fraction(1, 2) + diagonal, Fraction(1, 2) - diagonal
    assert evaluate(layers, x, y) - x * y == -error
    grid = [Fraction(i, 7) for i in range(8)]
    for x, y in itertools.product(grid, grid):
        value = evaluate(layers, x, y)
        assert abs(value - x * y) <= error
        assert 0 <= value <= 1


def test_the_product_crosses_where_the_hyperbola_does():
    """On a segment of the square the network is one R → R, and its pieces can be counted."""
    first, *rest = product(5).affine_layers()
    along = eqx.tree_at(lambda layer: layer.weight, first, first.weight @ np.array([[1.0], [1.0]]))
    assert count([along, *rest], Exact(), level=0.25).value == 2
    assert pieces([along, *rest]).num == 2**5


COEFFICIENTS = [0.5, -1.0, 2.0, 3.0, -0.75]


@pytest.mark.parametrize("degree", [0, 1, 2, 4])
def test_a_polynomial_is_within_its_proven_error(degree):
    c, m = COEFFICIENTS[: degree + 1], 4
    net = polynomial(c, m)
    layers = net.affine_layers()
    exact = [Fraction(value) for value in c]
    bound = sum(abs(value) * max(j - 1, 0) for j, value in enumerate(exact)) / Fraction(
        4 ** (m + 1)
    )
    assert net.error == bound
    for i in range(33):
        x = Fraction(i, 32)
        gap = evaluate(layers, x) - sum(value * x**j for j, value in enumerate(exact))
        assert abs(gap) <= net.error


@pytest.mark.once
def test_a_polynomial_of_degree_2_is_the_square_network():
    one, two = polynomial([0.0, 0.0, 1.0], 6), square(6)
    assert one.error == two.error
    x = Fraction(12345, 2**16)
    assert evaluate(one.affine_layers(), x) == evaluate(two.affine_layers(), x)


NETWORKS = {
    "square": (lambda: square(6), ()),
    "product": (lambda: product(6), (2,)),
    "polynomial": (lambda: polynomial(COEFFICIENTS, 3), ()),
    "affine": (lambda: polynomial(COEFFICIENTS[:2], 3), ()),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_call_computes_the_listed_layers_inside_the_domain_and_out(name):
    make, shape = NETWORKS[name]
    net = make()
    layers = affine_layers(net)
    x = np.linspace(-0.5, 1.75, 38).reshape(-1, 2)[:, : max(1, *shape) if shape else 1]
    listed = [float(evaluate(layers, *(Fraction(float(v)) for v in row))) for row in x]
    called = jax.vmap(net)(jnp.asarray(x.reshape(-1, *shape)))
    # A few roundings a layer, of numbers of order 10.
    np.testing.assert_allclose(called, listed, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.once
def test_the_neurons_and_layers_are_those_listed(name):
    net = NETWORKS[name][0]()
    layers = net.affine_layers()
    assert net.num_layers == len(layers)
    assert net.num_neurons == sum(layer.weight.shape[0] for layer in layers[:-1])
    if name == "square":
        assert {layer.weight.shape[0] for layer in layers[:-1]} == {3}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_keeps_the_dtype_and_has_finite_gradients(name):
    make, shape = NETWORKS[name]
    x = jnp.full(shape, 0.3)
    value, gradient = jax.jit(jax.value_and_grad(make()))(x)
    chex.assert_type([value, gradient], x.dtype)
    chex.assert_tree_all_finite((value, gradient))
    if name == "square":
        # The slope of the chord that holds x: 2x at the middle of its piece.
        assert float(gradient) == (int(0.3 * 64) + int(0.3 * 64) + 1) / 64


def test_the_square_compiles_to_one_program_however_deep():
    sizes = [len(str(jax.make_jaxpr(square(m))(0.5)).splitlines()) for m in (2, 20, 200)]
    assert sizes[0] == sizes[1] == sizes[2]


def test_the_coefficients_learn():
    """The gradient in c_j is the network's P_j: within (j − 1)ε of x^j."""
    net = polynomial(COEFFICIENTS, 8)
    gradient = eqx.filter_grad(lambda net: net(0.7))(net).coefficients
    powers = 0.7 ** np.arange(5)
    allowed = np.arange(-1, 4).clip(0) / 4**9 + 1e-6
    assert np.all(np.abs(np.asarray(gradient) - powers) <= allowed)


@pytest.mark.once
def test_squares_of_sawtooths_count_as_sawtooths():
    """f_m of m^k crosses ½ as often as m^k: the square is increasing."""
    layers = [*Sawtooth(4).affine_layers(), *square(5).affine_layers()]
    assert count(layers, Exact()).value == triangle_count(1, 4)


@pytest.mark.parametrize("x", [0.5, np.float16(0.5), np.float64(0.5)])
@pytest.mark.parametrize("degree", [1, 3])
def test_a_polynomial_has_the_dtype_of_its_coefficients(degree, x):
    value = polynomial(jnp.ones(degree + 1, jnp.float32), 3)(x)
    chex.assert_type(value, jnp.float32)
    assert float(value) == sum(0.5**j for j in range(degree + 1))  # ½ is a node


def test_coefficients_may_be_numbers_of_every_kind(untyped):
    net = polynomial([Fraction(1, 2), 1, np.float32(2), jnp.float32(3)], 2)
    assert net.coefficients.tolist() == [0.5, 1, 2, 3]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: square(0), "`m` must be an integer, at least 1"),
        (lambda: product(1.5), "`m` must be"),
        (lambda: square(257), "at most 256"),
        (lambda: product(2)(jnp.ones(3)), "`x` must be of shape"),
        (lambda: polynomial([], 2), "`coefficients` must be a vector"),
        (lambda: polynomial([1.0, "a"], 2), "`coefficients` must be a real"),
        (lambda: polynomial([1.0, 1j], 2), "`coefficients` must be a real"),
        (lambda: polynomial([10**400], 2), "`coefficients` must be finite"),
        (lambda: polynomial("ab", 2), "`coefficients` must be a sequence"),
        (
            lambda: jax.jit(lambda c: polynomial([c, 1.0], 2)(0.5))(0.5),
            "`coefficients` must be one array where it is traced",
        ),
        (lambda: polynomial([1.0, float("nan")], 2), "`coefficients` must be finite"),
        (lambda: polynomial(jnp.ones((2, 2)), 2), "`coefficients` must be a vector"),
        (
            lambda: jax.jit(lambda c: polynomial(c, 2).affine_layers()[0].bias)(jnp.ones(3)),
            "`coefficients` must be concrete",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(call, match, untyped):
    with pytest.raises(ValueError, match=match):
        call()
