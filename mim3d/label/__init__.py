"""A packed bundle in a real MONAI Label server on loopback."""
