"""What the model zoo, monai.bundle and MONAI Label ask of a packed bundle."""
