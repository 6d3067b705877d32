"""The registry of published weights: its table, and how weights are added to it."""
