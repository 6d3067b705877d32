"""Filling a store: which volumes are missing, and preparing them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose

from custom_components.data.names import Item, first_image
from custom_components.faults import Fault
from custom_components.store.chain import Chain
from custom_components.store.crops import StoredCase, class_centres
from custom_components.store.entries import StoreFolder
from custom_components.store.keys import VERSION, entry_key, foreground_rule, sources_of, steps_of
from custom_components.store.rounding import to_int16
from custom_components.store.volumes import Box, StoredVolume, statistics, whole
from custom_components.threads import map_in_threads

_LARGEST_UINT8 = 255


class Wanted(NamedTuple):
    """The entries that a case needs.

    Attributes:
        item: the case.
        image: key of its image.
        label: key of its label; None if it has none.
    """

    item: Item
    image: str
    label: str | None


class Filler:
    """Prepares the volumes of one view, and finds those that are there.

    Args:
        store: the folder.
        chain: the config's transforms.
        view: what else decides how an image is prepared: orientation, spacing, and so on.
        hounsfield: per channel, whether it is CT.
        dataset_dir: folder that paths are relative to.
        store_format: ``npy`` or ``blosc2``, for what is written; what is there is read in its own format.

    Raises:
        ValueError: for a chain whose result has no name.
    """

    def __init__(
        self,
        store: StoreFolder,
        chain: Chain,
        view: Mapping[str, Any],
        hounsfield: Sequence[bool],
        dataset_dir: str,
        store_format: str = "npy",
    ) -> None:
        self.store, self.chain, self.dataset_dir = store, chain, dataset_dir
        self.hounsfield, self.store_format = hounsfield, store_format
        self.image_view = {
            **view,
            "hounsfield": list(hounsfield),
            "foreground": foreground_rule(chain),
            "steps": steps_of(chain.prepare, "image"),
        }

    def wanted(self, item: Item) -> Wanted:
        """Return the entries that a case needs."""
        image = entry_key(sources_of(item, "image", self.dataset_dir), self.image_view)
        if not item.get("label"):
            return Wanted(item, image, None)
        sources = sources_of(item, "label", self.dataset_dir)
        return Wanted(item, image, entry_key(sources, {**self._label_view(), "image": image}))

    def _label_view(self) -> dict[str, Any]:
        return {"steps": steps_of(self.chain.prepare, "label")}

    def find(self, wanted: Wanted) -> StoredCase | None:
        """Return the stored volumes of a case; None if one is missing."""
        image = self._find("images", wanted.image)
        label = self._find("labels", wanted.label) if wanted.label else None
        return None if image is None or (wanted.label and label is None) else StoredCase(image, label)

    def _find(self, kind: str, key: str) -> StoredVolume | None:
        content = self.store.find(kind, key)
        return None if content is None else StoredVolume(self.store.path(kind, key), content)

    def fill(self, items: Sequence[Item], threads: int, progress: bool, verify: bool = False) -> list[StoredCase]:
        """Return the stored volumes of cases, after preparing those that are missing.

        Args:
            items: the cases.
            threads: cases at a time.
            progress: show a bar on stderr.
            verify: read every stored volume first, and prepare the damaged ones again.
        """
        wanted = [self.wanted(item) for item in items]
        if verify:
            names = [("images", one.image) for one in wanted] + [
                ("labels", one.label) for one in wanted if one.label
            ]
            there = [name for name in dict.fromkeys(names) if self.store.path(*name).exists()]
            map_in_threads(self._remove_damaged, there, "verifying the store", "entry", max(1, threads), progress)
        # A case may be listed twice, for example so that all ranks have equally many.
        missing = list({one[1:]: one for one in wanted if self.find(one) is None}.values())
        if missing:
            self.store.remove_unfinished()
            # Each process begins elsewhere, so that several that build one store rarely prepare the same volume.
            turn = os.getpid() % len(missing)
            order = missing[turn:] + missing[:turn]
            title = f"preparing volumes for {self.store.folder}"
            map_in_threads(self.prepare, order, title, "volume", max(1, threads), progress)
            self.store.write_index()
        return [self._found(one) for one in wanted]

    def _found(self, wanted: Wanted) -> StoredCase:
        found = self.find(wanted)
        if found is None:
            raise Fault(
                f"{self.store.folder} lost the volume of {first_image(wanted.item)} while it was being filled:"
                " another program removes entries; start again when it has ended"
            )
        return found

    def _remove_damaged(self, name: tuple[str, str]) -> None:
        if self.store.fault(*name):
            self.store.remove(*name)

    def prepare(self, wanted: Wanted) -> None:
        """Prepare and write the volumes of one case, unless another process has done so meanwhile."""
        if self.find(wanted) is not None:
            return
        sample: Any = Compose(self.chain.prepare)(dict(wanted.item))
        image = sample["image"].float()
        box = self._foreground_box(sample)
        corner = torch.tensor([side.start for side in box], dtype=torch.float64)
        affine = image.affine.clone().double()
        affine[:3, 3] += affine[:3, :3] @ corner
        common = {"affine": affine.tolist(), "dataset_dir": os.path.abspath(self.dataset_dir), "version": VERSION}
        cropped = image.as_tensor()[(slice(None), *box)].numpy()
        if self._find("images", wanted.image) is None:
            rounded = to_int16(cropped, self.hounsfield)
            content = {
                **common,
                "sources": sources_of(wanted.item, "image", self.dataset_dir),
                "view": self.image_view,
                "shape": list(cropped.shape),
                "step": rounded.step,
                "zero": rounded.zero,
                **statistics(image.as_tensor()),
            }
            self.store.write("images", wanted.image, rounded.numbers, content, self.store_format)
        if wanted.label:
            self._write_label(wanted, sample["label"], box, common)

    def _write_label(self, wanted: Wanted, label: Any, box: Box, common: dict[str, Any]) -> None:
        values = torch.as_tensor(label.as_tensor())[(slice(None), *box)].numpy()
        small = values.min(initial=0) >= 0 and values.max(initial=0) <= _LARGEST_UINT8
        numbers = values.astype(np.uint8 if small else np.int32)
        content = {
            **common,
            "sources": sources_of(wanted.item, "label", self.dataset_dir),
            "view": {**self._label_view(), "image": wanted.image},
            "shape": list(numbers.shape),
        }
        self.store.write("labels", str(wanted.label), numbers, content, self.store_format)
        stored = self._find("labels", str(wanted.label))
        if self.chain.classes is not None and stored is not None:
            class_centres(self.chain, stored)

    def _foreground_box(self, sample: dict[str, Any]) -> Box:
        """Return the part of a prepared volume that the config keeps."""
        image = sample["image"]
        if not self.chain.foreground_is_scaled:
            return whole(image.shape[1:])
        scaled = self.chain.intensity({**sample, "image": image.clone()})  # a z-score is computed in place
        kept: MetaTensor = self.chain.foreground(scaled)["image"]
        start = (torch.linalg.inv(image.affine) @ kept.affine)[:3, 3].round().long().tolist()
        d, h, w = (slice(first, first + side) for first, side in zip(start, kept.shape[1:], strict=True))
        return d, h, w
