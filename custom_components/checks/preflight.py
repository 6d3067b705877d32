"""What a config's ``run`` does first: find what would go wrong later, and say it in one line.

The two guards take the config's plain values, its network (built, which costs little) and its data lists as
callables (``_mode_: callable``), so that a wrong folder is their error too. A finding ends the process with
``error: ...`` and exit status 1, on every rank, before the first volume is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from custom_components.checks.all_ranks import run_on_all_ranks
from custom_components.checks.crop_sizes import (
    check_batches,
    check_contrast,
    check_input,
    check_masks,
    check_regions,
    check_seg_channels,
    check_validated_contrast,
)
from custom_components.checks.data_files import (
    Items,
    check_files,
    check_listed_channels,
    check_not_empty,
    check_weights_and_disk,
    read_items,
)
from custom_components.checks.hyperparameters import check_hyperparameters
from custom_components.checks.labels import check_label_settings, check_listed_labels
from custom_components.checks.overrides import check_overrides
from custom_components.checks.schedule import check_key_metric, check_resume, check_schedule, check_terms
from custom_components.checks.volumes import check_labels
from custom_components.distributed import rank, world_size
from custom_components.number_checks import check_number
from custom_components.losses import active_terms
from custom_components.transfer.checks import check_weights_complete

Size = int | Sequence[int]
# What a pretraining's resume file holds beside the trainer.
_RESUMED = ("pretext", "optimizer", "lr_scheduler", "best", "average")


def guard_pretraining(
    items: Items,
    validation_items: Items | None,
    network: nn.Module,
    in_channels: int,
    roi_size: Size,
    masking: Mapping[str, Any] | None = None,
    loss_weights: Mapping[str, float] | None = None,
    batch_size: int = 2,
    spacing: Sequence[float] | None = None,
    cache_rate: float = 0.0,
    cache_copies: int = 1,
    dataset_dir: str = "",
    ckpt_dir: str | None = None,
    pretrained: str | None = None,
    input_layer: str = "repeat_mean",
    builds: Sequence[Callable[[], Any]] = (),
    epochs: int | None = None,
    val_interval: int = 1,
    key_metric: str | None = None,
    measured: Sequence[str] = (),
    ema_decay: float | None = None,
    recipe: Mapping[str, Any] | None = None,
    resume: str | None = None,
    pretext_weights: str | None = None,
    channels: Sequence[str] | None = None,
    datalist: str | None = None,
) -> None:
    """Check a pretraining run before it starts, and print what was checked.

    Args:
        items: training cases, or (better) what returns them: ``load_datalist`` with ``_mode_: callable``.
        validation_items: the same for validation; None: no validation.
        network: the MONAI network, freshly built.
        in_channels: channels of an image.
        roi_size: voxels of a crop.
        masking: what ``check_masks`` takes (``patch_size``, ``mask_ratio``, ``mask_mode``, ...), and
            ``window_size``, voxels of the decoded window, where only one is decoded; None: nothing is masked.
        loss_weights: weight of each loss term; None: not checked.
        batch_size: volumes in a batch of one rank. Crops of one volume are no negatives of each other.
        spacing: mm that volumes are resampled to; None: their own.
        cache_rate: cached share of the training cases.
        cache_copies: ranks that each cache the whole list; 1 where it is partitioned.
        dataset_dir: folder that the printed list hash is relative to.
        ckpt_dir: folder that weights go to; None: not checked.
        pretrained: weights to start from; None: none.
        input_layer: how weights of other channels are fitted, see ``custom_components.transfer``.
        builds: what builds the pretext network, first, and the loss; their own errors then come as one line.
        epochs: length of the run; None: an evaluation.
        val_interval: epochs between validations.
        key_metric: what picks the best weights, out of ``measured``; None: not checked.
        measured: what a validation measures; with ``contrast`` among it, validation needs two volumes too.
        ema_decay: share of the averaged weights that a step keeps, in (0, 1); None: nothing is averaged.
        recipe: further numbers by their key, ``learning_rate``, say, see ``check_hyperparameters``.
        resume: resume file to continue from; None: a fresh run.
        pretext_weights: ``pretext.pt`` to be evaluated, which must fit the first of ``builds``; None: none.
        channels: names of the image's channels in order, compared with those of the list; None: not compared.
        datalist: list file that the items are read from, as in ``load_datalist``.

    Raises:
        SystemExit: with one line that names what is wrong.
    """

    def checks() -> str:
        check_overrides()
        check_hyperparameters({"batch_size": batch_size, "cache_rate": cache_rate, **(recipe or {})})
        _check_geometry(network, roi_size, in_channels, **(masking or {}))
        terms = active_terms(loss_weights) if loss_weights is not None else ()
        built = [build() for build in builds]
        check_terms(terms, built)
        check_number(ema_decay, "ema_decay", above=0, below=1, optional=True)
        if epochs is not None:
            check_schedule(epochs, val_interval)
        if key_metric is not None:
            check_key_metric(key_metric, measured)
        if resume is not None:
            check_resume(resume, _RESUMED, epochs or 1)
        if pretext_weights is not None:
            check_weights_complete(built[0], pretext_weights, pretext=True)
        train, validation = read_items(items), read_items(validation_items)
        check_listed_channels(channels, dataset_dir, datalist)
        check_not_empty(train, dataset_dir)
        if "contrast" in terms:
            check_contrast(batch_size, world_size(), len(train))
        judged = train if validation_items is None else validation  # the former in an evaluation
        check_validated_contrast(measured, len(judged))
        if terms:  # an evaluation gives no weights, and takes its cases one by one
            check_batches(batch_size, world_size(), len(train))
        told = check_files(train, validation, in_channels, spacing, cache_rate, cache_copies, dataset_dir)
        check_weights_and_disk(network, pretrained, input_layer, ckpt_dir, channels)
        return told

    run_on_all_ranks(checks)


def guard_segmentation(
    items: Items,
    validation_items: Items | None,
    network: nn.Module,
    in_channels: int,
    num_classes: int,
    roi_size: Size,
    spacing: Sequence[float] | None = None,
    cache_rate: float = 0.0,
    cache_copies: int = 1,
    dataset_dir: str = "",
    ckpt_dir: str | None = None,
    pretrained: str | None = None,
    input_layer: str = "repeat_mean",
    check_label_values: bool = True,
    epochs: int | None = None,
    val_interval: int = 1,
    recipe: Mapping[str, Any] | None = None,
    resume: str | None = None,
    channels: Sequence[str] | None = None,
    datalist: str | None = None,
    label_names: Sequence[str] | None = None,
    label_values: Sequence[int] | None = None,
    label_source: str | None = None,
    label_sources: Mapping[str, Sequence[int]] | None = None,
    crop_ratios: Sequence[float] | None = None,
    regions: Mapping[str, Sequence[int]] | None = None,
    largest_component: Sequence[int] | None = None,
) -> None:
    """Check a segmentation run (training, or evaluation with the cases as ``items``) before it starts.

    Args:
        items: cases with labels, or what returns them; see :func:`guard_pretraining`.
        validation_items: the same for validation; None: none.
        network: the MONAI network, freshly built.
        in_channels: channels of an image.
        num_classes: output channels of the network. Without ``label_values`` these are the classes with the
            background, and labels hold 0 to ``num_classes - 1``.
        roi_size: voxels of a crop, or of a sliding window.
        spacing: mm that volumes are resampled to; None: their own.
        cache_rate: cached share of the training cases.
        cache_copies: ranks that each cache the whole list; 1 where it is partitioned.
        dataset_dir: folder that the printed list hash is relative to.
        ckpt_dir: folder that weights go to; None: not checked.
        pretrained: weights to start from; None: from scratch.
        input_layer: how weights of other channels are fitted, see ``custom_components.transfer``.
        check_label_values: read every label's voxels (about 0.1 s a CT, shared among ranks).
        epochs: length of the run; None: an evaluation.
        val_interval: epochs between validations.
        recipe: numbers by their key, ``learning_rate``, say, see ``check_hyperparameters``.
        resume: resume file to continue from; None: a fresh run.
        channels: names of the image's channels in order, compared with those of the list; None: not compared.
        datalist: list file that the items are read from, as in ``load_datalist``.
        label_names: of the label map's values, compared with those of the list; None: not compared, and the
            settings below are not checked.
        label_values: values that label files may hold, before any mapping; None: 0 to ``num_classes - 1``.
        label_source: the config's name for whose values these are (``brats2021``).
        label_sources: every such name, with the files' values of ``label_names`` but the background.
        crop_ratios: share of crops centred on each class; None: all alike.
        regions: unions of values that are scored; None: each value.
        largest_component: values of which together only the largest component is kept; None: all are kept.

    Raises:
        SystemExit: with one line that names what is wrong.
    """
    allowed = list(range(num_classes)) if label_values is None else sorted(label_values)

    def checks() -> str:
        check_overrides()
        check_hyperparameters({"cache_rate": cache_rate, **(recipe or {})})
        if label_names is not None:
            values = check_label_settings(
                label_names, crop_ratios, regions, label_source, label_sources, largest_component
            )
            check_listed_labels(label_names, values, dataset_dir, datalist, label_source)
        check_input(network, roi_size, in_channels)
        check_seg_channels(network, num_classes)
        if epochs is not None:
            check_schedule(epochs, val_interval)
        if resume is not None:
            check_resume(resume, ("network", "optimizer", "lr_scheduler", "best"), epochs or 1, network)
        train, validation = read_items(items), read_items(validation_items)
        check_listed_channels(channels, dataset_dir, datalist)
        told = check_files(train, validation, in_channels, spacing, cache_rate, cache_copies, dataset_dir)
        # Headers are read on every rank, voxels once: each rank takes its share of the labels.
        own = [*train, *validation][rank() :: world_size()]
        check_labels(
            own,
            num_classes,
            check_label_values,
            progress=rank() == 0,
            label_values=allowed,
            label_source=label_source,
        )
        check_weights_and_disk(network, pretrained, input_layer, ckpt_dir, channels)
        return f"{told}; {type(network).__name__}; labels {_told(allowed, label_source)}"

    run_on_all_ranks(checks)


def _check_geometry(
    network: nn.Module, roi_size: Size, in_channels: int, window_size: Size | None = None, **masks: Any
) -> None:
    """Check masks, if any; the crop; and where masks come in regions, that these fit network and window."""
    if masks:
        check_masks(roi_size, **masks)
    check_input(network, roi_size, in_channels)
    if masks.get("region_size") is not None:
        check_regions(network, roi_size, masks["region_size"], window_size)


def _told(values: Sequence[int], source: str | None) -> str:
    """Label values in few words: ``0 to 13``, or ``0, 1, 2, 4 (brats2021)``."""
    run = list(values) == list(range(len(values)))
    told = f"0 to {len(values) - 1}" if run else ", ".join(map(str, values))
    return f"{told} ({source})" if source else told
