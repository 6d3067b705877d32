"""``mim3d study``: compares training from scratch with fine-tuning over a grid, and says how they differ."""
