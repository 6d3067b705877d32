"""``mim3d store``: stores of prepared volumes, built ahead of a training, checked and pruned."""
