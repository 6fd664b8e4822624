"""The end-to-end rule: Theorem 1, Claims 1 and 2 of Arora, Cohen & Hazan, and its derivatives."""

import functools
import itertools
from fractions import Fraction

import chex
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from jaxdepth.dynamics import end_to_end, spectrum

# (rows, columns, rank): full and deficient, wide, tall, square, one output, one input.
SHAPES = [(3, 5, 3), (5, 3, 2), (4, 4, 1), (3, 3, 3), (1, 4, 1), (4, 1, 1)]
DEPTHS = [1, 2, 3, 4, 10]


def matrices(m, n, rank, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(m, rank)) @ rng.normal(size=(rank, n)), rng.normal(size=(m, n))


def balanced_layers(W, rank, N):
    """Factors of exactly this rank, in NumPy: W = U·Σ·Vᵀ shared evenly."""
    U, s, Vt = np.linalg.svd(W, full_matrices=False)
    root = s[:rank] ** (1 / N)
    if N == 1:
        return (W,)
    return (root[:, None] * Vt[:rank], *[np.diag(root)] * (N - 2), U[:, :rank] * root)


def product(layers):
    W = layers[0]
    for layer in layers[1:]:
        W = layer @ W
    return W


def moved_by_the_layers(W, G, rank, N):
    """What gradient descent on the layers does to their product, to first order: autodiff alone."""
    return _moved(tuple(map(jnp.asarray, balanced_layers(W, rank, N))), jnp.asarray(G))


@jax.jit
def _moved(layers, G):
    _, pull = jax.vjp(product, layers)
    return jax.jvp(product, (layers,), pull(G))[1]


def distance(found, expected):
    return float(np.linalg.norm(np.asarray(found) - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("N", DEPTHS)
@pytest.mark.parametrize(("m", "n", "rank"), SHAPES)
def test_the_rule_is_the_sum_over_balanced_layers(x64, m, n, rank, N):
    W, G = matrices(m, n, rank)
    expected = np.asarray(moved_by_the_layers(W, G, rank, N))
    found = end_to_end(jnp.asarray(W), jnp.asarray(G), N)
    chex.assert_type(found, jnp.float64)
    assert distance(found, expected) < 1e-12
    single = end_to_end(jnp.asarray(W, jnp.float32), jnp.asarray(G, jnp.float32), N)
    chex.assert_type(single, jnp.float32)
    assert distance(single, expected) < 5e-6


@pytest.mark.parametrize("N", [2, 3, 50])
def test_the_rule_is_the_literal_sum_in_fifty_digits(x64, N):
    W, G = matrices(3, 2, 2)
    with mpmath.workdps(50):
        exact = mpmath.matrix(W.tolist())
        left, right = exact * exact.T, exact.T * exact

        def power(S, exponent):  # rounding-level eigenvalues are zeros; 0⁰ = 1
            E, Q = mpmath.eigsy(S)
            values = [mpmath.mpf(0) if abs(e) < mpmath.mpf(10) ** -40 else e for e in E]
            return Q * mpmath.diag([v**exponent for v in values]) * Q.T

        total = mpmath.zeros(3, 2)
        for j in range(1, N + 1):
            up, down = mpmath.mpf(j - 1) / N, mpmath.mpf(N - j) / N
            total += power(left, up) * mpmath.matrix(G.tolist()) * power(right, down)
        expected = np.array(total.tolist(), dtype=float)
    assert distance(end_to_end(jnp.asarray(W), jnp.asarray(G), N), expected) < 1e-13


def test_the_literal_form_is_wrong_where_the_rule_is_right(x64):
    """Rounding-level eigenvalues to the power 1/N: why the rule takes W's singular values."""
    W, G = matrices(2, 6, 2)
    N = 10

    def power(S, exponent):
        E, Q = np.linalg.eigh(S)
        return (Q * np.abs(E) ** exponent) @ Q.T

    literal = sum(
        power(W @ W.T, (j - 1) / N) @ G @ power(W.T @ W, (N - j) / N) for j in range(1, N + 1)
    )
    expected = np.asarray(moved_by_the_layers(W, G, 2, N))
    assert distance(literal, expected) > 1e-4
    assert distance(end_to_end(jnp.asarray(W), jnp.asarray(G), N), expected) < 1e-12


@pytest.mark.parametrize(("m", "n"), [(2, 4), (4, 2)])
def test_singular_pairs_are_eigenvectors_with_the_spectrum_as_eigenvalues(x64, m, n):
    W, _ = matrices(m, n, 2)
    U, _, Vt = np.linalg.svd(W)
    K = spectrum(jnp.asarray(W), 3)
    chex.assert_shape(K, (m, n))
    assert bool((K >= 0).all())
    for r in range(m):
        for s in range(n):
            pair = np.outer(U[:, r], Vt[s])
            found = end_to_end(jnp.asarray(W), jnp.asarray(pair), 3)
            np.testing.assert_allclose(found, float(K[r, s]) * pair, atol=1e-13)


@pytest.mark.parametrize("N", [1.0, 1.5, 2.0, 7.25, 1000.0])
def test_the_spectrum_is_the_quotient_of_powers_at_real_depth(x64, N):
    s = [2.0, 1.0 + 2**-40, 1.0, 1e-9]  # two of them nearly equal: the quotient alone would cancel
    K = np.asarray(spectrum(jnp.diag(jnp.array(s)), N))
    with mpmath.workdps(60):
        for i, a in enumerate(map(mpmath.mpf, s)):
            for j, b in enumerate(map(mpmath.mpf, s)):
                x, y = a ** (mpmath.mpf(2) / N), b ** (mpmath.mpf(2) / N)
                exact = N * a ** (2 - mpmath.mpf(2) / N) if i == j else (a**2 - b**2) / (x - y)
                # the smaller rounding of σ itself moves K by no more than this
                assert abs(K[i, j] / exact - 1) < 1e-13


@pytest.mark.parametrize("shape", [(3, 3), (2, 3), (1, 3)])
def test_zero_is_a_fixed_point_of_every_depth_but_one(shape):
    W, G = jnp.zeros(shape), jnp.ones(shape)
    chex.assert_trees_all_equal(end_to_end(W, G, 1), G)
    for N in (1.5, 2, jnp.int32(3)):
        chex.assert_trees_all_equal(end_to_end(W, G, N), W)


def test_one_output_is_a_rank_one_matrix_and_conversely(x64):
    """Claim 2's closed form against Claim 1's SVD on the same row with a row of zeros below."""
    w, g = matrices(1, 4, 1)
    tall = np.vstack([w, 0 * w]), np.vstack([g, 0 * g])
    for N in (1, 2, 3.5, 50):
        row = end_to_end(jnp.asarray(w), jnp.asarray(g), N)
        column = end_to_end(jnp.asarray(w.T), jnp.asarray(g.T), N)
        both = end_to_end(jnp.asarray(tall[0]), jnp.asarray(tall[1]), N)
        np.testing.assert_allclose(both[0], row[0], rtol=1e-13)
        np.testing.assert_array_equal(column.T, row)


@pytest.mark.parametrize("shape", [(1, 3), (2, 3)])
def test_tiny_and_huge_matrices_neither_underflow_nor_overflow(x64, shape):
    rng = np.random.default_rng(1)
    W, G = jnp.asarray(rng.normal(size=shape)), jnp.asarray(rng.normal(size=shape))
    for scale in (1e-200, 1e150):  # P_{cW} = c^{2−2/N} P_W
        found = end_to_end(scale * W, G, 2)
        np.testing.assert_allclose(found / scale, end_to_end(W, G, 2), rtol=1e-12)


def test_a_cut_off_makes_small_singular_values_zero(x64):
    U = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    _, G = matrices(3, 3, 3)
    W, cut = U @ np.diag([1.0, 0.5, 1e-7]), U @ np.diag([1.0, 0.5, 0.0])
    kept = end_to_end(jnp.asarray(W), jnp.asarray(G), 4)
    dropped = end_to_end(jnp.asarray(W), jnp.asarray(G), 4, rank_tol=1e-6)
    expected = np.asarray(moved_by_the_layers(cut, G, 2, 4))
    assert distance(dropped, expected) < 1e-6  # the cut moves W by 1e-7
    assert distance(kept, expected) > 1e-6


def test_depth_may_be_traced_and_compiles_once():
    chex.clear_trace_counter()
    W, G = (jnp.asarray(A, jnp.result_type(float)) for A in matrices(2, 3, 2))

    @jax.jit
    @chex.assert_max_traces(n=1)
    def rule(N):
        return end_to_end(W, G, N)

    tolerance = 64 * float(jnp.finfo(W.dtype).eps)
    loop = jnp.stack([rule(jnp.array(N)) for N in (1.0, 2.0, 3.0)])
    chex.assert_trees_all_close(
        loop, jnp.stack([end_to_end(W, G, N) for N in (1, 2, 3)]), rtol=tolerance
    )
    batched = jax.vmap(lambda N: end_to_end(W, G, N))(jnp.array([1, 2, 3]))
    chex.assert_trees_all_close(batched, loop, rtol=tolerance)


def test_vmap_over_matrices_equals_a_loop(x64):
    rng = np.random.default_rng(2)
    W, G = (jnp.asarray(rng.normal(size=(4, 2, 3))) for _ in range(2))
    batched = jax.vmap(lambda W, G: end_to_end(W, G, 3))(W, G)
    loop = jnp.stack([end_to_end(w, g, 3) for w, g in zip(W, G, strict=True)])
    chex.assert_trees_all_close(batched, loop, rtol=1e-13)


@pytest.mark.once
@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(-4, 4, width=16), min_size=12, max_size=12),
    st.sampled_from([1.0, 2.0, 3.0, 6.5]),
)
def test_the_preconditioner_is_positive_and_turns_with_its_frames(values, N):
    with jax.enable_x64(True):
        W, G = jnp.array(values, jnp.float64).reshape(2, 2, 3)
        moved = end_to_end(W, G, N)
        scale = float(jnp.abs(spectrum(W, N)).max() * (G**2).sum()) + 1e-300
        assert float((G * moved).sum()) >= -1e-13 * scale
        # P_{QW}[QG] = Q·P_W[G] for orthogonal Q; exact here, for Q swaps the rows
        swapped = end_to_end(W[::-1], G[::-1], N)
        size = float(jnp.abs(moved).max()) + 1e-300
        # a second singular value near the cut-off may fall on either side of it: ε^{2/N} at most
        assert float(jnp.abs(swapped[::-1] - moved).max()) <= 1e-13 * size + 40 * scale * 1e-15 ** (
            2 / max(N, 2)
        )


# ---- Derivatives ----

rng = np.random.default_rng(3)
POINTS = {
    "identity": np.eye(3),
    "orthogonal": np.linalg.qr(rng.normal(size=(3, 3)))[0],
    "wide": rng.normal(size=(2, 4)),
    "tall": rng.normal(size=(4, 2)),
    "nearly equal singular values": np.diag([1.0, 1.001, 1.3]),
    "far apart": np.diag([1.0, 1e-2, 1.1]),
    "one output": rng.normal(size=(1, 4)),
}


def difference_quotient(f, h=1e-4):
    return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)


@jax.jit
def both_ways(W, G, dW, N):
    """dP[dW] and dPᵀ[G], by one compile for all points of one shape."""
    _, pull = jax.vjp(lambda W: end_to_end(W, G, N), W)
    return jax.jvp(lambda W: end_to_end(W, G, N), (W,), (dW,))[1], pull(G)[0]


@pytest.mark.parametrize("point", POINTS)
def test_derivatives_match_difference_quotients(x64, point):
    W = jnp.asarray(POINTS[point])
    G, dW = (jnp.asarray(np.random.default_rng(s).normal(size=W.shape)) for s in (4, 5))
    for N in map(jnp.array, (1.0, 1.3, 2.0, 3.0, 30.0)):
        expected = difference_quotient(lambda t, N=N: end_to_end(W + t * dW, G, N))
        forward, reverse = both_ways(W, G, dW, N)
        # fourth order: h⁴ = 1e-16 against rounding/h = 1e-12, and decades of slack for far-apart σ
        scale = float(jnp.abs(expected).max()) + 1
        np.testing.assert_allclose(forward, expected, atol=1e-8 * scale)
        # transposed rightly: ⟨G, dP[dW]⟩ = ⟨dPᵀ[G], dW⟩
        dual = float((reverse * dW).sum())
        np.testing.assert_allclose(dual, float((G * forward).sum()), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 3), (1, 3)])
def test_second_derivatives_match_difference_quotients_of_the_first(x64, shape):
    W, G, dW = (jnp.asarray(np.random.default_rng(s).normal(size=shape)) for s in (7, 8, 9))

    @jax.jit
    def slope(t, N):
        return jax.grad(lambda W: (end_to_end(W, G, N) * G).sum())(W + t * dW)

    for N in map(jnp.array, (1.5, 3.0, 10.0)):
        _, found = jax.jvp(slope, (jnp.array(0.0), N), (jnp.array(1.0), jnp.array(0.0)))
        expected = difference_quotient(lambda t, N=N: slope(t, N), 1e-3)
        np.testing.assert_allclose(found, expected, atol=1e-7 * (1 + float(abs(found).max())))


def test_the_derivative_in_depth_matches_a_difference_quotient(x64):
    for shape in ((2, 3), (1, 3)):
        rule = functools.partial(end_to_end, *map(jnp.asarray, matrices(*shape, shape[0])))
        for N in (1.0, 2.0, 5.5):
            _, found = jax.jvp(rule, (jnp.array(N),), (jnp.array(1.0),))
            step = 1e-4
            ahead = [rule(N + k * step) for k in range(5)]  # one-sided: depth stays ≥ 1
            weights = (-25 / 12, 4.0, -3.0, 4 / 3, -1 / 4)
            expected = sum(w * f for w, f in zip(weights, ahead, strict=True)) / step
            np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(
    "W",
    [np.zeros((3, 2)), np.outer([1.0, 2.0, 3.0], [1.0, 0.0]), np.eye(3, 2), np.zeros((1, 3))],
    ids=["zero", "rank one", "equal singular values", "one output at zero"],
)
def test_gradients_are_finite_where_the_rank_is_not_full(W):
    W = jnp.asarray(W, jnp.result_type(float))
    for N in (1.0, 1.5, 2.0, 3.0, 20.0):
        chex.assert_tree_all_finite(gradient(W, jnp.ones_like(W), jnp.array(N)))


@jax.jit
@functools.partial(jax.grad, argnums=(0, 1, 2))
def gradient(W, G, N):
    """Of ‖P_W[G]‖², by one compile for all points of one shape."""
    return (end_to_end(W, G, N) ** 2).sum()


@jax.jit
def slope_within(W, G, N):
    """Of ⟨G, P_W[G]⟩ in W, by one compile for all depths."""
    return jax.grad(lambda W: (end_to_end(W, G, N) * G).sum())(W)


@pytest.mark.parametrize("N", [1.0, 1.1, 1.5, 3.0])
def test_gradients_scale_with_the_matrix_as_the_rule_does(N):
    """P_{cW} = c^{2−2/N}·P_W, and its derivative in W takes one power of c less."""
    W, G = (jnp.asarray(A, jnp.result_type(float)) for A in matrices(2, 3, 2))
    slope = functools.partial(slope_within, G=G, N=jnp.array(N))
    far = 1e100 if W.dtype == jnp.float64 else 1e15
    for c in (1 / far, far):
        found = slope(c * W) * c ** (2 / N - 1)
        # rounding, which the power 2/N of singular values of size c multiplies by log c at most
        chex.assert_trees_all_close(found, slope(W), rtol=300 * float(jnp.finfo(W.dtype).eps))


def test_derivatives_near_depth_one_keep_all_digits(x64):
    """Against a difference quotient in fifty digits: singular values close, depth near 1."""
    W, D, N = [[1, 0], [0, 0.78]], [[0.3, -0.7], [0.2, 0.5]], 1.01

    def rule(t):
        U, s, V = mpmath.svd_r(mpmath.matrix(W) + t * mpmath.matrix(D))
        x = [a ** (mpmath.mpf(2) / N) for a in s]
        M = U.T * mpmath.ones(2) * V.T
        for i, j in itertools.product(range(2), repeat=2):
            diagonal = N * s[i] ** (2 - mpmath.mpf(2) / N)
            M[i, j] *= diagonal if i == j else (s[i] ** 2 - s[j] ** 2) / (x[i] - x[j])
        return U * M * V

    with mpmath.workdps(50):
        h = mpmath.mpf(10) ** -15
        exact = np.array(((rule(h) - rule(-h)) / (2 * h)).tolist(), float)
    W, D = jnp.array(W), jnp.array(D)
    _, found = jax.jvp(lambda W: end_to_end(W, jnp.ones((2, 2)), N), (W,), (D,))
    np.testing.assert_allclose(found, exact, rtol=1e-12)


def test_along_matrices_of_one_rank_the_derivative_is_theirs(x64):
    """At rank one, moving the two factors keeps the rank, and the difference quotient applies."""
    u, v = jnp.array([[1.0], [2.0], [-1.0], [0.5]]), jnp.array([[0.5, 1.0]])
    du, dv = jnp.array([[0.3], [-0.2], [0.4], [0.6]]), jnp.array([[-0.7, 0.1]])
    G, N = jnp.asarray(np.random.default_rng(6).normal(size=(4, 2))), jnp.array(3.0)
    found, _ = both_ways(u @ v, G, du @ v + u @ dv, N)
    expected = difference_quotient(lambda t: end_to_end((u + t * du) @ (v + t * dv), G, N))
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.once
@pytest.mark.parametrize("shape", [(2, 3), (1, 3)])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_computed_in_float32_and_kept(dtype, shape):
    W, G = (jnp.asarray(A, dtype) for A in matrices(*shape, shape[0]))
    found = end_to_end(W, G, 3)
    chex.assert_type([found, spectrum(W, 3)], dtype)
    expected = end_to_end(W.astype(jnp.float32), G.astype(jnp.float32), 3)
    chex.assert_trees_all_equal(found, expected.astype(dtype))


# ---- Refusals ----


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"G": np.ones((2, 2))}, r"`G` must be of W's shape \(2, 3\)"),
        ({"W": np.ones((2, 3)) * np.nan}, "`W` must be finite"),
        ({"G": np.ones((2, 3)) * np.inf}, "`G` must be finite"),
        ({"depth": 0.5}, "`depth` must be a number, at least 1"),
        ({"depth": float("inf")}, "`depth` must be a number, at least 1 and finite"),
        ({"depth": "2"}, "`depth` must be a number"),
        ({"depth": 2 + 0j}, "`depth` must be a number"),
        ({"depth": np.array([1.0, 2.0])}, "`depth` must be a number.*maps over several"),
        ({"depth": 10**400}, "`depth` must be finite in float"),
        ({"W": np.ones((2, 3)) + 1j}, "`W` must be real; got dtype"),
        ({"G": np.ones((2, 3)) * 1j}, "`G` must be real; got dtype"),
        ({"rank_tol": 1.0}, r"`rank_tol` must be in \[0, 1\)"),
        ({"rank_tol": "a"}, "`rank_tol` must be a real scalar"),
        ({"depth": True}, "`depth` must be a number"),
        ({"depth": Fraction(5, 2)}, "`depth` must be a number"),
    ],
)
def test_bad_arguments_are_refused(untyped, change, match):
    arguments = {"W": np.ones((2, 3)), "G": np.ones((2, 3)), "depth": 2, "rank_tol": None, **change}
    W, G = jnp.asarray(arguments["W"]), jnp.asarray(arguments["G"])
    with pytest.raises(ValueError, match=match):
        end_to_end(W, G, arguments["depth"], rank_tol=arguments["rank_tol"])
