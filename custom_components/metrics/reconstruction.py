"""Scores of a reconstruction, beside those of a trivial fill of the same masked voxels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from custom_components.averages import masked_mean
from custom_components.masking import normalize_patches

from .fills import gaussian_fill, mean_fill

Outputs = Mapping[str, Tensor]
#: Error of each voxel and channel.
ERRORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mae": lambda a, b: (a - b).abs(),
    "mse": lambda a, b: (a - b).square(),
}
FILLS = ("mean_fill", "gaussian_fill")
#: Names of what `reconstruction_scores` returns.
RECONSTRUCTION_SCORES = (
    "visible_mae",
    *(f"{source}_{error}" for error in ERRORS for source in ("masked", *FILLS)),
)


def reconstruction_scores(outputs: Outputs, valid: Tensor | None, patch_size: Sequence[int]) -> dict[str, Tensor]:
    """Score a whole decoded crop, in units of the network's input, averaged over channels and voxels.

    ``masked_mae`` and ``masked_mse``: absolute and squared error over masked valid voxels.
    ``mean_fill_*`` and ``gaussian_fill_*``: the same error, over the same voxels, of filling them with the mean of
    the visible valid voxels and with a Gaussian of them (`mean_fill`, `gaussian_fill`).
    ``visible_mae``: absolute error over visible valid voxels.

    Normalised targets are scored after scaling back with each patch's own mean and deviation, which only the image
    can give. So the fills are then normalised and scaled back in the same way.

    Args:
        outputs: of a masked method in eval mode, for the whole crop.
        valid: bool ``(B, 1, D, H, W)``; None: all voxels count.
        patch_size: voxels along each axis of a patch.

    Returns:
        One scalar for each of `RECONSTRUCTION_SCORES`.
    """
    rescaled = "rescaled_reconstruction" in outputs
    image = outputs["rescaled_target" if rescaled else "reconstruction_target"].float()
    found = outputs["rescaled_reconstruction" if rescaled else "reconstruction"].float()
    masked = outputs["reconstruction_mask"]
    valid = torch.ones_like(masked) if valid is None else valid
    visible = valid & ~masked
    fills = [mean_fill(image, visible), gaussian_fill(image, visible, patch_size)]
    if rescaled:
        true = normalize_patches(image, valid, patch_size)
        fills = [normalize_patches(fill, valid, patch_size).image * true.deviation + true.mean for fill in fills]
    scores = {"visible_mae": masked_mean(ERRORS["mae"](found, image).mean(1, keepdim=True), visible)}
    for name, error in ERRORS.items():
        for source, values in zip(("masked", *FILLS), (found, *fills), strict=True):
            scores[f"{source}_{name}"] = masked_mean(error(values, image).mean(1, keepdim=True), masked)
    return scores


def explained_share(error: float, fill_error: float) -> float:
    """Return the share of a fill's error that the network avoids: 1 - error / fill error, at most 1.

    Below 0 the network is worse than the fill. 0 if the fill makes no error, because nothing is left to explain.
    """
    return 1 - float(error) / float(fill_error) if fill_error > 0 else 0.0


def explained_names(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the explained shares that follow from averaged scores: name -> the error and the fill's error."""
    pairs = {
        f"explained_{error}_{fill}": (f"masked_{error}", f"{fill}_{error}") for error in ERRORS for fill in FILLS
    }
    return {name: pair for name, pair in pairs.items() if set(pair) <= set(names)}
