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
        with backtracking, in the coordinates of that SVD, until the decrease is lost to rounding;
        the loss is convex.

        Returns:
            An `Optimum`; `value` is exact to rounding for p = 2, and an upper bound of the least
            loss for larger p.

        Raises:
            ValueError: under a transformation, for this runs on the host.
        """
        if is_traced(self.X, self.y):
            refuse(
                "self",
                "concrete, for `optimum` runs on the host",
                "a tracer",
                "Call it outside jit.",
            )
        X, y = np.asarray(self.X, np.float64), np.asarray(self.y, np.float64)
        # In the orthonormal frame of X's columns the data are perfectly conditioned, whatever X is.
        U, sigma, Vt = np.linalg.svd(X, full_matrices=False)
        rank = int((sigma > max(X.shape) * np.finfo(np.float64).eps * sigma[0]).sum())
        U = U[:, :rank]
        # Of unit size, so that no power overflows on the way, nor stops Newton by underflowing.
        size = np.abs(y).max() or 1.0
        u = U.T @ (y / size)
        if self.p > 2 and rank:
            u = _newton(U, y / size, self.p, u)
        w = Vt[:rank].T @ (size * u / sigma[:rank])
        with np.errstate(over="ignore"):  # the loss itself may be beyond any float
            return Optimum(float(_loss(X, y, self.p, w)), w)


def _loss(X: np.ndarray, y: np.ndarray, p: int, w: np.ndarray) -> np.float64:
    return np.mean((X @ w - y) ** p) / p


def _newton(X: np.ndarray, y: np.ndarray, p: int, w: np.ndarray) -> np.ndarray:
    """Minimise from the least squares solution.

    The Hessian is (p−1)·Xᵀdiag(r^{p−2})X, the gradient Xᵀr^{p−1}. Where residuals vanish the
    Hessian does, and Newton still shortens the way by (p−2)/(p−1); a pseudoinverse skips what is
    flat.
    """
    value = _loss(X, y, p, w)
    for _ in range(500):
        residual = X @ w - y
        size = np.abs(residual).max()
        if size == 0:
            break
        r = residual / size  # powers of small residuals must not underflow
        hessian = (p - 1) * (X.T * r ** (p - 2)) @ X
        step = size * np.linalg.lstsq(hessian, -X.T @ r ** (p - 1), rcond=None)[0]
        shortened = (w + 0.5**k * step for k in range(40))
        better = next((v for v in shortened if _loss(X, y, p, v) < value), None)
        if better is None:
            break
        gained, w = value - _loss(X, y, p, better), better
        value -= gained
        if gained < 1e-15 * value:
            break
    return w
