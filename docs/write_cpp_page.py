"""Write docs/api/cpp.md from the C++ headers: ``python docs/write_cpp_page.py``.

The page is the headers themselves under headings; a test compares it with them, so run this after a change there.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADERS = ROOT / "cpp" / "include" / "relu_layers"
PAGE = ROOT / "docs" / "api" / "cpp.md"
# What programs outside use, in the order in which a reader needs it.
SECTIONS = {
    "ops.h": "Ops",
    "types.h": "Views and settings",
    "views.h": "Making views",
    "parallel.h": "Threads",
    "dispatch.h": "Targets",
}
START = """# C++

The headers come with the package, and so do the library's sources and a CMake package: `relu_layers.get_include()`,
`relu_layers.get_source_dir()` and `relu_layers.get_cmake_dir()` say where. They need a C++17 compiler and no Python.
[From C, C++ and Cython](../embedding.md) shows whole programs.

```cpp
#include "relu_layers/relu_layers.h"  // all that follows
```
"""
BODY = re.compile(
    r"#pragma once\n.*?^namespace (?P<name>[\w:]+) \{\n(?P<text>.*)^\}  // namespace", re.M | re.S
)
# "// ---- Softmax. One row of x holds ..." opens a part of a header and names it.
PART = re.compile(r"^// ---- (\w+)", re.M)


def block(text: str) -> str:
    """Return C++ as a block of code."""
    return f"```cpp\n{text.strip()}\n```\n"


def section(name: str, title: str) -> str:
    """Return the part of the page about one header: its comment, then what is in its namespace."""
    header = (HEADERS / name).read_text(encoding="utf-8")
    comment = header[: header.index("#pragma once")]
    body = BODY.search(header)
    assert body is not None, name
    first, *parts = PART.split(body["text"])
    blocks = [f"## {title}\n", f"`{name}`, namespace `{body['name']}`\n", block(comment + "\n" + first)]
    for heading, text in zip(parts[::2], parts[1::2], strict=True):
        blocks += [f"### {heading}\n", block(f"// {heading}{text}")]
    return "\n".join(blocks)


def page() -> str:
    """Return the whole page."""
    return "\n".join([START, *(section(name, title) for name, title in SECTIONS.items())])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
