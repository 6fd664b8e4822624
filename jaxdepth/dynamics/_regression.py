"""Linear regression in the l_p loss, p even: the landscape of the implicit acceleration."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64

from jaxdepth._misc import check_finite, check_integer, is_traced, refuse, working_dtype


class Optimum(NamedTuple):
    """The least loss and a minimiser.

    Attributes:
        value: the least loss.
        minimiser: the minimiser, shape (d,); for p = 2 the shortest one where there are several.

    Example:
        >>> import jax.numpy as jnp
        >>> least = LpRegression(jnp.ones((2, 1)), jnp.array([0.0, 2.0]), 2).optimum()
        >>> round(least.value, 6), least.minimiser.round(6).tolist()
        (0.5, [1.0])
    """

    value: float
    minimiser: Float64[np.ndarray, " d"]


class LpRegression(eqx.Module):
    """The loss L(w) = mean over samples of (⟨x, w⟩ − y)^p / p.

    p = 2 works on sufficient statistics: with X = QR the residual is ‖Rw − Qᵀy‖² plus what no w can
    reach, sums of squares both, so that a step costs d² whatever the sample count and a small loss
    is not lost to cancellation, as it would be in wᵀXᵀXw − 2wᵀXᵀy + yᵀy.

    Attributes:
        X: samples, shape (n, d).
        y: targets, shape (n,).
        p: the even exponent.

    Args:
        X: samples, shape (n, d), finite.
        y: targets, shape (n,), finite.
        p: even, at least 2 (an odd power has no minimum).

    Raises:
        ValueError: shapes that do not agree, no samples, non-finite entries, p odd or below 2.

    Example:
        >>> import jax.numpy as jnp
        >>> problem = LpRegression(jnp.eye(2), jnp.array([10.0, 1.0]), 4)
        >>> float(problem.loss(jnp.zeros(2)))  # (10⁴ + 1)/4 over two samples
        1250.125
        >>> problem.optimum().minimiser.round(3).tolist()
        [10.0, 1.0]

    Reference: Arora, Cohen & Hazan (2018), section 3.
    """

    X: Float[Array, "n d"]
    y: Float[Array, " n"]
    p: int = eqx.field(static=True)
    _rows: Float[Array, "rows d"]
    _targets: Float[Array, " rows"]
    _unreachable: Float[Array, ""]

    def __init__(self, X: Float[Array, "n d"], y: Float[Array, " n"], p: int) -> None:
        p = check_integer("p", p, 2)
        if p % 2:
            refuse("p", "even", p, "The loss of an odd power has no lower bound.")
        X, y = jnp.asarray(X), jnp.asarray(y)
        for name, data in (("X", X), ("y", y)):
            if jnp.iscomplexobj(data):
                refuse(name, "real", data.dtype)
        dtype = working_dtype(X, y)
        X, y = X.astype(dtype), y.astype(dtype)
        if X.ndim != 2 or 0 in X.shape:
            refuse("X", "samples of shape (n, d), n and d at least 1", X.shape)
        if y.shape != X.shape[:1]:
            refuse("y", f"one target for each of the {len(X)} samples", y.shape)
        check_finite("X", X)
        check_finite("y", y)
        self.X, self.y, self.p = X, y, p
        self._rows, self._targets, self._unreachable = X, y, jnp.zeros((), dtype)
        if p == 2 and len(X) > X.shape[1]:
            # There is no QR in half precision.
            wide = jnp.dtype(jnp.float32) if jnp.finfo(dtype).bits < 32 else dtype
            Q, R = jnp.linalg.qr(X.astype(wide))
            targets = jnp.matmul(Q.T, y.astype(wide), precision="highest")
            beyond = y.astype(wide) - jnp.matmul(Q, targets, precision="highest")
            self._rows, self._targets = R.astype(dtype), targets.astype(dtype)
            self._unreachable = (beyond**2).sum().astype(dtype)

    def loss(self, W: Any) -> Float[Array, ""]:
        """Return the mean of (⟨x, w⟩ − y)^p / p.

        Args:
            W: w of shape (d,) or (1, d), or a module with an `end_to_end()` of such a shape.

        Returns:
            The loss, a scalar.

        Raises:
            ValueError: any other shape.
        """
        w = W.end_to_end() if hasattr(W, "end_to_end") else jnp.asarray(W)
        d = self.X.shape[1]
        if jnp.shape(w) not in ((d,), (1, d)):
            refuse("W", f"of shape ({d},) or (1, {d})", jnp.shape(w))
        residual = jnp.matmul(self._rows, w.reshape(d), precision="highest") - self._targets
        return ((residual**self.p).sum() + self._unreachable) / (self.p * len(self.y))

    def optimum(self) -> Optimum:
        """Return the least loss and where it is taken, in float64 on the host.

        p = 2 is least squares by SVD, safe at any rank. Larger p is Newton's method from there,
        with backtracking, in the coordinates of that SVD, by way of the powers of 2 below p, until
        the decrease is lost to rounding; the loss is convex.

        Returns:
            An `Optimum`; `value` is exact to rounding for p = 2, and an upper bound of the least
            loss for larger p. Where no float holds the least loss it is infinite or 0, and the
            minimiser what it is in any other unit.

        Raises:
            ValueError: under a transformation, for this runs on the host.
        """
        if is_traced(self.X, self.y):
            refuse(
                "problem",
                "an LpRegression of concrete data, for `optimum` runs on the host",
                "a tracer",
                "Call it outside jit.",
            )
        X, y = np.asarray(self.X, np.float64), np.asarray(self.y, np.float64)
        # In the orthonormal frame of X's columns the data are perfectly conditioned, whatever X is.
        U, sigma, Vt = np.linalg.svd(X, full_matrices=False)
        rank = int((sigma > max(X.shape) * np.finfo(np.float64).eps * sigma[0]).sum())
        U = U[:, :rank]
        size = np.abs(y).max() or 1.0
        u = U.T @ (y / size)
        if rank:
            for p in _ladder(self.p):
                u = _newton(U, y / size, p, u)
        w = Vt[:rank].T @ (size * u / sigma[:rank])
        with np.errstate(over="ignore"):  # the loss itself may be beyond any float
            return Optimum(float(np.mean((X @ w - y) ** self.p) / self.p), w)


def _ladder(p: int) -> list[int]:
    """Return 4, 8, 16, … and p: the exponents to solve on the way from 2.

    A step of Newton changes the largest residual by a part 1/(p−1) of it, and the optima of p and
    2p differ by a few such parts: from p = 2 straight to a large p would be some p steps.
    """
    return [2**k for k in range(2, p.bit_length()) if 2**k < p] + [p] * (p > 2)


def _newton(X: np.ndarray, y: np.ndarray, p: int, w: np.ndarray) -> np.ndarray:
    """Minimise from a start nearby.

    The Hessian is (p−1)·Xᵀdiag(r^{p−2})X, the gradient Xᵀr^{p−1}. Where residuals vanish the
    Hessian does, and Newton still shortens the way by (p−2)/(p−1); a pseudoinverse skips what is
    flat.
    """
    for _ in range(500):
        residual = X @ w - y
        size = np.abs(residual).max()
        if size == 0:
            break
        r = residual / size  # the largest is 1 at every step, whose powers are floats at any p
        value = np.mean(r**p)
        hessian = (p - 1) * (X.T * r ** (p - 2)) @ X
        step = np.linalg.lstsq(hessian, -X.T @ r ** (p - 1), rcond=None)[0]
        with np.errstate(over="ignore"):  # a step too long, which is shortened
            tried = ((0.5**k, np.mean((r + 0.5**k * (X @ step)) ** p)) for k in range(40))
            taken, least = next(((t, each) for t, each in tried if each < value), (0.0, value))
        w = w + taken * size * step
        if value - least < 1e-15 * value:
            break
    return w
