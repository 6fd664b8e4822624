"""Measured networks: intervals that hold, and floors that nothing measured may undercut."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdepth as jd

BALL = jd.radial.Ball(2.0)
INSIDE = float(jd.radial.Measure(3).cdf(2.0))  # the share of μ in the ball


class Constant(eqx.Module):
    value: jax.Array

    def __call__(self, x):
        return jnp.broadcast_to(self.value, self.value.shape)


def certified(floor):
    """A certificate that says so."""
    floor = np.asarray(floor)
    result = jd.radial.CertificateResult.certified
    return jd.radial.Certificate(floor, np.float64(INSIDE), np.zeros_like(floor), True, result)


def exact(value):
    """E(c − g)² of a constant, from the distribution function."""
    return INSIDE * (1 - value) ** 2 + (1 - INSIDE) * value**2


def measure(value, num=3000, seed=0, reach=None, **options):
    value = np.asarray(value)
    reach = np.abs(value) if reach is None else reach
    net = Constant(jnp.asarray(value, jnp.float32))
    options = {"chunk": 1024, "key": jax.random.key(seed)} | options
    return jd.radial.risk(net, BALL, 3, num, reach=reach, **options)


@pytest.mark.once
def test_the_interval_covers_a_risk_known_in_closed_form_for_every_seed():
    for seed in range(40):
        found = measure(0.25, seed=seed, confidence=0.9)
        assert found.lower <= exact(0.25) <= found.upper


@pytest.mark.once
def test_the_mean_and_the_interval_are_those_of_a_coin():
    # (f − g)² takes two values, so that the mean tells how many of the 3,000 points, and no point
    # of the last chunk beyond them, are in the ball.
    found, low, high = measure(0.25), 0.25**2, 0.75**2
    inside = (float(found.mean) - low) / (high - low) * 3000
    assert inside == pytest.approx(round(inside), abs=1e-8)
    share = round(inside) / 3000
    variance = share * (1 - share) * (high - low) ** 2 * 3000 / 2999
    log_term = np.log(4 / 0.001)
    half_width = np.sqrt(2 * variance * log_term / 3000) + 7 * 1.25**2 * log_term / (3 * 2999)
    assert float(found.half_width) == pytest.approx(half_width, rel=1e-9)
    assert found.upper == found.mean + found.half_width
    assert found.lower == max(found.mean - found.half_width, 0)
    assert found.trusted
    assert found.result == jd.radial.RiskResult.estimated
    assert all(x.dtype == np.float64 for x in (found.mean, found.half_width, found.upper))


@pytest.mark.once
def test_more_samples_and_less_confidence_narrow_the_interval():
    wide, narrow = measure(0.25), measure(0.25, num=12_000)
    assert narrow.half_width < 0.6 * wide.half_width
    assert measure(0.25, confidence=0.5).half_width < wide.half_width


@pytest.mark.once
def test_several_networks_are_measured_on_the_same_samples():
    together = measure([0.25, 0.5])
    assert together.mean.shape == (2,)
    for i, value in enumerate((0.25, 0.5)):
        assert together.mean[i] == pytest.approx(float(measure(value).mean), rel=1e-12)
        assert together.half_width[i] == pytest.approx(float(measure(value).half_width), rel=1e-9)


def test_vmap_over_networks_equals_measuring_them_together(x64):
    def one(value):
        net = Constant(value)
        key = jax.random.key(0)
        return jd.radial.risk(net, BALL, 3, 3000, reach=jnp.abs(value), chunk=1024, key=key)

    values = jnp.asarray([0.25, 0.5])
    traced, together = jax.jit(jax.vmap(one))(values), measure([0.25, 0.5])
    np.testing.assert_allclose(traced.mean, together.mean, rtol=1e-9)
    np.testing.assert_allclose(traced.upper, together.upper, rtol=1e-9)


@pytest.mark.once
def test_a_network_seen_above_its_reach_gets_no_interval():
    found = measure([0.25, 0.5], reach=np.asarray([0.25, 0.4]))
    assert found.trusted.tolist() == [True, False]
    assert found.result == jd.radial.RiskResult.out_of_reach
    assert (found.lower[1], found.upper[1]) == (0, np.inf)
    assert not measure(np.nan, reach=1.0).trusted
    assert not found.contradicts(1.0)[1]


@pytest.mark.once
def test_a_floor_above_the_interval_is_a_contradiction_and_cannot_be_overlooked():
    found = measure([0.25, 0.5])
    jd.radial.check_floor(found, certified([0.1, 0.2]))
    assert not found.contradicts(np.array([0.1, 0.2])).any()
    with pytest.raises(jd.radial.ContradictionError, match=r"0\.25 ± .* below 0\.9") as caught:
        jd.radial.check_floor(found, certified([0.1, 0.9]))
    assert "below 0.1" not in str(caught.value)
    assert "confidence 0.999" in str(caught.value)


@pytest.mark.once
def test_the_reach_bounds_every_output_and_is_attained_far_out(getkey):
    for build in (
        lambda key: jd.networks.TwoLayer(3, 5, activation="tanh", key=key),
        lambda key: jd.networks.ThreeLayer(3, (4, 5), activation="sigmoid", key=key),
        lambda key: eqx.nn.MLP(3, 1, 5, 1, activation=jnp.tanh, key=key),
    ):
        net = build(getkey())
        bound = float(jd.radial.reach(net))
        x = 1e4 * jax.random.normal(getkey(), (200, 3))
        assert np.abs(eqx.filter_jit(eqx.filter_vmap(net))(x)).max() <= bound * (
            1 + 1e-6
        )  # evaluated in float32
    # Directions on both sides of one axis: far out every unit says ±1 at once.
    net = jd.networks.TwoLayer(1, 5, activation="tanh", key=getkey())
    net = eqx.tree_at(lambda n: n.out, net, net.out * jnp.sign(net.out * net.weight[:, 0]))
    assert float(net(jnp.full(1, 1e6))) == pytest.approx(float(jd.radial.reach(net)), rel=1e-6)


@pytest.mark.once
def test_the_reach_is_that_of_the_final_activation_too(getkey):
    x = 1e3 * jax.random.normal(getkey(), (200, 3))

    def built(hidden, final):
        net = eqx.nn.MLP(3, 1, 5, 1, activation=hidden, final_activation=final, key=getkey())
        weights, rest = eqx.partition(net, eqx.is_array)
        return eqx.combine(jax.tree.map(lambda each: 0.01 * each, weights), rest)

    for hidden, final in (
        (jnp.tanh, jax.nn.sigmoid),
        (jnp.tanh, jnp.cos),
        (jnp.tanh, jax.nn.relu),
        (jnp.tanh, jax.nn.silu),
        (jax.nn.relu, jax.nn.sigmoid),
        (jax.nn.relu, jnp.tanh),
    ):
        net = built(hidden, final)
        bound = float(jd.radial.reach(net))
        assert np.abs(jax.jit(jax.vmap(net))(x)).max() <= bound * (1 + 1e-6)  # in float32
        assert (bound == 1) == (final not in (jax.nn.relu, jax.nn.silu))
    for final, named in ((jax.nn.softplus, "softplus"), (lambda y: 2 * y, "<lambda>")):
        with pytest.raises(ValueError, match=f"the final activation {named}.*Pass `reach`"):
            jd.radial.reach(built(jnp.tanh, final))


@pytest.mark.once
def test_a_sigmoid_radial_network_has_a_reach_and_a_relu_one_is_refused():
    small = jd.radial.approximate(BALL, 3, 0.01, activation="sigmoid").network
    assert float(jd.radial.reach(small)) == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(ValueError, match=r"activation relu.*infinite risk"):
        jd.radial.reach(jd.radial.approximate(BALL, 3, 0.015).network)


@pytest.mark.once
def test_what_has_no_interval_is_refused(getkey, untyped):
    relu = jd.networks.TwoLayer(3, 4, key=getkey())
    tanh = jd.networks.TwoLayer(3, 4, activation="tanh", key=getkey())
    key = getkey()
    with pytest.raises(ValueError, match=r"`network` must be bounded.*clipping it would leave"):
        jd.radial.risk(relu, BALL, 3, 100, key=key)
    with pytest.raises(ValueError, match="`network` must be bounded"):
        jd.radial.reach(eqx.nn.Linear(3, 1, key=key))
    with pytest.raises(ValueError, match="`network` must be one with a single output"):
        jd.radial.reach(eqx.nn.MLP(3, 2, 4, 1, activation=jnp.tanh, key=key))
    with pytest.raises(ValueError, match="`num` must be an integer, at least 2"):
        jd.radial.risk(tanh, BALL, 3, 1, key=key)
    with pytest.raises(ValueError, match=r"`confidence` must be within \(0, 1\)"):
        jd.radial.risk(tanh, BALL, 3, 100, confidence=1.0, key=key)
    with pytest.raises(ValueError, match="`reach` must be non-negative"):
        jd.radial.risk(tanh, BALL, 3, 100, reach=-1.0, key=key)
    with pytest.raises(ValueError, match="`network` must be a function of points"):
        jd.radial.risk(3.0, BALL, 3, 100, reach=1.0, key=key)
    with pytest.raises(ValueError, match="`network` must be one of 2 output"):
        jd.radial.risk(tanh, BALL, 3, 100, reach=np.ones(2), chunk=1024, key=key)


@pytest.mark.once
def test_a_floor_cannot_be_checked_under_a_transformation():
    found, certificate = measure(0.25), certified(0.1)
    traced = jax.jit(
        lambda mean: jd.radial.check_floor(eqx.tree_at(lambda r: r.mean, found, mean), certificate)
    )
    with pytest.raises(ValueError, match="`risk` must be concrete"):
        traced(0.2)
