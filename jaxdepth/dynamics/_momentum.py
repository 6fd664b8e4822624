"""Depth two with one scalar layer, read as gradient descent with momentum: exactly."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdepth._misc import check_finite, is_traced, refuse, working_dtype


class MomentumForm(eqx.Module):
    """Gradient descent on (w₁, ω), told in terms of w = ω·w₁.

    With t = 0, …, T−1 and ∇(t) the gradient in w at w(t), exactly, no term of order η² dropped:

        w(t+1) = w(t) − rho_t ∇(t) − gamma_t w(t)
               = w(t) − rho_t ∇(t) − Σ_{τ<t} mu_{tτ} ∇(τ) − initial_t w(0).

    Attributes:
        w: the iterates w(0), …, w(T).
        omega: the scalar layer ω(0), …, ω(T).
        rho: the adaptive learning rate η·ω_t·ω_{t+1} = η·ω_t(ω_t − η∇_ω).
        gamma: the shrinkage 1 − ω_{t+1}/ω_t = η·∇_ω/ω_t.
        mu: momentum coefficients, strictly lower triangular.
        initial: what is left of w(0), gamma_t·Π_{s<t}(1 − gamma_s); the paper, starting near 0,
            drops it.
        rho_paper: the paper's ηω², which differs from rho by η²ω∇_ω.

    Example:
        >>> import jax.numpy as jnp
        >>> form = momentum_form(jnp.array([2.0]), 1.0, jnp.array([[1.0], [1.0]]), 0.25)
        >>> form.rho.tolist(), form.rho_paper.tolist()  # η·ω_t·ω_{t+1} and η·ω_t²
        ([0.125, 0.0078125], [0.25, 0.0625])
    """

    w: Float[Array, "steps_and_start d"]
    omega: Float[Array, " steps_and_start"]
    rho: Float[Array, " steps"]
    gamma: Float[Array, " steps"]
    mu: Float[Array, "steps steps"]
    initial: Float[Array, " steps"]
    rho_paper: Float[Array, " steps"]


def momentum_form(
    w: Float[Array, " d"],
    omega: float | Float[Array, ""],
    gradients: Float[Array, "steps d"],
    learning_rate: float | Float[Array, ""],
) -> MomentumForm:
    """Write gradient descent on (w₁, ω) as an adaptive rate with momentum.

    From ω⁺ = ω − η∇_ω with ∇_ω = ⟨w₁, ∇⟩ = ⟨w, ∇⟩/ω, and w₁⁺ = w₁ − ηω∇,

        w⁺ = ω⁺w₁⁺ = (ω⁺/ω)·w − ηωω⁺·∇,

    and unrolled w(t) = Π_{s<t}(1−γ_s)·w(0) − Σ_{τ<t} ρ_τ·Π_{τ<s<t}(1−γ_s)·∇(τ). The products
    telescope, for 1 − γ_s = ω_{s+1}/ω_s, and γ_t·w(t) has the coefficients

        mu_{tτ} = −γ_t·ρ_τ·Π_{τ<s<t}(1−γ_s) = −η²·∇_ω(t)·ω_τ,
        initial_t = γ_t·Π_{s<t}(1−γ_s) = η·∇_ω(t)/ω_0.

    Args:
        w: the start w(0) = ω(0)·w₁(0), shape (d,).
        omega: the start ω(0), not 0.
        gradients: ∇L at w(0), …, w(T−1), shape (T, d).
        learning_rate: η.

    Returns:
        A `MomentumForm`. After an ω of exactly 0 it is NaN: the form divides by ω.

    Raises:
        ValueError: shapes that do not agree, ω(0) = 0, non-finite numbers.

    Example:
        >>> import jax.numpy as jnp
        >>> form = momentum_form(jnp.array([2.0]), 1.0, jnp.array([[1.0], [1.0]]), 0.25)
        >>> form.w[:, 0].tolist()  # w₁ is 2, 7/4, 13/8 and ω is 1, 1/2, 1/16
        [2.0, 0.875, 0.1015625]

    Reference: Arora, Cohen & Hazan (2018), section 3 and its Observation 1, there up to O(η²).
    """
    w, gradients = jnp.asarray(w), jnp.asarray(gradients)
    for name, array in (("w", w), ("gradients", gradients)):
        if jnp.iscomplexobj(array):
            refuse(name, "real", array.dtype)
    dtype = working_dtype(w, gradients)
    w, gradients = w.astype(dtype), gradients.astype(dtype)
    if w.ndim != 1:
        refuse("w", "a vector (d,)", w.shape)
    if gradients.ndim != 2 or gradients.shape[1:] != w.shape or not len(gradients):
        refuse("gradients", f"of shape (steps, {len(w)}) with a step at least", gradients.shape)
    check_finite("w", w)
    check_finite("gradients", gradients)
    for name, number in (("omega", omega), ("learning_rate", learning_rate)):
        check_finite(name, number)
        if jnp.ndim(number) != 0:
            refuse(name, "a number", number)
    if not is_traced(omega) and omega == 0:
        refuse("omega", "different from 0", omega, "The form divides by it.")
    return _unroll(
        w, jnp.asarray(omega).astype(dtype), gradients, jnp.asarray(learning_rate).astype(dtype)
    )


@jax.jit
def _unroll(w0: Array, omega0: Array, gradients: Array, eta: Array) -> MomentumForm:
    def step(carry: tuple[Array, Array], gradient: Array) -> tuple[tuple[Array, Array], tuple]:
        w, omega = carry
        slope = jnp.vdot(w, gradient, precision="highest") / omega  # ∇_ω
        after = omega - eta * slope
        return (after / omega * w - eta * omega * after * gradient, after), (w, omega, slope)

    (w_last, omega_last), (w, omega, slope) = jax.lax.scan(step, (w0, omega0), gradients)
    w, omegas = jnp.append(w, w_last[None], axis=0), jnp.append(omega, omega_last)
    return MomentumForm(
        w=w,
        omega=omegas,
        rho=eta * omega * omegas[1:],
        gamma=eta * slope / omega,
        mu=jnp.tril(-(eta**2) * slope[:, None] * omega[None, :], -1),
        initial=eta * slope / omega0,
        rho_paper=eta * omega**2,
    )
