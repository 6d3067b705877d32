"""Check: do pretext network and loss build, and fit each other and the crops?"""

from __future__ import annotations

from collections.abc import Callable

from custom_components.losses import CombinedLoss, supported_terms
from custom_components.masking.grid import Size, to_3tuple
from custom_components.pretext.base import PretextNetwork


class Factories:
    """Build the loss and the pretext network once, so that what they refuse is one line.

    MONAI wraps an exception that is raised while a config is resolved in a traceback; here it is raised in a
    check.

    Args:
        make_loss: builds the loss.
        make_pretext: builds the pretext network.
        roi_size: voxels along each axis of a crop.
    """

    def __init__(
        self, make_loss: Callable[[], CombinedLoss], make_pretext: Callable[[], PretextNetwork], roi_size: Size
    ) -> None:
        self.make_loss, self.make_pretext, self.roi_size = make_loss, make_pretext, roi_size

    def __call__(self) -> str:
        """Return what was built; raise ValueError for what the constructors refuse, and for unsupported terms."""
        loss, pretext = self.make_loss(), self.make_pretext()
        name, known = type(pretext).__name__, supported_terms(pretext.outputs)
        unsupported = [term for term in loss.terms if term not in known]
        if unsupported:
            raise ValueError(
                f"loss_weights names {', '.join(unsupported)}, which {name} does not support; "
                f"allowed: {', '.join(sorted(known))}"
            )
        pretext.check_crop(to_3tuple(self.roi_size, "roi_size"))
        return f"{name} with {', '.join(loss.terms)}"
