# %% [markdown]
# # Radial functions: three layers against two
#
# After Eldan & Shamir, *The Power of Depth for Feedforward Neural Networks* (2016). About twenty
# minutes. Every number is computed in the cell beside it.
#
# A 2-layer network computes $f_2(x) = \sum_{i \le w} v_i\,\sigma(\langle w_i, x\rangle + b_i)$; a
# 3-layer network sums units of such sums. With enough width two layers approximate every continuous
# function on a bounded set. What can three layers do with few neurons, and two cannot?
#
# **Theorem 1.** Let one layer of $\sigma$ approximate functions of one variable well (A1: every
# $L$-Lipschitz function that is constant outside $[-R, R]$, within $\delta$, with at most
# $c_\sigma RL/\delta$ units), and let $\sigma$ be measurable and grow no faster than a polynomial
# (A2). There are universal constants $c, C > 0$ such that for every $d > C$ there are a probability
# measure $\mu$ and a function $g$ on $\mathbb R^d$, bounded by 2, supported on
# $\|x\| \le C\sqrt d$ and computed by a 3-layer network of width $C c_\sigma d^{19/4}$, such that
# every 2-layer network of width at most $ce^{cd}$ has $\mathbb E_\mu (f - g)^2 \ge c$.
#
# The constants have no values in the theorem. Here they get some, for one $g$ at a time.

# %%
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _slides import slide

import jaxdepth as jd
from experiments import _illustrations as drawn
from experiments._figures import BLUE, GREEN, GREY, ORANGE, RED
from jaxdepth.radial import Ball, Certified, Measure, approximate, certify, ridge_error

# %% [markdown]
# ## Three layers are enough
#
# Layer 1 approximates each $x_i^2$ by units in $x_i$ alone; their sum is near $\|x\|^2$. Layer 2
# approximates the profile as a function of that sum, with the same activation; layer 3 is linear.
# Our first $g$ is the indicator of a ball in $\mathbb R^3$. Radii are told in the unit
# $z = 2\pi R_d\|x\|$, where $R_d$ is the radius of the ball of unit *volume*.

# %%
ball = Ball(radius=2.0)
relus = approximate(ball, 3, 0.01)
sigmoids = approximate(ball, 3, 0.01, activation="sigmoid")
print(f"ReLUs: {relus.network.num_neurons} neurons, error at most {relus.error:.4f}")
print(f"sigmoids: {sigmoids.network.num_neurons} neurons, error at most {sigmoids.error:.4f}")
assert relus.network.num_neurons == 32
assert sigmoids.network.num_neurons == 7

# %% [markdown]
# The error is the mean square under $\mu$, bounded over all of $\mathbb R^3$: no sampling.

# %%
mu = Measure(3)
z = np.linspace(1e-3, 8, 400)
ray = (z / mu.radius_unit)[:, None] * np.ones(3) / np.sqrt(3)
seen = jax.jit(jax.vmap(relus.network))(jnp.asarray(ray, relus.network.bias_3.dtype))
with slide("radial_1", 2, 1, sharex=True, height_ratios=(2, 1)) as (upper, lower):
    upper.plot(z, eqx.filter_jit(ball.profile)(z), color=GREY, label="the ball")
    upper.plot(z, seen, "--", color=BLUE, label=f"{relus.network.num_neurons} ReLUs, 3 layers")
    upper.legend()
    upper.set_title(f"Three layers: error ≤ {relus.error:.4f}")
    lower.fill_between(z, mu.pdf(z), color=ORANGE, alpha=0.5, linewidth=0)
    lower.set(xlabel="radius z", xlim=(0, 8), ylim=(0, None), yticks=[])
    lower.set_title("density of z under μ")

# %% [markdown]
# ## The measure
#
# $\mu$ has density $\varphi^2$, with $\varphi$ the Fourier transform of the indicator of the ball
# $B$ of radius $R_d$. So $\hat\varphi$ is that indicator, and $\mu$ a probability measure because
# $B$ has unit volume (Parseval). The radius has density $p(z) = d\,J_{d/2}(z)^2/z$ and a heavy
# tail, $P(Z > z) \sim d/(\pi z)$: not even $\mathbb E\|x\|$ is finite, and a ReLU network whose
# output grows has infinite risk.

# %%
assert abs(float(mu.sf(1e6)) * np.pi * 1e6 / 3 - 1) < 1e-3
assert abs(np.trapezoid(mu.pdf(z), z) - float(mu.cdf(8.0))) < 1e-4

# %% [markdown]
# ## Two layers, seen in frequencies
#
# The Fourier transform keeps distances, hence
# $$\mathbb E_\mu (f - g)^2 = \|f\varphi - g\varphi\|^2
#   = \|\widehat{f\varphi} - \widehat{g\varphi}\|^2.$$
#
# *What $g$ has.* It is radial, so that its mass is spread evenly on spheres: $m(u)\,du$ of it at
# radius $uR_d$, with $\int m = \|g\|^2$. A wave $\cos 4z$ has its mass near $u = 4$, smeared by
# $\hat\varphi$ over a unit of $u$: far outside $B$, in all directions.

# %%
u, density = drawn.spectral_mass()  # of drawn.WAVE, cos 4z for z ≤ 20, in the plane
plane = drawn.certificate(2)
mass = np.trapezoid(density, u)
assert abs(mass / float(plane.norm_squared) - 1) < 1e-2  # Parseval; the rest is beyond u = 12
assert np.trapezoid(density[(u > 2.5) & (u < 5.5)], u[(u > 2.5) & (u < 5.5)]) > 0.95 * mass
with slide("radial_2", 2, 1) as (upper, lower):
    drawn.draw_wave(upper)
    drawn.draw_mass(lower)

# %% [markdown]
# *What 2 layers have.* A ridge function $f_i(\langle v_i, x\rangle)$ is constant across $v_i$, so
# that its transform lives on the line $\mathrm{span}\{v_i\}$. A product becomes a convolution:
# $f\varphi$ has its transform in $k$ **tubes**, the Minkowski sums $\mathrm{span}\{v_i\} + B$. That
# holds whatever the activation, the weights and the widths: $k$ counts first-layer *directions*.
#
# In the picture each dot is 1/800 of the mass of $g\varphi$. What no tube holds is error.

# %%
dots, inside = drawn.spectral_dots(800)
floors = np.asarray(plane.floor)
floor = float(floors[drawn.DIRECTIONS == drawn.TUBES][0])
assert abs(inside.mean() - (1 - floor / float(plane.norm_squared))) < 0.02
with slide("radial_3") as axes:
    drawn.draw_plane(axes)

# %% [markdown]
# ## The floor
#
# A tube holds the share $q(u)$ of the sphere of radius $u > 1$: in $\mathbb R^3$ two caps, by
# Archimedes $q(u) = 1 - \sqrt{1 - 1/u^2}$; in general the incomplete beta function
# $I_{1/u^2}(\frac{d-1}2, \frac12)$, which falls like $u^{1-d}/\sqrt d$. No $k$ tubes hold more than
# $\min(1, kq)$, whence
# $$\mathbb E_\mu(f - g)^2 \;\ge\; \|g\|^2 - \int m(u)\,\min(1, k\,q(u))\,du .$$

# %%
k = np.arange(1.0, 61.0)
answer = certify(ball, 3, k, method=Certified())  # in ball arithmetic
points = np.random.default_rng(0).normal(size=(100_000, 3))
points *= 4 / np.linalg.norm(points, axis=1, keepdims=True)
sampled = np.mean(np.hypot(points[:, 0], points[:, 1]) <= 1)  # the tube along the third axis
assert abs(sampled - (1 - np.sqrt(1 - 1 / 16))) < 2e-3

u = np.linspace(0, 60, 6001)
q = 1 - np.sqrt(1 - 1 / np.maximum(u, 1) ** 2)
by_hand = float(answer.norm_squared) - np.trapezoid(ball.spectrum(u, 3) * np.minimum(1, 35 * q), u)
print(f"35 directions, ball: floor {answer.floor[34]:.4f}, by the trapezoidal rule {by_hand:.4f}")
assert answer.floor[34] <= by_hand < answer.floor[34] + 3e-4
assert answer.floor[34] > sigmoids.error  # 7 neurons in 3 layers beat every 35 directions in 2

# %% [markdown]
# How good is it? Along given directions the best fit by cosines is a linear least squares problem
# whose Gram matrix is known in closed form: an upper bound for the same number, without sampling.

# %%
v = np.random.default_rng(0).normal(size=(35, 3))
fits = {n: float(ridge_error(ball, 3, np.resize(v[:n], v.shape))) for n in (4, 12, 35)}
assert all(answer.floor[n - 1] < fit for n, fit in fits.items())
with slide("radial_4") as axes:
    axes.fill_between(k, answer.floor, color=RED, alpha=0.2, linewidth=0, hatch="//")
    axes.plot(k, answer.floor, color=RED, label="no 2-layer network is below")
    axes.plot(fits.keys(), fits.values(), "o", color=GREEN, label="fitted along random directions")
    for told, found in (("ReLUs", relus), ("sigmoids", sigmoids)):
        at = (found.network.num_neurons, found.error)
        axes.plot(*at, "D", color=BLUE, label="3 layers, by neurons" if told == "ReLUs" else None)
        axes.annotate(f"{at[0]} {told}", at, xytext=(10, -4), textcoords="offset points")
    axes.set(xlabel="directions, or neurons", ylabel="mean square error", xlim=(0, 60))
    axes.set(ylim=(0, 0.17), title="The ball in three dimensions")
    axes.legend()

# %% [markdown]
# ## Exponential in the dimension
#
# A sphere of radius $u$ takes about $1/q(u) \sim \sqrt d\,u^{d-1}$ tubes to cover. To leave half of
# the wave's norm, every 2-layer network needs at least so many directions:

# %%
half = {}
for d in drawn.DIMENSIONS:
    found = drawn.certificate(d)
    too_few = np.asarray(found.floor) > float(found.norm_squared) / 2
    half[d] = float(drawn.DIRECTIONS[too_few].max())
print({f"d = {d}": f"more than {n:,.0f} directions" for d, n in half.items()})
assert (half[2], half[3]) == (2, 14)
assert 3.5e5 < half[10] < 4.2e5
assert 4 < (half[10] / half[3]) ** (1 / 7) < 4.8  # each dimension: about the frequency, 4
with slide("radial_5") as axes:
    drawn.draw_shares(axes)

# %% [markdown]
# ## What to keep straight
#
# - *Not approximated by* small 2-layer networks, rather than *not expressible*: the error is at
#   least a constant.
# - The separation is for a radial $g$ of bounded support and under this $\mu$; the floor is over
#   all of $\mathbb R^d$, and a test set within a ball voids it.
# - What matters is mass of $\widehat{g\varphi}$ outside the tubes, for which mass far outside $B$
#   suffices; a wave of frequency below 2 leaves part of it in $u \le 1$, which every tube holds.
#
# ## Exercises
#
# 1. Halve the error of the 3-layer ball to .005, with ReLUs. How many neurons?
#    (`approximate(ball, 3, 0.005).network.num_neurons`)
# 2. Which frequencies does $\mu$ itself have? Draw two balls, one of them shifted.
#    (`Measure(3).characteristic(u)`)
# 3. The theorem's width is $C c_\sigma d^{19/4}$ with an unnamed $C$. What is it at $d = 16$, with
#    $c_\sigma = C = 1$? (`jd.bounds.eldan_shamir16_width(16, c_sigma=1)`)

# %%
assert approximate(ball, 3, 0.005).network.num_neurons == 41
assert mu.characteristic(0.0) == 1
assert mu.characteristic(2.0) == 0
assert jd.bounds.eldan_shamir16_width(16, c_sigma=1) == 2**19
