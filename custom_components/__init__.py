"""Parts that the bundle configs name: masks, pretext networks, heads, losses, weight transfer, data.

One convention rules every room: a **mask is True where the image is hidden**. It is boolean, lies on the
patch grid, ``(B, 1, gd, gh, gw)`` (one sample: ``(1, gd, gh, gw)``), in the volume's own axis order, and
travels with the sample under its own key from the transform to the loss. ``valid`` is boolean on voxels,
``(B, 1, D, H, W)``, True where a voxel counts. Flattened order is C order of the patch grid.
"""

__version__ = "0.1.0"
