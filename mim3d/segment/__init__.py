"""Segmenting anybody's folder, case by case, with a bundle's own inference config."""
