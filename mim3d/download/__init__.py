"""Downloading bundles and weights, and unpacking zips of unknown origin."""
