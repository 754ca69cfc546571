"""`python -m relu_layers`, the same program as `relu-layers`, and what build scripts ask for.

``--include``, ``--sourcedir`` and ``--cmakedir`` print one path each; they need no extra.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

_PATHS = {"--include": "get_include", "--sourcedir": "get_source_dir", "--cmakedir": "get_cmake_dir"}


def main() -> None:
    """Run the command line program; without click or rich say which extra brings them, and exit with 1."""
    if len(sys.argv) == 2 and sys.argv[1] in _PATHS:
        from relu_layers import runtime

        try:
            print(getattr(runtime, _PATHS[sys.argv[1]])())
        except FileNotFoundError as error:
            print(f"Error: {error}", file=sys.stderr)
            raise SystemExit(1) from None
        return
    absent = [name for name in ("click", "rich") if find_spec(name) is None]
    if absent:
        from relu_layers._support.extras import how_to_install

        print(
            f"Error: the command relu-layers needs {' and '.join(absent)}: {how_to_install('cli')}",
            file=sys.stderr,
        )
        raise SystemExit(1)
    from relu_layers.cli import program

    program(prog_name="relu-layers")


if __name__ == "__main__":
    main()
