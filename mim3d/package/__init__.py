"""Packing a bundle as a folder and a zip that stand alone."""
