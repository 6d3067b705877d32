"""Sliding windows whose prediction is a mean of probabilities: over flips, and over several networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import torch
from monai.inferers.inferer import SlidingWindowInferer
from torch import Tensor

from custom_components.faults import Fault

from .members import Members

Network = Callable[..., Any]


class AveragingInferer(SlidingWindowInferer):
    """MONAI's sliding windows, with the mean probability of several predictions of each window.

    Each network predicts the window in every combination of flips along ``flip_axes``, and each prediction is
    flipped back. The mean of their probabilities is returned as logits: the logarithm for classes, the log-odds
    for overlapping regions. So label maps and probabilities are made of it as of a single prediction.

    Args:
        *args: those of SlidingWindowInferer.
        sigmoid: whether each output channel has a probability of its own; otherwise they are a softmax.
        flip_axes: spatial axes to flip, 0 to 2; n axes make 2 to the n predictions. Use those along which training
            flipped, because left and right may be different classes.
        members: networks beside the one that is given.
        **kwargs: those of SlidingWindowInferer.
    """

    def __init__(
        self,
        *args: Any,
        sigmoid: bool,
        flip_axes: Sequence[int] = (),
        members: Members | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.sigmoid, self.flip_axes, self.members = sigmoid, flip_axes, members

    def check(self) -> None:
        """Check the axes, and read the weights of the members.

        Raises:
            Fault: for axes that are not different numbers from 0 to 2, if there is nothing to average, and for
                weights that cannot be used.
        """
        axes = self.flip_axes
        given = isinstance(axes, (list, tuple)) and all(axis in (0, 1, 2) for axis in axes)
        if not given or len(set(axes)) < len(axes):
            raise Fault(f"flip_axes is {axes!r}; allowed: a list of different axes from 0 to 2, such as [0]")
        if not axes and self.members is None:
            raise Fault("flip_axes is empty; give the axes along which training flipped (flip_prob), such as [0]")
        if self.members is not None:
            _ = self.members.networks

    def __call__(self, inputs: Tensor, network: Network, *args: Any, **kwargs: Any) -> Any:
        """Predict an image.

        Args:
            inputs: ``(B, C, D, H, W)``.
            network: maps windows ``(N, C, d, h, w)`` to outputs ``(N, F, d, h, w)``.
            *args: handed on to the network.
            **kwargs: handed on to the network.

        Returns:
            Logits ``(B, F, D, H, W)``.

        Raises:
            Fault: as `check`.
        """
        self.check()
        networks: list[Network] = [network, *(self.members.networks if self.members else [])]

        def average(windows: Tensor, *more: Any, **options: Any) -> Tensor:
            total, count = torch.zeros(()), 0
            for predict in networks:
                for axes in self._flips():
                    output = predict(windows.flip(axes), *more, **options).flip(axes).float()
                    total = total.to(output) + (output.sigmoid() if self.sigmoid else output.softmax(1))
                    count += 1
            return self._logits(total / count)

        return super().__call__(inputs, average, *args, **kwargs)

    def _flips(self) -> list[tuple[int, ...]]:
        """Return every combination of flips, as axes of ``(N, C, d, h, w)``."""
        axes = [axis + 2 for axis in self.flip_axes]
        return [chosen for number in range(len(axes) + 1) for chosen in combinations(axes, number)]

    def _logits(self, mean: Tensor) -> Tensor:
        smallest = torch.finfo(mean.dtype).tiny  # a probability may be rounded to 0
        if self.sigmoid:
            return torch.logit(mean, eps=torch.finfo(mean.dtype).eps)
        return mean.clamp_min(smallest).log()
