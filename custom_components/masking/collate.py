"""Masks drawn where samples become a batch, so that all samples of a step have one ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from monai.data.utils import list_data_collate

from custom_components.masking.transforms import RandPatchMaskd


class MaskingCollate:
    """Collate for MONAI's DataLoader that draws one mask ratio per batch, and a mask for each sample.

    The loader's ``collate_fn``, where ``RandPatchMaskd`` then is no part of the dataset's transforms. Lists of
    samples (``RandSpatialCropSamplesd``) are flattened as in MONAI's own collate. Each rank draws its own ratio.

    All randomness comes from torch's global generator in the process that collates: workers differ, and an epoch
    repeats exactly what it drew after the same ``torch.manual_seed``.

    Args:
        masks: how masks are drawn. A copy is used, so that its own random state stays as it is.

    Raises:
        ValueError: when ``masks`` is not a RandPatchMaskd, or when a sample of a batch is not a dictionary.
    """

    def __init__(self, masks: RandPatchMaskd) -> None:
        if not isinstance(masks, RandPatchMaskd):
            raise ValueError(f"masks must be a RandPatchMaskd, found {type(masks).__name__}.")
        self.masks = copy(masks)

    def __call__(self, batch: Sequence[Any]) -> Any:
        """Return the samples, or lists of samples, as one batch with masks."""
        samples = [sample for item in batch for sample in (item if isinstance(item, (list, tuple)) else [item])]
        for sample in samples:
            if not isinstance(sample, Mapping):
                raise ValueError(f"samples must be dictionaries, found {type(sample).__name__}.")
        words = torch.randint(2**32, (4,), dtype=torch.int64).tolist()
        self.masks.set_random_state(state=np.random.RandomState(np.random.MT19937(np.random.SeedSequence(words))))
        ratio = self.masks.draw_ratio()
        return list_data_collate([self.masks(sample, ratio) for sample in samples])
