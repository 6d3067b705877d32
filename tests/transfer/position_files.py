"""Position embeddings: the keys that show them, and the slow way to resize them."""

from __future__ import annotations

import math

import torch

KEY = "vit.patch_embedding.position_embeddings"
KERNEL = "vit.patch_embedding.patch_embeddings.weight"


def slow_resize(source, have, want):
    """One cell, feature and axis at a time; the middle of a cell is half a cell behind its border."""

    def neighbours(place, have, want):
        middle = min(max((place + 0.5) * have / want - 0.5, 0), have - 1)
        low = math.floor(middle)
        return [(low, 1 - (middle - low)), (min(low + 1, have - 1), middle - low)]

    out = torch.zeros(1, math.prod(want), source.shape[2])
    for d in range(want[0]):
        for h in range(want[1]):
            for w in range(want[2]):
                for z, share_z in neighbours(d, have[0], want[0]):
                    for y, share_y in neighbours(h, have[1], want[1]):
                        for x, share_x in neighbours(w, have[2], want[2]):
                            token = source[0, (z * have[1] + y) * have[2] + x]
                            out[0, (d * want[1] + h) * want[2] + w] += share_z * share_y * share_x * token
    return out
