"""Checks of the cases: their images and channels, and whether they fill batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from custom_components.checks.volumes import check_images
from custom_components.data import DataList, check_channel_names, datalist_hash
from custom_components.data.label_like import label_like_files
from custom_components.data.layouts import left_out_text
from custom_components.data.names import Item, case_id, first_image
from custom_components.data.volumes import check_non_finite
from custom_components.data.walk import real_file
from custom_components.distributed import rank, world_size
from custom_components.losses import active_terms


class ListedChannels:
    """The data list must name the same channels as the config, in the same order.

    Nothing is compared when the list does not name its channels.

    Args:
        data_list: the list.
        channels: names of the image's channels, in order.
    """

    def __init__(self, data_list: DataList, channels: Sequence[str]) -> None:
        self.data_list, self.channels = data_list, channels

    def __call__(self) -> None:
        """Raise ValueError naming both lists of channels."""
        check_channel_names(self.data_list.channels, self.channels, str(self.data_list.source))


class Cases:
    """There must be cases, none of them in both lists, and all images whole, with the expected channels.

    Args:
        items: the cases, for training or evaluation.
        channels: names of the image's channels.
        validation_items: the cases for validation; None: none.
        dataset_dir: the data folder, for messages and for the hash of the list.
        non_finite: what NaN and infinity in images do when they are loaded: ``raise`` or ``replace``.
    """

    def __init__(
        self,
        items: Sequence[Item],
        channels: Sequence[str],
        validation_items: Sequence[Item] | None = None,
        dataset_dir: str = "",
        non_finite: str = "raise",
    ) -> None:
        self.items, self.validation_items = items, validation_items
        self.channels, self.dataset_dir, self.non_finite = channels, dataset_dir, non_finite

    def __call__(self) -> str:
        """Return the numbers of cases and the list's hash; raise ValueError naming the file or the folder."""
        check_non_finite(self.non_finite)
        items, validation = list(self.items), list(self.validation_items or [])
        if not items:
            raise ValueError(
                f"no images: dataset_dir is {self.dataset_dir!r}; allowed: a folder of .nii or .nii.gz files"
            )
        trained = {real_file(first_image(item)) for item in items}
        both = sorted(image for item in validation if real_file(image := first_image(item)) in trained)
        if both:
            raise ValueError(
                f"{both[0]} is in both training and validation ({len(both)} such cases); list it once"
            )
        everything = [*items, *validation]
        check_images(everything, len(self.channels), progress=rank() == 0)
        validated = f", {len(validation)} for validation" if validation else ""
        return (
            f"{len(items)} images{validated}, {len(self.channels)} channel(s),"
            f" data list {datalist_hash(everything, self.dataset_dir)[:12]}"
        )


class DistinctOutputs:
    """Inference names its outputs after the images, so no two images may have one name.

    Args:
        items: the images; ``case.nii`` and ``case.nii.gz`` would have the same outputs.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items

    def __call__(self) -> None:
        """Raise ValueError naming both images."""
        named: dict[str, str] = {}
        for item in self.items:
            image = first_image(item)
            other = named.setdefault(case_id(image), image)
            if other != image:
                raise ValueError(f"{other} and {image} would have the same outputs; rename or move one of them")


class LabelMaps:
    """No image may be a label map: nothing fails when a network learns from one, but what it learns is useless.

    Args:
        data_list: the list; what it leaves out of its folder is printed.
        items: the cases, for training or evaluation.
        validation_items: the cases for validation; None: none.
        include_label_like: do not look.
    """

    def __init__(
        self,
        data_list: DataList,
        items: Sequence[Item],
        validation_items: Sequence[Item] | None = None,
        include_label_like: bool = False,
    ) -> None:
        self.data_list, self.items, self.validation_items = data_list, items, validation_items
        self.include_label_like = include_label_like

    def __call__(self) -> str:
        """Return what the list leaves out; raise ValueError naming an image that looks like a label map."""
        items = [*self.items, *(self.validation_items or [])]
        found = {} if self.include_label_like else label_like_files(items, progress=rank() == 0)
        for path, why in found.items():
            raise ValueError(
                f"{path} is listed as an image, but {why}, like a label map ({len(found)} such files);"
                " leave it out, or give --include_label_like True if it is an image"
            )
        return left_out_text(self.data_list.left_out)


class Batches:
    """Every rank's part of the training list must fill a batch, and the contrast term needs negatives.

    The last, incomplete batch of an epoch is dropped. A negative is a crop of another volume.

    Args:
        items: training cases; ranks share them in parts of equal length.
        batch_size: volumes in the batch of one rank.
        loss_weights: weight of each loss term.
    """

    def __init__(self, items: Sequence[Item], batch_size: int, loss_weights: Mapping[str, float]) -> None:
        self.items, self.batch_size, self.loss_weights = items, batch_size, loss_weights

    def __call__(self) -> None:
        """Raise ValueError saying which number is too small."""
        cases, ranks = len(self.items), world_size()
        if "contrast" in active_terms(self.loss_weights):
            volumes = self.batch_size * ranks
            if volumes < 2:
                raise ValueError(
                    f"the contrast loss needs 2 volumes in a batch, found batch_size {self.batch_size} on {ranks}"
                    " rank(s); raise batch_size or set loss_weights::contrast to 0"
                )
            if cases < volumes:
                raise ValueError(
                    f"{cases} training case(s) fill no batch of {volumes} volumes (batch_size x ranks)"
                )
        if cases < ranks:
            raise ValueError(f"{cases} training case(s) cannot be shared among {ranks} ranks; start fewer")
        if -(-cases // ranks) < self.batch_size:
            raise ValueError(
                f"{cases} training case(s) on {ranks} rank(s) fill no batch of batch_size {self.batch_size}"
            )


class ContrastValidation:
    """A validation that measures contrast needs two volumes.

    Args:
        validation_items: the validation cases.
        validation_metrics: what a validation measures.
    """

    def __init__(self, validation_items: Sequence[Item], validation_metrics: Sequence[str]) -> None:
        self.validation_items, self.validation_metrics = validation_items, validation_metrics

    def __call__(self) -> None:
        """Raise ValueError saying how many there are."""
        if "contrast" in self.validation_metrics and len(self.validation_items) < 2:
            found = len(self.validation_items)
            raise ValueError(f"{found} validation case(s); contrast needs 2 volumes: raise holdout, or list more")
