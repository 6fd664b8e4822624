# %% [markdown]
# # Oscillations: deep against shallow
#
# After Telgarsky, *Benefits of Depth in Neural Networks* (2016). About twenty minutes. Every number
# is computed in the cell beside it.
#
# **Theorem 1.1.** For every $k$ and $d$ there is a ReLU network with $2k^3 + 8$ layers, $3k^3 + 12$
# nodes and $4 + d$ distinct parameters that is at least $1/64$ away, in $L_1([0, 1]^d)$, from every
# network of at most $k$ layers and $2^k/(t\alpha\beta)$ nodes, whose gates are
# $(t, \alpha, \beta)$-semialgebraic.
#
# The proof counts oscillations, in three steps: functions that oscillate seldom approximate badly
# those that oscillate often; few layers oscillate seldom; many layers can oscillate often.

# %%
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
from _slides import slide

import jaxdepth as jd
from experiments import _illustrations as drawn
from experiments._figures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED
from jaxdepth.crossings import (
    CountResult,
    Exact,
    Grid,
    Symbolic,
    best_shallow,
    count,
    min_disagreement,
)
from jaxdepth.networks import MLP, Composition, Sawtooth

# %% [markdown]
# ## What is counted
#
# Let $\tilde f(x) = 1[f(x) \ge \frac12]$. The **crossing number** $\mathrm{Cr}(f)$ is the number of
# *maximal* intervals on which $\tilde f$ is constant: the crossings of $\frac12$, plus one.

# %%
f, g = drawn.DEEP, drawn.SHALLOW
s_f, s_g = count(f, Exact()).value, count(g, Exact()).value
assert (s_f, s_g) == (9, 3)
with slide("oscillations_1", 2, 1, sharex=True, height_ratios=(1.6, 1)) as (upper, lower):
    drawn.draw_graphs(upper)
    lemma, least = drawn.draw_strips(lower)
    lower.set_title("… and where $g$ is wrong throughout")

# %% [markdown]
# ## 1. Few oscillations approximate many badly
#
# **Lemma 3.1.** $g$ is wrong throughout at least a fraction $\frac12(1 - 2 s_g/s_f)$ of the regions
# of $f$.
#
# Of $n$ regions of $f$ within an interval on which $\tilde g$ is constant, at least $(n - 1)/2$ are
# lost, and at most $s_g$ regions are within none. The fraction approaches a half, from below. The
# exact number is $\lceil (s_f - s_g)/2\rceil$ regions, and a dynamic programme finds the classifier
# that attains it.

# %%
granted = jd.bounds.telgarsky16_disagreement_lower(s_f, s_g)
wrong = drawn.wrong_throughout(drawn.label_intervals(f), drawn.label_intervals(g))
assert granted == Fraction(1, 6)
assert len(wrong) >= min_disagreement(s_f, s_g) == 3 > s_f * granted
for intervals in (1, 4, 8, 16):
    best = best_shallow(Sawtooth(5), intervals, loss="regions")
    assert best.error == Fraction(min_disagreement(2**5 + 1, intervals), 2**5 + 1)

# %% [markdown]
# ## 2. Few layers oscillate seldom
#
# Sums of piecewise polynomials have few pieces: the cuts of $k$ summands of $t$ pieces each are
# $k(t - 1)$ at most, that is $k(t-1) + 1$ intervals (for two summands or more this is less than the
# $kt$ that is often quoted). Composition is another matter: on each piece of the layer before, a
# unit may bend anew.

# %%
with slide("oscillations_2", 1, 2) as (left, right):
    net = drawn.draw_layers(left, right)
first, second = ([graph.num for graph in graphs] for graphs in drawn.unit_graphs(net))
assert first == [2, 2, 2, 2]
assert jd.bounds.piecewise_poly_sum(*[(t, 1) for t in first]).t == 5
assert jd.piecewise.pieces(net, drawn.RANGE).num <= jd.bounds.serra18_pieces_upper([4, 4]) == 25

# %% [markdown]
# **Lemma 3.3.** A network of $m$ $(t, \alpha, \beta)$-semialgebraic gates in $l$ layers has
# $$\mathrm{Cr}(f) \;\le\; 2\left(\frac{2tm\alpha}{l}\right)^{l} \beta^{l^2}.$$
# A ReLU is $(1, 1, 1)$, for which the factor $2^l$ is needed: three ReLUs make 4 full branches on
# $[0, 1]$, so that $L$ layers of three cross $4^L$ times, in the end more than any multiple of
# $3^L$. (With the linear output they are $L + 1$ layers of $3L + 1$ gates.)

# %%
branches = drawn.AffineLayer(
    np.array([[1.0], [1.0], [-1.0]]), np.array([-1.0, -12.0, 14.0]) / 16, 0.0
)
summed = drawn.AffineLayer(np.array([[-192 / 11, 104 / 11, -16.0]]), np.array([14.0]), 1.0)
for L in range(1, 6):
    assert count((branches, summed) * L, Exact()).value == 4**L + 1
    assert jd.bounds.telgarsky16_crossing_upper(1, 1, 1, nodes=3 * L + 1, layers=L + 1) >= 4**L + 1

# %% [markdown]
# At random, networks come nowhere near their bounds: they bend about once a neuron.

# %%
keys = jax.random.split(jax.random.key(0), 20)
random = [MLP((1, 16, 16, 16, 1), key=key) for key in keys]
bends = np.array([jd.piecewise.pieces(each, (-3.0, 3.0)).num - 1 for each in random])
law = jd.bounds.breakpoint_law([16, 16, 16], (-3.0, 3.0), bias_std=1.0)
print(f"48 ReLUs: {bends.mean():.0f} bends, expected {law:.0f}, possible {17**3 - 1:,}")
assert abs(bends.mean() / law - 1) < 0.15
assert bends.max() < 0.02 * (jd.bounds.serra18_pieces_upper([16, 16, 16]) - 1)

# %% [markdown]
# ## 3. Many layers can oscillate often
#
# The mirror map $m(z) = \mathrm{relu}(2\,\mathrm{relu}(z) - 4\,\mathrm{relu}(z - \frac12))$ takes
# 3 ReLUs in 2 layers and folds $[0, 1]$ on itself. Composed $k$ times it has $2^{k-1}$ teeth, and
# $\mathrm{Cr}(m^k) = 2^k + 1$.
#
# **Lemma 3.12.** If $f$ has $s$ teeth and $g$ has $t$, then $f\circ g$ has $2st$: each of the $2t$
# monotone pieces of $g$ runs through all of $[0, 1]$, and $f$ with it. Hence $k$ triangles of $t$
# teeth make $2^{k-1}t^k$, and $\mathrm{Cr} = (2t)^k + 1$.

# %%
with slide("oscillations_3", 2, 2, sharex=True, sharey=True) as axes:
    for k, panel in enumerate(axes.ravel(), start=1):
        graph = jd.piecewise.pieces(Sawtooth(k))
        assert count(Sawtooth(k), Exact()).value == 2**k + 1
        panel.plot(graph.breakpoints, graph.values, color=BLUE)
        panel.axhline(0.5, color=GREY, linewidth=1.5)
        panel.set(xlim=(0, 1), ylim=(0, 1.02), xticks=(0, 1), yticks=(0, 1))
        panel.set_title(f"$m^{k}$, {3 * k} ReLUs: Cr = {2**k + 1}")
for s, t in ((1, 1), (1, 3), (2, 3)):
    both = count(Composition([Sawtooth(1, teeth=t), Sawtooth(1, teeth=s)]), Symbolic()).value
    assert both == 2 * (2 * s * t) + 1  # 2st teeth, two crossings each
assert count(Sawtooth(1000, teeth=3), Symbolic()).value == 6**1000 + 1

# %% [markdown]
# Do not count on a grid unless it says that it may be trusted. Of $m^{13}$ the $2^{12} + 1$ points
# of a fine grid see nothing: every one of them falls on a foot.

# %%
depths = np.arange(1, 14)
grid = jax.vmap(lambda k: count(Sawtooth(k), Grid(2**12 + 1)))(jnp.asarray(depths))
assert (np.asarray(grid.value)[:12] == 2 ** depths[:12] + 1).all()
assert grid.value[12] == 1
assert not grid.trusted[12]
assert count(Sawtooth(13), Grid(2**12 + 1)).result == CountResult.unresolved
most = {  # the ReLUs split as evenly as can be
    layers: [
        jd.bounds.serra18_pieces_upper([(3 * int(k) + i) // layers for i in range(layers)])
        for k in depths
    ]
    for layers in (1, 2, 3)
}
with slide("oscillations_4") as axes:
    axes.semilogy(depths, 2.0**depths + 1, "o-", color=BLUE, label="$m^k$: $2^k + 1$")
    axes.semilogy(depths, grid.value, "X", color=RED, label="a grid of $2^{12} + 1$ points")
    for (layers, pieces), shade, style in zip(
        most.items(), (ORANGE, PURPLE, GREEN), ("--", "-.", ":"), strict=True
    ):
        told = f"at most, in {layers} hidden layer{'s' * (layers > 1)}"
        axes.semilogy(depths, np.array(pieces) + 1, style, color=shade, label=told)
    axes.set(xlabel="k, with 3k ReLUs", ylabel="Cr", title="Crossings that ReLUs buy")
    axes.legend()

# %% [markdown]
# ## The separation
#
# $\mathrm{Cr}(g) = s$ on $[0, 1]$ keeps $g$ away from $m^K$. Exactly:
# $$\inf_{\mathrm{Cr}(g) \le s} \int_0^1 |m^K - g| \;=\; \frac{2^K + 1 - s}{2^{K+3}},$$
# for each region encloses a triangle of area $2^{-(K+2)}$ between the graph and $\frac12$ (the
# first and the last one half of that), and $g$ forgoes one for every two intervals that it lacks.

# %%
K = 5
s = np.arange(1, 2**K + 2)
gaps = [jd.bounds.l1_gap(K, int(each)) for each in s]
found = [best_shallow(Sawtooth(K), int(each), loss="l1").error for each in s[::4]]
assert found == gaps[::4]  # the formula and the dynamic programme, as Fractions
assert gaps[2 ** (K - 2) - 1] == Fraction(3, 32) + Fraction(1, 2 ** (K + 3)) > Fraction(1, 64)
with slide("oscillations_5") as axes:
    axes.plot(s, np.array(gaps, float), color=BLUE, label=f"$({2**K} + 1 - s)/{2 ** (K + 3)}$")
    axes.plot(s[::4], np.array(found, float), "o", color=ORANGE, label="dynamic programme")
    axes.axhline(1 / 64, color=RED, linestyle="--", label="1/64 of Theorem 1.1")
    axes.set(xlabel="crossing number s of g", ylabel="L1 distance", xlim=(0, 2**K + 1))
    axes.set(ylim=(0, None), title=f"How near to $m^{K}$ can g be?")
    axes.legend()

# %% [markdown]
# Theorem 1.1 takes $K = k^3 + 4$. By Lemma 3.3 its rivals, of $k$ layers and $2^k$ ReLUs, have
# $\mathrm{Cr} \le 2^{k^2 + k + 1}/k^k$; the deep network has $2^{k^3 + 4} + 1$.

# %%
for k in (1, 2, 3):
    theorem = jd.bounds.telgarsky16_separation(k)
    K, nodes = theorem.layers // 2, int(theorem.rival_nodes)
    rivals = max(
        jd.bounds.telgarsky16_crossing_upper(1, 1, 1, nodes=nodes, layers=layers)
        for layers in range(1, k + 1)
    )
    print(f"k = {k}: {theorem.layers} layers, Cr = 2^{K} + 1; rivals {int(rivals)} at most")
    assert rivals == Fraction(2 ** (k * k + k + 1), k**k)
    assert (theorem.layers, theorem.nodes) == (2 * K, 3 * K) == (2 * (k**3 + 4), 3 * (k**3 + 4))
    assert jd.bounds.l1_gap(K, int(rivals)) > theorem.gap == Fraction(1, 64)

# %% [markdown]
# ## What to keep straight
#
# - What exists is not what descent finds: trained from random starts, deep networks keep few
#   crossings.
# - Crossings, affine pieces and activation regions are three numbers. The theorem counts the first.
#
# ## Exercises
#
# 1. Of 2,049 points with alternating labels, how many does a classifier of 64 intervals get wrong
#    at least? (`jd.bounds.alternating_error_lower(2049, 64)`)
# 2. How often can 100 boosted trees of 15 nodes cross, and from which $k$ on is $m^k$ beyond them?
#    (`jd.bounds.telgarsky16_tree_crossing_upper(15, trees=100)`)
# 3. A maximum that touches $\frac12$ from below: what is $\mathrm{Cr}(\frac12 m)$, and what that of
#    $1 - \frac12 m$, which touches from above? (`count` with `Exact()`)

# %%
assert jd.bounds.alternating_error_lower(2049, 64) == Fraction(993, 2049)
assert jd.bounds.telgarsky16_tree_crossing_upper(15, trees=100) == 3000
assert 2**11 + 1 <= 3000 < 2**12 + 1
half = jd.networks.ConnectTheDots([0, Fraction(1, 2), 1], [0, Fraction(1, 2), 0])
other = jd.networks.ConnectTheDots([0, Fraction(1, 2), 1], [1, Fraction(1, 2), 1])
assert (count(half, Exact()).value, count(other, Exact()).value) == (3, 1)
