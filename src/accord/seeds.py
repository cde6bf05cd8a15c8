"""The one way to a seed: every random stream has a name under the seed it belongs to.

    derive_seed(seed, "samples", step, place)

A stream is what it is for (a word), then whatever tells its parts from each other: step, epoch,
member, place. Never a sum or a multiple of seeds: `seed + 1` for the second member of one run is
the first of its neighbour, `seed * 1_000_003 + epoch` is the epoch of one thing and the step of
another.
"""

from __future__ import annotations

import hashlib
import json
from operator import index

import numpy as np


def derive_seed(seed: int, *path: str | int) -> int:
    """The seed of the stream named `path` under `seed`: 63 bits of SHA-256 over both.

    Different paths, and equal paths under different seeds, give unrelated numbers. (Of a seed
    torch's generator on CPUs reads the lower 32 bits, numpy's all of them.)
    """
    key = json.dumps([index(seed), *(p if isinstance(p, str) else index(p) for p in path)])
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *path: str | int) -> np.random.Generator:
    """numpy's generator for the stream named `path` under `seed`."""
    return np.random.default_rng(derive_seed(seed, *path))
