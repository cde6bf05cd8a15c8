"""The softmax and the logarithm of its total, which no logit overflows."""

from __future__ import annotations

import numpy as np

from accord.statistics.intervals import Array


def softmax(logits: Array, axis: int) -> tuple[Array, Array]:
    """(p along `axis`, log of the sum of exp(logits) without that axis); logits are finite, or
    -inf beside a finite one. One exponential per logit; scipy's logsumexp, which also looks for
    signs and infinities, takes three times as long."""
    top = logits.max(axis, keepdims=True)
    p = np.exp(logits - top)
    total = p.sum(axis, keepdims=True)
    p /= total
    return p, np.squeeze(top + np.log(total), axis)


def log_total(logits: Array, axis: int) -> Array:
    """The second alone."""
    top = logits.max(axis, keepdims=True)
    found: Array = np.squeeze(top, axis) + np.log(np.exp(logits - top).sum(axis))
    return found
