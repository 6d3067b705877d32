"""The further networks of an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from custom_components.faults import Fault
from custom_components.transfer.checks import load_complete


class Members:
    """Networks of one architecture with the weights of several files; the config's own network has the first file.

    The files are read at the first use, so that a config can be built without them.

    Args:
        architecture: makes a network.
        weights: all files of the ensemble, such as one per fold.
        first: the file of the config's own network; it must be the first of ``weights``.
        device: where the networks are kept.
    """

    def __init__(
        self,
        architecture: Callable[[], nn.Module],
        weights: Sequence[str] | None,
        first: str,
        device: torch.device | str = "cpu",
    ) -> None:
        self.architecture, self.first, self.device = architecture, first, device
        self.weights = weights

    @property
    def further(self) -> list[Path]:
        """Files of all networks but the first.

        Raises:
            Fault: unless there are two files or more, all different, and ``first`` is the first of them.
        """
        files: Any = self.weights
        given = isinstance(files, (list, tuple)) and all(isinstance(file, str) for file in files)
        if not given or len(files) < 2 or len(set(files)) < len(files):
            raise Fault(
                f"ensemble_weights is {files!r}; allowed: a list of two or more different weights files, such as "
                "\"['a.pt','b.pt']\""
            )
        if files[0] != self.first:
            raise Fault(
                f"ensemble_weights begins with {files[0]}, but weights is {self.first}; give ensemble_weights only"
            )
        return [Path(file) for file in files[1:]]

    @cached_property
    def networks(self) -> list[nn.Module]:
        """All networks but the first, with their weights.

        Raises:
            Fault: for a file that cannot be read or does not fit; and as `further`.
        """
        made = []
        for file in self.further:
            network = self.architecture()
            try:
                load_complete(network, str(file))
            except ValueError as error:
                raise Fault(str(error)) from None
            made.append(network.to(self.device).eval())
        return made
