"""A linear classifier of voxels on frozen features, in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, one_hot

#: What the dense probe adds to the metrics of a validation; higher is better.
PROBE_METRICS = ("val_probe_dice", "val_probe_accuracy")
#: Weight of the identity in the covariance of standardised features; it keeps the solution stable.
SHRINKAGE = 0.05


class ProbeSums:
    """Sums over sampled voxels, from which the classifier is fitted; those of several ranks can be added.

    Args:
        classes: number of classes K.
        features: number of features F.
        device: where the sums lie.

    Attributes:
        total: float64 ``(1 + K + K·F + F·F,)``: everything in one vector.
    """

    def __init__(self, classes: int, features: int, device: torch.device | str = "cpu") -> None:
        sizes = (classes, classes, classes * features, features * features)
        self.total = torch.zeros(sum(sizes), dtype=torch.float64, device=device)
        frequencies, counts, sums, products = self.total.split(sizes)
        self.frequencies, self.counts = frequencies, counts
        self.sums, self.products = sums.view(classes, features), products.view(features, features)

    def add(self, features: Tensor, classes: Tensor, frequencies: Tensor) -> None:
        """Add sampled voxels of one crop.

        Args:
            features: ``(N, F)``.
            classes: class numbers, ``(N,)``.
            frequencies: ``(K,)``, voxels of each class in the whole crop.
        """
        x = features.double()
        chosen = one_hot(classes, len(self.counts)).double()
        self.frequencies += frequencies
        self.counts += chosen.sum(0)
        self.sums += chosen.T @ x
        self.products += x.T @ x

    def fit(self) -> LinearProbe:
        """Fit by linear discriminant analysis with one covariance for all classes.

        Each class weighs the same in the covariance's mean, as it is sampled equally often. The prior of a class
        is its share of all voxels. A class without a sample is never predicted.
        """
        number = self.counts.clamp(min=1)
        means = self.sums / number[:, None]
        within = self.products - means.T @ (means * self.counts[:, None])
        variance = within.diagonal() / self.counts.sum().clamp(min=1)
        # A feature that never changes has no information, and would be divided by 0.
        useful = variance > 1e-12 * (self.products.diagonal() / self.counts.sum().clamp(min=1))
        scale = torch.where(useful, variance.clamp(min=torch.finfo(torch.float64).tiny).rsqrt(), 0)
        means = means * scale
        covariance = within / self.counts.sum().clamp(min=1) * scale[:, None] * scale
        identity = torch.eye(len(scale), dtype=torch.float64, device=scale.device)
        # Features that are not finite give NaN, and no exception: the training says what went wrong.
        weights = torch.linalg.solve_ex((1 - SHRINKAGE) * covariance + SHRINKAGE * identity, means.T)[0].T
        bias = -0.5 * (weights * means).sum(1)
        prior = (self.frequencies / self.frequencies.sum().clamp(min=1)).log()
        return LinearProbe(
            (weights * scale).float(),
            bias.masked_fill(self.counts == 0, -torch.inf).float(),
            prior.float(),
        )


class LinearProbe:
    """Class scores of every voxel, linear in its features.

    Args:
        weights: ``(K, F)``.
        bias: ``(K,)``, for classes that are equally frequent.
        log_prior: ``(K,)``, added to the bias where frequencies count.
    """

    def __init__(self, weights: Tensor, bias: Tensor, log_prior: Tensor) -> None:
        self.weights, self.bias, self.log_prior = weights, bias, log_prior

    def scores(self, scales: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Return the scores of each voxel without priors, ``(B, K, D, H, W)``.

        The classifier is applied at each scale and its scores are upsampled and added. This equals a classifier on
        upsampled features, and needs less memory.

        Args:
            scales: ``(B, F_s, d, h, w)`` for each scale; the F_s add up to F.
            size: voxels of the crop.
        """
        total: Tensor | None = None
        parts = self.weights.split([scale.shape[1] for scale in scales], dim=1)
        for scale, weights in zip(scales, parts, strict=True):
            found = torch.einsum("bfdhw,kf->bkdhw", scale.float(), weights)
            if tuple(found.shape[2:]) != tuple(size):
                found = interpolate(found, tuple(size), mode="trilinear", align_corners=False)
            total = found if total is None else total + found
        assert total is not None, "an encoder has at least one scale"
        return total + self.bias[:, None, None, None]


def sample_features(scales: Sequence[Tensor], voxels: Tensor, size: Sequence[int]) -> Tensor:
    """Return the upsampled features of some voxels, ``(N, F)``.

    Args:
        scales: ``(1, F_s, d, h, w)`` for each scale; they cover the crop with cells of equal size.
        voxels: indices ``(N, 3)`` of voxels of the crop.
        size: voxels of the crop, ``(D, H, W)``.
    """
    # grid_sample counts from -1 to 1 over the crop, and names the last axis first.
    places = (2 * voxels.float() + 1) / torch.tensor(size, device=voxels.device) - 1
    grid = places.flip(-1)[None, None, None]
    found = [
        grid_sample(scale.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)[0, :, 0, 0]
        for scale in scales
    ]
    return torch.cat(found).T


def confusion(predicted: Tensor, true: Tensor, classes: int) -> Tensor:
    """Return the number of voxels of each true class (row) and predicted class (column), ``(K, K)`` long."""
    return torch.bincount(true * classes + predicted, minlength=classes**2).view(classes, classes)


def mean_dice(confusion: Tensor) -> float:
    """Return the mean Dice of the classes from 1 that the labels hold, in [0, 1]; NaN if they hold none.

    Args:
        confusion: ``(K, K)``, rows are true classes; class 0 is background.
    """
    values = confusion.double()
    hits, sizes = values.diagonal(), values.sum(0) + values.sum(1)
    there = values.sum(1) > 0
    there[0] = False
    return float((2 * hits / sizes.clamp(min=1))[there].mean())


def balanced_accuracy(confusion: Tensor) -> float:
    """Return the mean share of voxels found over the classes that the labels hold, background too; NaN if none.

    Args:
        confusion: ``(K, K)``, rows are true classes.
    """
    values = confusion.double()
    there = values.sum(1) > 0
    return float((values.diagonal() / values.sum(1).clamp(min=1))[there].mean())
