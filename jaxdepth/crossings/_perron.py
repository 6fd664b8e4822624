"""The spectral radius of an irreducible matrix of integers of any size, enclosed.

For every x > 0, min (Ax)_i/x_i ≤ ρ(A) ≤ max (Ax)_i/x_i (Collatz, Wielandt). So x may come from
floats: whatever it is worth, the quotients are taken exactly, and both are equal where x is
Perron's vector.

Noda's iteration finds it: x ← (μ − A)⁻¹x, μ = max (Ax)_i/x_i. With B = D⁻¹AD, D = diag(x), of
which the row sums are the quotients, x ← D·(μ − B)⁻¹1. All unknowns tend to one size, so that
small entries of x are as accurate as large ones.

Entries of A may be beyond floats, and those of x with them. So it starts from an entrywise power
A^(t), t = 2^−s, whose entries lie in [1, 2], and doubles t. Where x is right for A^(t), x² scales
A^(2t) to entries that are the squares of those of B: at most ρ², ρ = ρ(A^(t)), with row sums of at
least ρ²/n (Cauchy and Schwarz). That is in reach of floats.

Reference:
    Noda, Note on the computation of the maximal eigenvalue of a non-negative irreducible matrix,
    Numerische Mathematik 17 (1971); Seneta, Non-negative Matrices and Markov Chains, Theorem 1.6.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from jaxdepth.crossings._graph import Matrix


def perron_root(matrix: Matrix) -> tuple[Fraction, Fraction]:
    """Enclose the spectral radius of a strong component."""
    if len(matrix) == 1:
        ((node, row),) = matrix.items()
        exact = Fraction(row.get(node, 0))
        return exact, exact
    x = dict(zip(matrix, _perron_vector(matrix), strict=True))
    quotients = [
        sum(times * x[image] for image, times in row.items()) / x[node]
        for node, row in matrix.items()
    ]
    return min(quotients), max(quotients)


def _perron_vector(matrix: Matrix) -> list[Fraction]:
    mantissas, exponents = _parts(matrix)
    held = mantissas > 0
    logs = np.log2(mantissas, where=held, out=np.full(held.shape, -np.inf)) + exponents
    log_x = np.zeros(len(matrix))
    for s in range(int(np.max(logs)).bit_length(), 0, -1):
        scaled = logs / 2.0**s + log_x - log_x[:, None]
        log_x = 2 * (log_x + np.log2(_noda(np.exp2(scaled - np.max(scaled)))))
    # For t = 1 itself scale by powers of 2, which do not round.
    power = np.rint(log_x).astype(int)
    shift = exponents + power - power[:, None]
    x = _noda(np.ldexp(mantissas, shift - np.max(shift[held])))
    return [
        Fraction(each) * Fraction(2) ** p
        for each, p in zip(x.tolist(), power.tolist(), strict=True)
    ]


def _parts(matrix: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return the dense matrix as mantissas of at most 1 and exponents of 2."""
    place = {node: i for i, node in enumerate(matrix)}
    mantissas = np.zeros((len(matrix), len(matrix)))
    exponents = np.zeros((len(matrix), len(matrix)), int)
    for node, row in matrix.items():
        for image, times in row.items():
            at, bits = (place[node], place[image]), times.bit_length()
            mantissas[at], exponents[at] = times / (1 << bits), bits
    return mantissas, exponents


def _noda(A: np.ndarray) -> np.ndarray:
    """Return x > 0 with (Ax)_i/x_i as equal as floats can tell."""
    x, ones = np.ones(len(A)), np.ones(len(A))
    spread = np.inf
    for _ in range(64):
        B = A * x / x[:, None]
        quotients = np.sum(B, axis=1)
        mu = np.max(quotients)
        before, spread = spread, 1 - np.min(quotients) / mu
        if before < 1e-8 and spread >= before / 2:
            break
        mu *= 1 + 2.0**-40  # μ = ρ is singular
        x *= np.abs(np.linalg.solve(mu * np.eye(len(A)) - B, ones))
        x /= np.max(x)
    return x
