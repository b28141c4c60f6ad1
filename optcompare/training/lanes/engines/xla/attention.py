"""Attention, for the XLA engine."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .operations import Array, operation


def _attention(
    query: Array, key: Array, value: Array, causal: bool, mask: Array | None, scale: float | None
) -> tuple[Array, Array]:
    """Return softmax(scale · QKᵀ + mask) V, and the logarithms of the softmax's sums."""
    scores = jnp.einsum("...qd,...kd->...qk", query, key, precision=lax.Precision.HIGHEST)
    scores = scores * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if causal:
        before = jnp.tril(jnp.ones(scores.shape[-2:], bool))
        scores = jnp.where(before, scores, -jnp.inf)
    if mask is not None:
        scores = jnp.where(mask, scores, -jnp.inf) if mask.dtype == bool else scores + mask
    none = jnp.max(scores, axis=-1, keepdims=True) == -jnp.inf  # a query that attends to nothing
    seen = jnp.where(none, 0.0, scores)
    sums = jax.nn.logsumexp(seen, axis=-1)
    weights = jnp.where(none, 0.0, jnp.exp(seen - sums[..., None]))
    return jnp.einsum("...qk,...kd->...qd", weights, value, precision=lax.Precision.HIGHEST), sums


@operation("_scaled_dot_product_flash_attention_for_cpu.default")
def _forward(
    query: Array,
    key: Array,
    value: Array,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Array | None = None,
    scale: float | None = None,
) -> tuple[Array, Array]:
    if dropout_p:
        raise NotImplementedError("attention with dropout")
    return _attention(query, key, value, is_causal, attn_mask, scale)


@operation("_scaled_dot_product_flash_attention_for_cpu_backward.default")
def _backward(
    grad: Array,
    query: Array,
    key: Array,
    value: Array,
    out: Array,
    sums: Array,
    dropout_p: float,
    is_causal: bool,
    *,
    attn_mask: Array | None = None,
    scale: float | None = None,
) -> Any:
    def forward(query: Array, key: Array, value: Array) -> Array:
        return _attention(query, key, value, is_causal, attn_mask, scale)[0]

    return jax.vjp(forward, query, key, value)[1](grad)
