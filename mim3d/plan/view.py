"""Decisions on the view of the image: channels, orientation, spacing and intensity."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np

from custom_components.data.channels import sequence_of
from mim3d.catalog import DEFAULT_VIEW, TASKS, Method
from mim3d.plan.bundle_keys import intensity_keys, shipped
from mim3d.plan.decisions import BOTH, PRETRAIN, SEGMENT, Decision
from mim3d.plan.survey import Survey

_CT = re.compile(r"(?i)ct(?![a-z])")  # as the check of intensities finds CT
_MRI = re.compile(r"(?i)\bmri?\b|\bmagnetic")
_SEQUENCES = ("flair", "t1", "t1ce", "t2", "pd", "dwi", "adc", "swi")
#: nnU-Net's rule: a set is anisotropic if its coarse axis has a spacing more than three times the others', and
#: less than a third of their voxels. Its spacing along that axis is then the 10th percentile.
_ANISOTROPIC = 3.0
_FINE_PERCENTILE = 10.0
_LONGEST_SMALL = 96  # voxels of the longest side in the small form
_ZERO_BACKGROUND = 0.2  # share of voxels that are exactly 0, from which 0 is taken for background
_HU_STEP = 25.0
_HU_RANGE = (-1000.0, 3000.0)
_FOREGROUND_PERCENTILES = (0.5, 99.5)


class Modality(NamedTuple):
    """What the images are.

    Attributes:
        name: ``CT``, ``MRI`` or ``unknown``.
        hounsfield: whether intensities are HU.
        reason: how this was found.
        warning: what is wrong, if name and intensities disagree; else empty.
    """

    name: str
    hounsfield: bool
    reason: str
    warning: str = ""


def find_modality(found: Survey) -> Modality:
    """Return what the images are: by the channels' names, and by whether the intensities are HU."""
    read = len(found.read)
    first = [case.channels[0] for case in found.read]
    wrong = [(case.file, case.channels[0]) for case in found.read if case.channels[0].not_hu]
    in_hu = 2 * sum(facts.not_hu is None for facts in first) > read
    with_air = 2 * sum(facts.not_hu is None and facts.air for facts in first) > read
    named = ", ".join(found.names)
    if found.channels > 1:
        name = "MRI" if any(_is_mri(name) for name in found.names) else "unknown"
        return Modality(
            name, False, f"{found.channels} channels ({named or 'without names'}), each with its own scale"
        )
    if any(_CT.search(name) for name in found.names):
        if in_hu:
            return Modality(
                "CT",
                True,
                f"the list names the channel {named}; {read - len(wrong)} of {read} volumes read are HU",
            )
        file, facts = wrong[0]
        assert facts.not_hu is not None
        warning = (
            f"the list names the channel {named}, but {len(wrong)} of {read} volumes read are not in HU, such as"
            f" {file} ({facts.low:g} to {facts.high:g}: {facts.not_hu.looks}; {facts.not_hu.advice})."
            " The plan uses a z-score; store HU and plan again for a window"
        )
        return Modality("CT", False, f"the list names the channel {named}; the intensities are not HU", warning)
    if any(_is_mri(name) for name in found.names):
        return Modality("MRI", False, f"the list names the channel {named}")
    if with_air:
        count = sum(facts.not_hu is None and facts.air for facts in first)
        return Modality("CT", True, f"{count} of {read} volumes read hold HU: air, and soft tissue near 0")
    return Modality("unknown", False, f"no channel is named, and the {read} volumes read do not hold HU")


def _is_mri(name: str) -> bool:
    words = re.split(r"[\s_/,-]+", name)
    return bool(_MRI.search(name)) or any(sequence_of(word) in _SEQUENCES for word in words)


def decide_channels(found: Survey, modality: Modality) -> Decision:
    """Decide the names of the channels."""
    if found.names:
        reason = f"Modality {modality.name}: {modality.reason}. Names and order are those of the data list."
        return Decision("channels", list(found.names), reason)
    single = modality.name if modality.name != "unknown" else "image"
    names = [single] if found.channels == 1 else [f"channel {n}" for n in range(found.channels)]
    return Decision("channels", names, f"Modality {modality.name}: {modality.reason}. The list names no channels.")


def decide_orientation(found: Survey) -> Decision:
    """Decide the orientation: that of all bundles."""
    stored = ", ".join(f"{count} {codes}" for codes, count in found.orientations.most_common(4))
    return Decision("orientation", "RAS", f"Stored: {stored}. Every volume is turned to RAS, as in all bundles.")


def decide_spacing(found: Survey, small: bool) -> Decision:
    """Decide the spacing in mm along right, anterior, superior; see :func:`target_spacing`."""
    spacing, reason = target_spacing(found.shapes, found.spacings)
    low, high = found.spacings.min(axis=0), found.spacings.max(axis=0)
    spread = " × ".join(f"{a:.3g}…{b:.3g}" if a != b else f"{a:.3g}" for a, b in zip(low, high, strict=True))
    reason = f"{reason} Found in {len(found.spacings)} volumes: {spread} mm."
    if small:
        coarse = float(found.extents.max()) / _LONGEST_SMALL
        wider = [max(side, coarse) for side in spacing]
        if wider != list(spacing):
            spacing = wider
            reason += (
                f" Small form: coarser, so that the longest side of the median volume has {_LONGEST_SMALL} voxels."
            )
    return Decision("spacing", [_rounded(side) for side in spacing], reason)


def target_spacing(shapes: np.ndarray, spacings: np.ndarray) -> tuple[list[float], str]:
    """Return the spacing to resample to, and the reason: the median, or nnU-Net's rule for anisotropic sets.

    Args:
        shapes: voxels, ``(N, 3)``.
        spacings: mm, ``(N, 3)``.
    """
    target, size = np.median(spacings, axis=0), np.median(shapes, axis=0)
    coarse = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != coarse]
    thick = target[coarse] > _ANISOTROPIC * target[others].max()
    few = size[coarse] * _ANISOTROPIC < size[others].min()
    if not (thick and few):
        return target.tolist(), "Median of the volumes."
    median = target[coarse]
    fine = float(np.percentile(spacings[:, coarse], _FINE_PERCENTILE))
    target[coarse] = max(fine, target[others].max())
    axis = ("left-right", "anterior-posterior", "superior-inferior")[coarse]
    return target.tolist(), (
        f"Median; along {axis}, where voxels are over {_ANISOTROPIC:g} times longer and fewer, nnU-Net's rule:"
        f" the {_FINE_PERCENTILE:g}th percentile ({target[coarse]:.3g} mm; the median is {median:.3g} mm)."
    )


def _rounded(length: float) -> float:
    """Return a length with three significant digits."""
    return float(f"{length:.3g}")


def decide_intensity(found: Survey, modality: Modality, method: Method) -> list[Decision]:
    """Decide the scaling of intensities, what volumes are cropped to, and the entry of the weights card."""
    zero = float(np.median([case.zero_share for case in found.read]))
    if modality.hounsfield:
        kind, about = "window", "The window is scaled to [0, 1]"
        # CropForegroundd's own default, so that pretraining and segmentation share the entries of a store.
        crop, why = "$monai.transforms.utils.is_positive", "Crops to the body: voxels above the window's lower end"
    elif zero >= _ZERO_BACKGROUND:
        kind = "z_score_nonzero"
        about = f"No HU, and {zero:.0%} of the voxels are exactly 0: a z-score of the others, per channel"
        crop, why = "$functools.partial(operator.ne, 0)", "Crops to voxels where any channel is not 0"
    else:
        kind = "z_score"
        about = f"No HU, and only {zero:.0%} of the voxels are exactly 0: a z-score of all voxels, per channel"
        crop, why = "$torch.isfinite", "Crops nothing: the images have no background of zeros"
    keys = intensity_keys(method, kind)
    made = [_window(found)] if kind == "window" else []
    made += [
        Decision("intensity", keys["intensity"], f"{about}."),
        Decision("foreground", keys["foreground"], f"{why}.", PRETRAIN),
        Decision("select_foreground", crop, f"{why}.", SEGMENT, shown=False),
        Decision("view", keys["view"], "For the weights card. It follows from the keys above.", BOTH, shown=False),
    ]
    if "foreground_above" in keys and kind != "window":
        about = "Read by mask_mode foreground: the mean of a z-score."
        made.append(Decision("foreground_above", keys["foreground_above"], about, PRETRAIN, shown=False))
    return made


def decide_non_finite(found: Survey) -> list[Decision]:
    """Decide that NaN and infinity are replaced, if volumes hold any."""
    odd = [case.file for case in found.read if not case.finite]
    if not odd:
        return []
    why = (
        f"{len(odd)} of {len(found.read)} volumes read hold NaN or infinity, such as {odd[0]}. They become the"
        " channel's smallest finite value; `raise` stops a training at such a volume."
    )
    return [Decision("non_finite", "replace", why)]


def _window(found: Survey) -> Decision:
    """Decide the window: that of seg_btcv, wider where labelled structures reach beyond it."""
    usual = [float(end) for end in shipped(TASKS[DEFAULT_VIEW].bundle)["window"]]
    inside = [case.foreground for case in found.read if case.foreground is not None]
    soft = f"{usual[0]:g} to {usual[1]:g} HU"
    if not inside:
        return Decision("window", usual, f"No labels show which HU matter: {soft}, soft tissue, as in seg_btcv.")
    low, high = (float(end) for end in np.percentile(np.concatenate(inside), _FOREGROUND_PERCENTILES))
    window = [
        max(_HU_RANGE[0], min(usual[0], math.floor(low / _HU_STEP) * _HU_STEP)),
        min(_HU_RANGE[1], max(usual[1], math.ceil(high / _HU_STEP) * _HU_STEP)),
    ]
    return Decision(
        "window",
        window,
        f"99 % of the labelled voxels lie in {low:.0f} to {high:.0f} HU. The window holds them and soft tissue"
        f" ({soft}, as in seg_btcv), so that fat and muscle around a structure stay visible.",
    )
