"""Masks drawn where samples become a batch, so that all samples of a step share one mask ratio."""

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

    Use it as the loader's ``collate_fn``, and leave ``RandPatchMaskd`` out of the dataset's transforms. Lists of
    samples (``RandSpatialCropSamplesd``) are flattened as in MONAI's own collate. Each rank draws its own ratio.

    All randomness comes from torch's global generator in the process that collates: workers differ, and an epoch
    repeats exactly after the same ``torch.manual_seed``.

    Args:
        masks: draws the masks. A copy is used, so that its own random state stays unchanged.

    Raises:
        ValueError: when ``masks`` is not a RandPatchMaskd, or when a sample of a batch is not a dictionary.
    """

    def __init__(self, masks: RandPatchMaskd) -> None:
        if not isinstance(masks, RandPatchMaskd):
            raise ValueError(f"masks is a {type(masks).__name__}; allowed: a RandPatchMaskd")
        self.masks = copy(masks)

    def __call__(self, batch: Sequence[Any]) -> Any:
        """Return the samples, or lists of samples, as one batch with masks."""
        samples = [sample for item in batch for sample in (item if isinstance(item, (list, tuple)) else [item])]
        for sample in samples:
            if not isinstance(sample, Mapping):
                raise ValueError(f"a sample is a {type(sample).__name__}; allowed: a dictionary")
        words = torch.randint(2**32, (4,), dtype=torch.int64).tolist()
        self.masks.set_random_state(state=np.random.RandomState(np.random.MT19937(np.random.SeedSequence(words))))
        self.masks.randomize()
        return list_data_collate([self.masks(sample, randomize=False) for sample in samples])
