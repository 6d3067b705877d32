"""The quick start: a small study on phantoms, the hippocampus, or the user's own volumes."""
