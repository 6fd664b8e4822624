# %% [markdown]
# # Implicit acceleration: depth as an optimiser
#
# After Arora, Cohen & Hazan, *On the Optimization of Deep Networks: Implicit Acceleration by
# Overparameterization* (2018). About twenty minutes. Every number is computed in the cell beside
# it.
#
# A linear network $x \mapsto W_N \cdots W_1 x$ computes what the single matrix
# $W_e = W_N \cdots W_1$ does, and any matrix is such a product, if the hidden layers are as wide as
# the input or as the output. Depth changes nothing in what can be expressed, so that whatever it
# does is optimisation. What does gradient descent on the layers do to their product?

# %%
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _slides import slide

import jaxdepth as jd
from experiments._figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED
from jaxdepth.dynamics import LpRegression, descend, end_to_end, end_to_end_sgd

# %% [markdown]
# ## One scalar more
#
# Take $\ell_p$ regression, $L(w) = \mathbb E\,\frac1p(\langle x, w\rangle - y)^p$ with $p$ even,
# and write $w = \omega w_1$ with a scalar $\omega$. Descent on both has
# $\nabla_{w_1} = \omega\nabla$ and $\nabla_\omega = \langle w_1, \nabla\rangle$, where
# $\nabla = \nabla L(w)$. Multiplied out,
# $$w^+ = w - \rho\,\nabla - \gamma\, w, \qquad \rho = \eta\,\omega\,\omega^+, \quad
#   \gamma = \eta\,\nabla_\omega/\omega ,$$
# exactly; the paper has $\rho = \eta\omega^2$, up to $O(\eta^2)$. And $w$ is a sum of past
# gradients:
# $$w^+ = w - \rho_t\nabla(t) - \sum_{\tau < t} \mu(t, \tau)\,\nabla(\tau) - \iota_t\, w(0).$$
# An adaptive rate, and momentum. (The last term is small if $w(0)$ is.)

# %%
task = LpRegression(jnp.eye(2), jnp.array([5.0, 1.0]), p=4)  # two points, badly balanced
start, eta, steps = jnp.array([0.1, 0.02]), 0.01, 60
layers = {"w1": start, "omega": jnp.ones(())}


def product(layers):
    """Return w."""
    return layers["omega"] * layers["w1"]


run = descend(
    layers, lambda layers: task.loss(product(layers)), optax.sgd(eta), steps, record=product
)
gradients = jax.vmap(jax.grad(task.loss))(run.recorded[:-1])
form = jd.dynamics.momentum_form(start, 1.0, gradients, eta)
assert np.allclose(form.w, run.recorded, rtol=1e-4, atol=1e-5)  # the layers, from gradients alone

w, rebuilt = np.asarray(form.w, float), np.asarray(form.mu, float) @ np.asarray(gradients, float)
rebuilt += np.asarray(form.rho)[:, None] * np.asarray(gradients)
rebuilt += np.asarray(form.initial)[:, None] * np.asarray(start)
assert np.allclose(w[:-1] - rebuilt, w[1:], atol=1e-4)

with slide("acceleration_1", 1, 2) as (left, right):
    left.plot(form.rho, color=BLUE, label=r"$\rho_t$, exact")
    left.plot(form.rho_paper, "--", color=ORANGE, label=r"$\eta\omega^2$")
    left.set(xlabel="step t", title="The rate adapts", ylim=(0, None))
    left.legend(loc="lower right")
    for t, shade, style in ((10, ORANGE, "-"), (15, GREEN, "--"), (20, PURPLE, "-.")):
        right.plot(np.arange(t), form.mu[t, :t], style, color=shade, label=f"t = {t}")
    right.set(xlabel=r"past step $\tau$", title=r"Past gradients weigh in: $\mu(t, \tau)$")
    right.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)
    right.legend()

# %% [markdown]
# ## The end-to-end rule
#
# **Theorem 1.** Gradient flow on layers that start *balanced*,
# $W_{j+1}^\top W_{j+1} = W_j W_j^\top$, moves their product by
# $$\dot W_e = -\eta\lambda N\, W_e - \eta \sum_{j=1}^N [W_eW_e^\top]^{\frac{j-1}N}\; G\;
#   [W_e^\top W_e]^{\frac{N-j}N}, \qquad G = \nabla L(W_e),$$
# with weight decay $\lambda$ on each layer. The rule is the layers' limit: descent itself is off by
# a gap of first order in the rate, at a fixed time $T = \eta\cdot$steps.

# %%
S = jnp.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
W0 = 0.3 * jax.random.normal(jax.random.key(1), (2, 3))


def end_to_end_of(net):
    """Return the matrix that a deep network or a matrix is."""
    return net.end_to_end() if hasattr(net, "end_to_end") else net


def square(net):
    """Return ‖W − S‖²/2."""
    return ((end_to_end_of(net) - S) ** 2).sum() / 2


def follow(net, optimiser, rate):
    """Descend by 512 steps of a rate, recording the end-to-end matrix."""
    settings = {"learning_rate": rate}
    return descend(
        net, square, optimiser, 512, hyperparameters=settings, record_every=8, record=end_to_end_of
    )


rates = 0.02 / jnp.array([1.0, 2.0, 4.0])
deep = jd.networks.DeepLinear.balanced_from(W0, 3)
rule = functools.partial(end_to_end_sgd, depth=3)
by_layers = jax.vmap(lambda rate: follow(deep, optax.sgd, rate))(rates)
by_rule = jax.vmap(lambda rate: follow(W0, rule, rate))(rates)
at = [16, 32, 64]  # records at the same time, 512 steps of the least rate
gaps = [
    float(jnp.abs(by_layers.recorded[i, record] - by_rule.recorded[i, record]).max())
    for i, record in enumerate(at)
]
print("gaps at rates .02, .01, .005:", [f"{gap:.2e}" for gap in gaps])
assert all(1.8 < coarse / fine < 2.2 for coarse, fine in itertools.pairwise(gaps))

# %% [markdown]
# ## What the preconditioner prefers
#
# **Claim 1.** In the basis $u_r v_s^\top$ of $W_e$'s singular vectors the sum is diagonal, with the
# entries $\sum_j \sigma_r^{2(N-j)/N}\sigma_s^{2(j-1)/N}$. It is large along strong directions.
#
# **Claim 2.** With one output,
# $\dot w = -\eta\|w\|^{2-2/N}\left(g + (N-1)\,\mathrm{Pr}_w\, g\right)$: $N$ times faster along $w$
# than across it, and slow where $w$ is small.

# %%
w = jnp.array([[1.2, 0.5]])
circle = np.stack([np.cos(np.linspace(0, 2 * np.pi, 121)), np.sin(np.linspace(0, 2 * np.pi, 121))])
unit_gradients = jnp.asarray(circle.T[:, None, :], w.dtype)


@jax.jit
def moved(w, N):
    """Precondition every gradient of the circle."""
    return jax.vmap(lambda G: end_to_end(w, G, N))(unit_gradients)[:, 0]


with slide("acceleration_2", 1, 2) as (left, right):
    for panel, at in ((left, w), (right, w / 2)):
        for N, shade, style in ((1.0, GREY, ":"), (2.0, BLUE, "-"), (3.0, RED, "--")):
            panel.plot(*np.asarray(moved(at, N)).T, style, color=shade, label=f"N = {N:g}")
        arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 2.5, "mutation_scale": 25}
        panel.annotate("", at[0], (0, 0), arrowprops=arrow)
        panel.set(xlim=(-4.4, 4.4), ylim=(-4.4, 4.4), aspect="equal")
        panel.set_title(f"$\\|w\\|$ = {np.linalg.norm(at):g}")
    left.legend(loc="upper left")
    left.figure.suptitle("Where unit gradients go, at w (the arrow)")
for N in (2, 3):
    size = float(jnp.linalg.norm(w)) ** (2 - 2 / N)
    assert np.allclose(jd.dynamics.spectrum(w, N)[0], [N * size, size], rtol=1e-5)

# %% [markdown]
# ## A race
#
# On the two points, from a small start: how many steps until the loss is below $10^{-6}$ for good,
# each method at its own best rate short of the first that diverges. At $p = 4$ the curvature dies
# with the residual, and depth helps. At $p = 2$ a single step of the right rate would do, and depth
# costs. Momentum and Adam, which are not among the paper's rivals, beat depth here. (At rates so
# large the rule is no longer what layers would do.)

# %%
GOAL = 1e-6
tried = jnp.asarray(np.geomspace(1e-4, 4.0, 60), start.dtype)


def race(p, steps, optimiser, **settings):
    """Return the losses at the best rate, and the steps that it takes to stay at the goal."""
    task = LpRegression(jnp.eye(2), jnp.array([5.0, 1.0]), p)

    def one(rate):
        chosen = settings | {"learning_rate": rate}
        return descend(start[None], task.loss, optimiser, steps, hyperparameters=chosen).losses

    losses = np.asarray(jax.vmap(one)(tried))
    losses = losses[np.logical_and.accumulate(np.isfinite(losses).all(axis=1))]
    last = [np.flatnonzero(row > GOAL)[-1] for row in losses]
    best = int(np.argmin(last))
    assert best > 0  # the best rate is inside the grid
    assert last[best] < steps - 1  # and arrives
    return losses[best], int(last[best]) + 1


curves = {
    (p, f"depth {N}"): race(p, steps, end_to_end_sgd, depth=jnp.asarray(float(N)))
    for p, steps in ((4, 6000), (2, 200))
    for N in (1, 2, 3)
}
curves[4, "momentum .9"] = race(4, 6000, functools.partial(optax.sgd, momentum=0.9))
curves[4, "Adam"] = race(4, 6000, optax.adam)
needed = {key: first for key, (_, first) in curves.items()}
print(needed)
assert needed[4, "depth 1"] > 3 * max(needed[4, "depth 2"], needed[4, "depth 3"])
assert needed[2, "depth 1"] < needed[2, "depth 2"] < needed[2, "depth 3"]
assert needed[4, "Adam"] < needed[4, "momentum .9"] < needed[4, "depth 3"]
looks = {
    "depth 1": (GREY, ":"), "depth 2": (BLUE, "-"), "depth 3": (RED, "--"),
    "momentum .9": (GREEN, "-."), "Adam": (ORANGE, (0, (1, 1))),
}  # fmt: skip
with slide("acceleration_3", 1, 2, sharey=True) as (left, right):
    for (p, told), (losses, first) in curves.items():
        shade, style = looks[told]
        panel = left if p == 4 else right
        panel.loglog(
            np.arange(1, len(losses)),
            losses[1:],
            color=shade,
            linestyle=style,
            label=f"{told}: {first:,}",
        )
    for panel, p in ((left, 4), (right, 2)):
        panel.axhline(GOAL, color=INK, linewidth=1)
        panel.set(xlabel="step", title=f"p = {p}, steps to $10^{{-6}}$", ylim=(1e-14, 1e3))
    left.legend(loc="lower left")
    right.legend(loc="upper right")
    right.set_xlim(1, 100)
    left.set_ylabel("loss")

# %% [markdown]
# ## No regulariser does it
#
# **Theorem 2.** With one output, $\nabla L(0) \ne 0$ and $\nabla L$ continuous near 0, the field
# $F(w) = \|w\|^{2-2/N}\left(g + (N-1)\,\mathrm{Pr}_w\, g\right)$ of depth $N > 2$ is the gradient
# of no function. The proof integrates it along a closed curve around 0, where a gradient would
# give 0. For a constant gradient $G$,
# $$\oint F = 2\|G\|\,\bigl(R^{3-2/N} - r^{3-2/N}\bigr)\,\frac{(N-1)(N-2)}{3N-2}.$$


# %%
def linear(w):
    """Return ⟨G, w⟩ of the constant gradient G = (1, 0)."""
    return w[0]


r, R = 0.4, 1.0
depths = jnp.asarray([1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0])
around = jnp.stack([jd.dynamics.contour_integral(linear, N, r, R, shape=2).value for N in depths])
predicted = [jd.dynamics.constant_gradient_integral(1.0, float(N), r, R) for N in depths]
assert np.allclose(around, predicted, atol=1e-4)
assert np.abs(np.asarray(around)[[0, 2]]).max() < 1e-5  # at N = 1, and at N = 2 for this L
curve = jd.dynamics.paper_curve(jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]), r, R)
along = jax.jit(lambda curve, t: jnp.concatenate([jax.vmap(piece)(t) for piece in curve]))
path = np.asarray(along(curve, jnp.linspace(0, 1, 41)))
mesh = np.linspace(-1.2, 1.2, 14)
X, Y = np.meshgrid(mesh, mesh)
points = jnp.asarray(np.stack([X.ravel(), Y.ravel()], axis=1), start.dtype)
F = jax.jit(jax.vmap(lambda w: jd.dynamics.field(w, linear, 3)))(points)
with slide("acceleration_4", 1, 2) as (left, right):
    left.quiver(*np.asarray(points).T, *np.asarray(F).T, color=GREY, width=0.006)
    left.plot(*path.T, color=BLUE)
    for middle in (20, 61, 102, 143):
        arrow = {"arrowstyle": "-|>", "color": BLUE, "linewidth": 3, "mutation_scale": 30}
        left.annotate("", path[middle + 2], path[middle - 2], arrowprops=arrow)
    left.set(aspect="equal", xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), title="F at N = 3, and the curve")
    fine = np.linspace(1, 8, 141)
    told = [jd.dynamics.constant_gradient_integral(1.0, float(N), r, R) for N in fine]
    right.plot(fine, told, color=BLUE, label="closed form")
    right.plot(depths, around, "o", color=ORANGE, label="along the curve")
    right.axhline(0, color=INK, linewidth=1)
    right.set(xlabel="depth N", title=r"$\oint F$ for a constant gradient")
    right.legend()

# %% [markdown]
# ## What to keep straight
#
# - $p$ must be even, the layers balanced, the rate small; from small *unbalanced* layers the path
#   is the rule's, the times are not.
# - The acceleration is over plain descent, and in the paper over AdaGrad and AdaDelta.
#
# ## Exercises
#
# 1. When has a mode of strength $s$ in the data, of two layers, grown from $u_0$ to $s/2$?
#    (`jd.dynamics.saxe_time(s / 2, s, u0, 2)`)
# 2. The flow keeps the balance, and each step of descent moves it by $O(\eta^2)$. How far off are
#    the layers after the 512 steps above, at each rate? (`jd.dynamics.imbalance(layers)`)
# 3. Is the field of depth 2 a gradient for every loss? Try $L = \frac18\sum (w_i - y_i)^4$ with
#    $y = (5, 1)$ at $w = (1, 1)$. (`jd.dynamics.curl(w, loss, 2)`)

# %%
s, u0 = 2.0, 0.01
assert np.isclose(jd.dynamics.saxe_time(s / 2, s, u0, 2), np.log(s / u0 - 1) / (2 * s), rtol=1e-5)
after = [[W[i] for W in by_layers.model.layers] for i in range(3)]  # at the three rates
off = [max(float(jnp.abs(D).max()) for D in jd.dynamics.imbalance(layers)) for layers in after]
assert 0.02 > off[0] > off[1] > off[2]
assert float(jnp.abs(jd.dynamics.curl(jnp.ones(2), task.loss, 2)).max()) > 0.1
