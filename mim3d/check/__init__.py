"""``mim3d check``: the checks of the start of a training, on demand and for every case."""
