"""What the bundle configs name: masks, pretext networks, heads, losses, weight transfer, data, engines, handlers.

One convention holds everywhere: **True in a mask means masked**. A mask is boolean and lies on the patch grid,
``(B, 1, gd, gh, gw)`` (one sample: ``(1, gd, gh, gw)``), in the volume's own axis order. It travels with the
sample under its own key from the transform to the loss. ``valid`` is boolean on voxels, ``(B, 1, D, H, W)``, True
where a voxel counts. Flattened order is C order of the patch grid.

One word per thing: a *patch* is the cube of voxels that is masked as a unit; a *token* is the cube of voxels that
a transformer embeds as one vector; a *cell* is one place of a feature map; a *region* is a cube of patches.
"""

#: Version of the packages and of every bundle; pyproject.toml and `mim3d render` read it here. One digit per part,
#: as the model zoo asks.
__version__ = "0.1.0"
