"""Two independently augmented views of one sample, for contrastive pretraining."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import MapTransform, Randomizable


class TwoViewsd(Randomizable, MapTransform):
    """Run a random transform twice on a sample, so that it holds two views of itself.

    The first view takes the place of the keys, the second goes under the keys with a suffix. Nothing else changes.

    Args:
        keys: what a view consists of, ``image`` and ``valid``, say.
        transform: dictionary transforms with their randomness (a `monai.transforms.Compose`). A copy is used, so
            that the draws of a validation are without effect on a training that was given the same.
        suffix: of the second view's keys.
        seed: None: draws anew each time. A whole number from 0: what is drawn depends on it and on the volume's
            number alone, so that a validation sees the same views each time.
        id_key: where the volume's number is, a whole number from 0; read with ``seed``.
        allow_missing_keys: whether keys that are absent are passed over.

    Raises:
        ValueError: for an empty suffix or a seed below 0; with ``seed``, for a sample without the volume's number;
            for a transform that makes several samples of one.
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
        if seed is not None and seed < 0:
            raise ValueError(f"seed is {seed}; it must be None or a whole number from 0")
        self.transform, self.suffix, self.seed, self.id_key = deepcopy(transform), suffix, seed, id_key

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> TwoViewsd:
        """Seed the inner transform too."""
        super().set_random_state(seed, state)
        if isinstance(self.transform, Randomizable):
            self.transform.set_random_state(seed=int(self.R.randint(2**31)))
        return self

    def randomize(self, data: Mapping[Hashable, Any]) -> None:
        """With ``seed``, seed the inner transform for this volume; else its own state goes on."""
        if self.seed is None:
            return
        number = data.get(self.id_key)
        if number is None or int(number) < 0:
            raise ValueError(f"data[{self.id_key!r}] is {number!r}; views under a seed need the volume's number")
        state = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([self.seed, int(number)])))
        super().set_random_state(state=state)
        if isinstance(self.transform, Randomizable):
            self.transform.set_random_state(seed=int(self.R.randint(2**31)))

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
            raise ValueError(
                f"a view must be one sample, found a list of {len(view)}; crop several before TwoViewsd"
            )
        return view
