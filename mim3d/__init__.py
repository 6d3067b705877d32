"""What people type: one command each for data, quick start, packing, verifying and serving bundles."""
