import functools
import itertools
from fractions import Fraction

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdepth.bounds import triangle_count
from jaxdepth.crossings import CountResult, Exact, Grid, changes, count
from jaxdepth.networks import MLP, Sawtooth


def mirror_power(depth: int, dtype=jnp.float32) -> MLP:
    """m^depth as an MLP, so that its evaluation is by matrix products."""
    net = MLP((1, *[2] * depth, 1), dtype=dtype, key=jax.random.key(0))
    turn = jnp.array([2.0, -4.0], dtype)
    bias = jnp.array([0.0, -0.5], dtype)
    parts = (jnp.ones((2, 1), dtype), jnp.tile(turn, (depth - 1, 2, 1)), turn[None])
    biases = (jnp.tile(bias, (depth, 1)), jnp.zeros(1, dtype))
    return eqx.tree_at(
        lambda net: (net.weight_in, net.weights, net.weight_out, net.biases, net.bias_out),
        net,
        (*parts, *biases),
    )


@pytest.mark.once
def test_corollary_3_14_for_every_depth_the_grid_resolves_with_one_compile():
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def counts(depths):
        return jax.vmap(lambda k: count(Sawtooth(k), Grid(2**14 + 1)))(depths)

    answer = counts(jnp.arange(1, 14))
    assert answer.value.tolist() == [triangle_count(1, k) for k in range(1, 14)]
    assert answer.trusted.all()
    assert (answer.result == CountResult.exact).all()
    counts(jnp.arange(2, 15))


@pytest.mark.parametrize("teeth", [1, 2, 3])
def test_many_teeth_are_counted_and_proven(teeth):
    answer = count(Sawtooth(3, teeth=teeth), Grid(2**11 + 1))
    assert int(answer.value) == int(answer.lower) == int(answer.upper) == triangle_count(teeth, 3)
    assert bool(answer.trusted)


def test_a_grid_on_the_feet_of_the_teeth_says_so():
    answer = count(Sawtooth(15), Grid(2**14 + 1))
    assert int(answer.value) == 1
    assert not bool(answer.trusted)
    assert answer.result == CountResult.unresolved
    assert int(answer.upper) > triangle_count(1, 15)


@pytest.mark.parametrize("depth", [12, 14, 15, 16, 40, 1000])
def test_no_trusted_answer_is_ever_wrong(depth):
    for points in (2**13 + 1, 3**8, 20_000):
        answer = count(Sawtooth(depth), Grid(points))
        if bool(answer.trusted):
            assert int(answer.value) == triangle_count(1, depth)
        else:
            assert answer.result == CountResult.unresolved


def truth(depth, teeth, start, end, level):
    """Cr of the sawtooth on [start, end] in exact arithmetic: f = level at (j ± level)/slope."""
    slope, level = (2 * teeth) ** depth, Fraction(level)
    roots = [(2 * j + side * level) / slope for j in range(slope // 2 + 1) for side in (-1, 1)]
    start, end = Fraction(start), Fraction(end)

    def height(x):
        phase = slope * x % 2
        return min(phase, 2 - phase) if 0 <= x <= 1 else 0

    edges = sorted(x for x in roots if start <= x <= end and 0 < x < 1)
    cuts = [start, *edges, end]
    middles = [(a + b) / 2 for a, b in itertools.pairwise(cuts) if a < b]
    labels = [height(x) >= level for x in (start, *middles, end)]
    return 1 + sum(a != b for a, b in itertools.pairwise(labels))


def test_trusted_counts_are_right_where_an_end_lies_on_a_crossing():
    """One ulp about every crossing, as either end of the interval, in this dtype."""
    trusted = 0
    for teeth, depth in ((1, 2), (2, 1), (3, 1), (3, 2), (5, 1)):
        slope = (2 * teeth) ** depth
        counted = jax.jit(
            lambda a, b, teeth=teeth, depth=depth: count(
                Sawtooth(depth, teeth=teeth), Grid(2000), interval=(a, b)
            )
        )
        for j in (0, 1, slope - 1):
            crossing = np.float32((j + 0.5) / slope)
            for step in (-2, 0, 1, 50_000):
                edge = np.float32(crossing + step * np.spacing(crossing))
                for a, b in ((edge, np.float32(1.0)), (np.float32(0.0), edge)):
                    if not 0 <= a < b <= 1:
                        continue
                    answer = counted(a, b)
                    trusted += int(answer.trusted)
                    if answer.trusted:
                        assert int(answer.value) == truth(depth, teeth, float(a), float(b), 0.5)
    assert trusted > 10


@pytest.mark.parametrize(
    ("depth", "points", "interval"),
    [
        (23, 12_422_512, (-0.42701929807662964, 0.4212881028652191)),
        (22, 12_064_443, (-0.8386902213096619, 0.8305717706680298)),
        (22, 6_145_485, (-0.5412439703941345, 0.5274049043655396)),
    ],
)
def test_points_that_round_past_an_interval_are_not_trusted(depth, points, interval, x32):
    assert not bool(count(Sawtooth(depth), Grid(points), interval=interval).trusted)


def test_an_end_or_level_that_the_dtype_rounds_across_a_crossing_is_not_trusted(x32):
    assert not bool(count(Sawtooth(1), Grid(101), interval=(0.25 - 1e-10, 1.0)).trusted)
    lifted = count(Sawtooth(1), Grid(101), interval=(0.0, 0.25), level=0.5 + 1e-10)
    assert not bool(lifted.trusted)


@pytest.mark.parametrize("max_depth", [None, 4])
def test_a_traced_depth_out_of_range_is_no_network_and_never_trusted(x64, max_depth):
    counted = jax.jit(lambda k: count(Sawtooth(k, max_depth=max_depth), Grid(17)))
    for depth in (-3, 0, 5 if max_depth else -1):
        answer = counted(depth)
        assert not bool(answer.trusted)
        assert answer.result == CountResult.not_finite


@pytest.mark.once
def test_a_constant_network_at_the_level_does_not_depend_on_the_chunk(getkey):
    constant = eqx.tree_at(
        lambda net: (net.weight_in, net.biases, net.bias_out),
        MLP((1, 8, 8, 1), dtype=jnp.float32, key=getkey()),
        replace_fn=jnp.zeros_like,
    )
    for chunk in (1, 7, 101):
        assert int(count(constant, Grid(101, chunk=chunk), level=0.0).value) == 1


@pytest.mark.once
def test_a_program_that_counts_can_be_differentiated():
    def program(t):
        return t**2 + count(lambda x: t * x, Grid(9)).value.astype(jnp.result_type(t))

    assert float(jax.grad(program)(3.0)) == 6.0
    assert float(jax.jacfwd(program)(3.0)) == 6.0
    assert jax.vmap(jax.grad(program))(jnp.array([1.0, 2.0])).tolist() == [2.0, 4.0]


@pytest.mark.once
def test_concrete_arrays_serve_inside_a_callers_trace():
    ends, values = (jnp.array(0.0), jnp.array(1.0)), jnp.array([0.0, 1.0, 0.0])

    @jax.jit
    def program(x):
        grid = count(Sawtooth(2), Grid(65), interval=ends).value
        return x + grid + changes(values)

    assert int(program(0)) == 5 + 2


@pytest.mark.once
def test_sixteen_bit_networks_are_sampled_at_points_of_their_own(getkey):
    half = MLP((1, 4, 1), dtype=jnp.float16, key=getkey())
    answer = count(half, Grid(2**17 + 1), level=0.1)
    assert answer.result == CountResult.unresolved
    # At one crossing, values within half a unit in the last place of the level may flicker.
    assert int(answer.value) <= count(half, Exact(), level=0.1).value + 4


def test_points_that_coincide_are_flagged(x32):
    below_two = count(Sawtooth(1), Grid(150_001), interval=(1.0, 1.01))
    assert below_two.result == CountResult.unresolved
    answer = count(Sawtooth(3), Grid(2**20 + 1), interval=(100.0, 101.0))
    assert answer.result == CountResult.unresolved
    identity = count(lambda x: x - 100.0, Grid(2**20 + 1), interval=(100.0, 101.0))
    assert identity.result == CountResult.unresolved
    assert int(identity.value) == 2


@pytest.mark.once
def test_the_answer_does_not_depend_on_the_chunk(getkey):
    net = MLP((1, 8, 8, 1), key=getkey())
    values = {
        chunk: int(count(net, Grid(1000, chunk=chunk), interval=(-4.0, 4.0), level=0.1).value)
        for chunk in (1, 7, 999, 1000)
    }
    assert len(set(values.values())) == 1, values


def test_the_grid_equals_the_changes_of_the_values(getkey):
    net = MLP((1, 8, 8, 1), key=getkey())
    x = jnp.linspace(0.0, 1.0, 257)
    values = jax.jit(jax.vmap(lambda z: net(z[None])[0]))(x)
    level = float(np.median(values))
    assert int(count(net, Grid(257), level=level).value) == int(changes(values, level)) + 1


def test_any_callable_level_and_interval_will_do():
    waves = jax.vmap(
        lambda w: count(lambda x: jnp.sin(w * x), Grid(2001), interval=(0.0, 1.0), level=0.25).value
    )(jnp.array([3.0, 10.0, 100.0]))
    # sin(wx) ≥ ¼ is entered and left in each period begun: 1, 2 and 16 of them.
    assert waves.tolist() == [3, 5, 33]
    assert int(count(jnp.sin, Grid(1001), interval=(0.0, 3 * np.pi + 0.1), level=0.0).value) == 4


@pytest.mark.once
def test_a_thousand_traced_shapes_compile_once_and_equal_the_unpadded_counts():
    key = jax.random.key(3)
    rng = np.random.default_rng(0)
    widths, depths = rng.integers(1, 7, 1000), rng.integers(1, 4, 1000)
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def padded(widths, depths):
        def one(width, depth):
            net = MLP.padded((1, 6, 6, 6, 1), width=width, depth=depth, bias_std=0.5, key=key)
            return count(net, Grid(129), interval=(-2.0, 2.0), level=0.0).value

        return jax.vmap(one)(widths, depths)

    counts = np.asarray(padded(jnp.asarray(widths), jnp.asarray(depths)))
    assert len(set(counts.tolist())) > 1

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def unpadded(width, depth):
        plain = MLP((1, *[width] * depth, 1), bias_std=0.5, key=key)
        values = jax.vmap(lambda x: plain(x[None])[0])(jnp.linspace(-2.0, 2.0, 129))
        return changes(values, 0.0) + 1

    for width, depth in ((1, 1), (3, 2), (6, 3)):
        same = counts[(widths == width) & (depths == depth)]
        assert len(same) > 20
        assert (same == int(unpadded(width, depth))).all()


def test_a_stack_of_networks_equals_the_loop(x64):
    keys = jax.random.split(jax.random.key(0), 5)
    stacked = eqx.filter_vmap(lambda key: MLP((1, 8, 8, 1), key=key))(keys)
    batch = eqx.filter_vmap(lambda net: count(net, Grid(513), interval=(-3.0, 3.0), level=0.0))(
        stacked
    )
    single = [
        count(
            jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], stacked),
            Grid(513),
            interval=(-3.0, 3.0),
            level=0.0,
        )
        for i in range(5)
    ]
    assert batch.value.tolist() == [int(answer.value) for answer in single]


@pytest.mark.once
def test_two_batch_axes_and_a_traced_level_work():
    depths = jnp.arange(1, 5).reshape(2, 2)
    levels = jnp.array([[0.1, 0.4], [0.5, 0.9]])
    values = jax.vmap(jax.vmap(lambda k, y: count(Sawtooth(k), Grid(2**9 + 1), level=y).value))
    assert values(depths, levels).tolist() == [[3, 5], [9, 17]]


def test_the_dtype_of_the_integers_follows_the_caller():
    expected = jnp.int64 if jax.config.jax_enable_x64 else jnp.int32
    answer = count(Sawtooth(2), Grid(65))
    for field in (answer.value, answer.lower, answer.upper):
        chex.assert_type(field, expected)
    chex.assert_type(answer.trusted, bool)


@pytest.mark.parametrize("fn", [lambda x: jnp.log(x - 0.5), lambda x: 1 / (x - 0.5)])
def test_nan_and_infinity_are_never_silently_a_label(fn):
    answer = count(fn, Grid(1025))
    assert answer.result == CountResult.not_finite
    assert not bool(answer.trusted)
    assert int(answer.lower) == 1


def test_networks_of_equinox_and_scalars_serve_as_well(x64, getkey):
    scalar = eqx.nn.MLP("scalar", "scalar", 8, 1, key=getkey())
    vector = eqx.nn.MLP(1, 1, 8, 1, key=getkey())
    for net in (scalar, vector):
        grid = count(net, Grid(2**12 + 1), interval=(-5.0, 5.0), level=0.1)
        assert grid.result == CountResult.lower_bound
        assert int(grid.value) <= count(net, Exact(), interval=(-5.0, 5.0), level=0.1).value


def test_memory_does_not_grow_with_the_number_of_points(x64, getkey):
    nets = eqx.filter_vmap(lambda key: MLP((1, 64, 64, 1), key=key))(jax.random.split(getkey(), 32))
    arrays, static = eqx.partition(nets, eqx.is_array)

    def temporaries(points):
        def counts(arrays):
            stack = eqx.combine(arrays, static)
            return eqx.filter_vmap(lambda net: count(net, Grid(points)).value)(stack)

        return jax.jit(counts).lower(arrays).compile().memory_analysis().temp_size_in_bytes

    large = temporaries(2**22 + 1)
    assert large == temporaries(2**18 + 1)
    if jax.default_backend() == "cpu":
        weights = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
        assert large < 4 * 2**20 + 2 * weights


@pytest.mark.once
def test_two_operations_a_fold_give_the_values_of_the_relus_bit_for_bit():
    """In and outside [0, 1], about every foot and peak, and for values near the least normal."""
    rng = np.random.default_rng(0)
    dyadic = np.arange(-3, 67) / 64
    near = [np.nextafter(np.float32(x), np.float32(to)) for x in dyadic for to in (-9.0, 9.0)]
    small = 2.0 ** rng.uniform(-125, 0, 200)
    x = np.concatenate([dyadic, near, small, rng.uniform(-2, 3, 500), [1e30, -1e30]])
    x = jnp.asarray(x, jnp.float32)

    @jax.jit
    def both(depth):
        net = Sawtooth(depth)
        return net.on_points()(x), jax.vmap(net)(x)

    for depth in (1, 3, 4, 5, 8, 30):
        folds, relus = both(depth)
        chex.assert_trees_all_equal(folds, relus)
    concrete = jax.jit(Sawtooth(5).on_points())(x)  # of known length
    chex.assert_trees_all_equal(concrete, both(5)[0])
    many = jax.vmap(lambda k: Sawtooth(k).on_points()(x))(jnp.array([0, 30]))
    assert np.isnan(many[0]).all()
    chex.assert_trees_all_equal(many[1], relus)
    assert np.isnan(Sawtooth(9).on_points()(jnp.array([jnp.nan])))


@pytest.mark.once
@pytest.mark.parametrize("activation", ["relu", "cos"])
@pytest.mark.parametrize(("layers", "width", "depth"), [(3, 4, 2), (1, 6, 1)])
def test_masks_folded_into_the_weights_leave_the_network_as_it_is(
    layers, width, depth, activation, getkey
):
    @jax.jit
    def both(x, key):
        net = MLP.padded(
            (1, *[6] * layers, 1), width=width, depth=depth, activation=activation, key=key
        )
        live = (jnp.arange(6) < width)[None]
        # What a user may have written into the padding is masked too.
        noisy = eqx.tree_at(
            lambda net: (net.biases, net.weight_out),
            net,
            (net.biases.at[:, width:].set(7.0), jnp.where(live, net.weight_out, 7.0)),
        )
        return noisy.on_points()(x), jax.vmap(lambda z: noisy(z[None])[0])(x)

    folded, masked = both(jnp.linspace(-2.0, 2.0, 50), getkey())
    # Sums of at most `width` terms, in another order.
    chex.assert_trees_all_close(folded, masked, rtol=1e-5, atol=1e-5)


@pytest.mark.once
def test_a_network_of_the_plane_does_not_run_on_points_of_the_line(getkey):
    with pytest.raises(ValueError, match=r"`sizes` must be \(1, h1, …, 1\)"):
        MLP((2, 4, 1), key=getkey()).on_points()


@pytest.mark.once
def test_matrix_products_that_feed_a_count_ask_for_full_precision(getkey):
    """A GPU's default is TF32, which loses every crossing beyond depth 12 (a TPU's, beyond 9)."""
    net = mirror_power(13)
    text = jax.jit(lambda x: count(net, Grid(65), interval=(0.0, x)).value).lower(1.0).as_text()
    products = [line for line in text.splitlines() if "dot_general" in line]
    assert products
    assert all("HIGHEST" in line for line in products)


def test_canary_a_deep_network_of_matrix_products_is_counted_right_on_this_device():
    answer = count(mirror_power(13), Grid(2**13 + 1))
    assert int(answer.value) == triangle_count(1, 13)


def test_changes_are_counted_along_the_last_axis():
    values = jnp.array([[0.0, 1.0, 0.0, 0.5], [0.0, 0.1, 0.2, 0.3]])
    assert changes(values).tolist() == [3, 0]
    assert changes(np.array([0, 1, 1, 0])).tolist() == 2


def test_changes_compare_in_the_dtype_of_the_values(x32):
    assert changes(np.array([0.5 - 1e-10, 0.5 + 1e-10])).tolist() == 1
    assert changes(np.array([0, 2**32, 0])).tolist() == 2


def test_a_level_or_interval_that_is_nan_under_a_trace_is_flagged():
    nan = jnp.array(jnp.nan)
    level = jax.jit(lambda y: count(Sawtooth(1), Grid(9), level=y))(nan)
    interval = jax.jit(lambda b: count(lambda x: x * 0, Grid(9), interval=(0.0, b)))(nan)
    assert level.result == CountResult.not_finite
    assert interval.result == CountResult.not_finite
    assert jax.jit(changes)(jnp.zeros(3), nan).tolist() == -1


def test_changes_of_nan_are_refused_or_marked():
    values = jnp.array([[0.0, jnp.nan], [0.0, 1.0]])
    with pytest.raises(ValueError, match="`values` must be free of NaN"):
        changes(values)
    assert jax.jit(changes)(values).tolist() == [-1, 1]


@pytest.mark.once
def test_bad_input_is_refused(untyped):
    with pytest.raises(ValueError, match="`num_points` must be an integer, at least 2"):
        Grid(1)
    with pytest.raises(ValueError, match="`chunk` must be an integer, at least 1"):
        Grid(8, chunk=0)
    with pytest.raises(ValueError, match="`method` must be a counting method"):
        count(jnp.sin, 100)
    with pytest.raises(ValueError, match=r"`fn` must be .* got 'the class Sawtooth'. Build one of"):
        count(Sawtooth, Grid(9))
    with pytest.raises(ValueError, match="`interval` must be"):
        count(jnp.sin, Grid(8), interval=(1.0, 0.0))
    for level in (float("nan"), 10**400):
        with pytest.raises(ValueError, match="`level` must be finite"):
            count(jnp.sin, Grid(8), level=level)
    for level in (None, "0.5", 1j, [0.5], jnp.zeros(2), True):
        with pytest.raises(ValueError, match="`level` must be a real scalar"):
            count(jnp.sin, Grid(8), level=level)
    for interval in ("01", {0: 1, 1: 2}, (jnp.zeros(2), 1.0)):
        with pytest.raises(ValueError, match="`interval` must be"):
            count(jnp.sin, Grid(8), interval=interval)
    for level in (float("nan"), jnp.zeros(2)):
        with pytest.raises(ValueError, match="`level` must be"):
            changes(jnp.zeros(3), level)
    with pytest.raises(ValueError, match="`values` must be real"):
        changes(np.zeros(3) + 1j)
    with pytest.raises(ValueError, match="`fn` must be a real scalar function"):
        count(lambda x: jnp.stack([x, x]), Grid(8))
    with pytest.raises(ValueError, match="`fn` must be a callable"):
        count(3.0, Grid(8))
    with pytest.raises(ValueError, match="`values` must be an array with at least one point"):
        changes(jnp.zeros((3, 0)))


def test_too_many_points_for_the_integers_are_refused(x32):
    with pytest.raises(ValueError, match=r"`num_points` must be at most .* Turn 64-bit on"):
        count(Sawtooth(1), Grid(2**31))
