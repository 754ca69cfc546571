"""`python -m relu_layers`, the same program as `relu-layers`."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command line program; without click or rich say which extra brings them, and exit with 1."""
    absent = [name for name in ("click", "rich") if find_spec(name) is None]
    if absent:
        print(
            f'Error: the command relu-layers needs {" and ".join(absent)}: pip install "relu_layers[cli]"',
            file=sys.stderr,
        )
        raise SystemExit(1)
    from relu_layers.cli import program

    program(prog_name="relu-layers")


if __name__ == "__main__":
    main()
