"""Features of volumes from the encoder of a bundle's network."""
