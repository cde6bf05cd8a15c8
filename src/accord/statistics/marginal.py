"""Slope and curvature of a likelihood in which something unseen is averaged over.

    log p(y | x) = sum_g log sum_q w_q p(y_g | x, z_q)

over groups g (a prompt's options, an item), each with an unseen z of its own, on Q points. Given y,
point q has the weight w_gq of its posterior. The slope is what is expected of the complete
likelihood's; the curvature what is expected of its curvature, plus the covariance of its slopes
(Louis 1982).
"""

from __future__ import annotations

import numpy as np

from accord.statistics.intervals import Array, Index


def equal_counts(group_M: Index) -> list[tuple[Index, Index]]:
    """Groups with equally many rows together: their numbers [N], and the places of their rows [N,
    J]. Rows are in the order of groups."""
    groups, start, count = np.unique(group_M, return_index=True, return_counts=True)
    return [
        (groups[count == j], start[count == j][:, None] + np.arange(j)) for j in np.unique(count)
    ]


def add_slopes(
    slope: Array, curvature: Array, slope_NSQ: Array, place_NS: Index, weight_NQ: Array, safe: bool
) -> None:
    """Add N groups, whose complete likelihood has slopes [N, S, Q] in the parameters `place_NS`, to
    the slope [X] and the negative curvature [X, X]: less their covariance over points; safe: outer
    products of the groups' slopes instead (Berndt et al. 1974)."""
    size = len(slope)
    mean_NS = np.einsum("nsq,nq->ns", slope_NSQ, weight_NQ)
    slope += np.bincount(place_NS.ravel(), mean_NS.ravel(), minlength=size)
    if safe:
        square_NSS = -mean_NS[:, :, None] * mean_NS[:, None, :]
    else:
        apart_NSQ = slope_NSQ - mean_NS[:, :, None]
        apart_NSQ *= np.sqrt(weight_NQ)[:, None]
        square_NSS = apart_NSQ @ apart_NSQ.transpose(0, 2, 1)
    at = place_NS[:, :, None] * size + place_NS[:, None, :]
    curvature -= np.bincount(at.ravel(), square_NSS.ravel(), minlength=size**2).reshape(size, size)
