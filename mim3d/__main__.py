"""``python -m mim3d``: the same as the ``mim3d`` command."""

from mim3d.cli import main

if __name__ == "__main__":
    main()
