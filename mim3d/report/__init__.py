"""What the reports of the quick start and of studies share: tables, TensorBoard curves, pictures of volumes."""
