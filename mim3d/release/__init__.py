"""Releases: checks of the repository, the files that are published, and the tag."""
