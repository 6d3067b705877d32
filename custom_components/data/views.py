"""Two independently augmented views of one sample, for contrastive pretraining."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import MapTransform, Randomizable

from custom_components.faults import Fault
from custom_components.number_checks import check_number


class TwoViewsd(Randomizable, MapTransform):
    """Apply a random transform twice to a sample, which then holds two views of itself.

    The first view replaces the keys, the second is stored under the keys with a suffix. All else stays unchanged.

    Args:
        keys: the keys of a view, such as ``image`` and ``valid``.
        transform: random dictionary transforms (a `monai.transforms.Compose`). A copy is used, so that a
            validation does not change the draws of a training that was given the same transform.
        suffix: suffix of the second view's keys.
        seed: None: draw anew each time. A whole number from 0: the draws depend only on it and on the volume's
            number, so that each validation sees the same views.
        id_key: key of the volume's number, a whole number from 0; read if ``seed`` is given.
        allow_missing_keys: whether missing keys are ignored.

    Raises:
        ValueError: for an empty suffix or a seed below 0; with ``seed``, for a sample without the volume's number.
        Fault: for a transform that returns several samples.
    """

    def __init__(
        self,
        keys: KeysCollection,
        transform: Callable[[dict[Hashable, Any]], Any],
        suffix: str = "_2",
        seed: int | None = None,
        id_key: str = "volume_id",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        if not suffix:
            raise ValueError("suffix is empty; the second view would replace the first")
        check_number(seed, "seed", at_least=0, whole=True, optional=True)
        self.transform, self.suffix, self.seed, self.id_key = deepcopy(transform), suffix, seed, id_key

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> TwoViewsd:
        """Seed this transform and the inner one."""
        super().set_random_state(seed, state)
        if isinstance(self.transform, Randomizable):
            self.transform.set_random_state(seed=int(self.R.randint(2**31)))
        return self

    def randomize(self, data: Mapping[Hashable, Any]) -> None:
        """If ``seed`` is given, seed the inner transform for this volume; otherwise its own state continues."""
        if self.seed is None:
            return
        number = data.get(self.id_key)
        if number is None or int(number) < 0:
            raise ValueError(f"data[{self.id_key!r}] is {number!r}; views with a seed need the volume's number")
        seeds = np.random.SeedSequence([self.seed, int(number)])
        self.set_random_state(state=np.random.RandomState(np.random.MT19937(seeds)))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with both views."""
        out = dict(data)
        keys = list(self.key_iterator(out))
        self.randomize(out)
        first, second = (self._view({key: data[key] for key in keys}) for _ in range(2))
        for key in keys:
            out[key], out[f"{key}{self.suffix}"] = first[key], second[key]
        return out

    def _view(self, data: dict[Hashable, Any]) -> Mapping[Hashable, Any]:
        view = self.transform(data)
        if isinstance(view, (list, tuple)):
            raise Fault(
                f"a view must be one sample, found {len(view)}; put RandSpatialCropSamplesd before TwoViewsd"
            )
        return view
