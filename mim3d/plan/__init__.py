"""``mim3d plan``: reads a folder of volumes, decides how to train on it, and writes that as config layers."""
