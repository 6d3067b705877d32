"""Check: do pretext network and loss build, and fit each other and the crops?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from custom_components.losses import CombinedLoss
from custom_components.masking.grid import Size, to_3tuple


class Factories:
    """Build the loss and the pretext network once, so that what they refuse is one line.

    MONAI wraps an exception that is raised while a config is resolved in a traceback; here it is raised in a
    check.

    Args:
        make_loss: builds the loss.
        make_pretext: builds the pretext network. Its ``terms`` are the loss terms that it supports; its method
            ``check_crop``, if it has one, refuses crops that do not fit its sizes.
        roi_size: voxels along each axis of a crop.
    """

    def __init__(
        self, make_loss: Callable[[], CombinedLoss], make_pretext: Callable[[], nn.Module], roi_size: Size
    ) -> None:
        self.make_loss, self.make_pretext, self.roi_size = make_loss, make_pretext, roi_size

    def __call__(self) -> str:
        """Return what was built; raise ValueError for what the constructors refuse, and for unsupported terms."""
        loss, pretext = self.make_loss(), self.make_pretext()
        name, known = type(pretext).__name__, set(getattr(pretext, "terms", loss.terms))
        unsupported = [term for term in loss.terms if term not in known]
        if unsupported:
            raise ValueError(
                f"loss_weights names {', '.join(unsupported)}, which {name} does not support; "
                f"allowed: {', '.join(sorted(known))}"
            )
        check_crop: Any = getattr(pretext, "check_crop", None)
        if check_crop is not None:
            check_crop(to_3tuple(self.roi_size, "roi_size"))
        return f"{name} with {', '.join(loss.terms)}"
