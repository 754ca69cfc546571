"""Sphinx builds the documentation from the Markdown pages and the docstrings; it needs no network."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import relu_layers

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "relu_layers"
author = "the authors of relu_layers"
version = release = relu_layers.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

# A block without a language is a drawing or a formula, not Python.
highlight_language = "text"

# Links to headings as GitHub writes them; `$...$` is mathematics there too.
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]

# A name in single backticks becomes a link where it is a name of the package, and stays plain where it is not.
default_role = "autolink"
nitpicky = True
OTHERS = "numpy|np|matplotlib|sklearn|onnx|torch|jax|collections|typing|pathlib|os|json"
nitpick_ignore_regex = [("py:.*", rf"({OTHERS})\..*")]

autosummary_generate = False
# PyTorch is too large to be installed for its page alone.
autodoc_mock_imports = [] if find_spec("torch") else ["torch"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
toc_object_entries_show_parents = "hide"
add_module_names = True
python_use_unqualified_type_names = True

# The button copies commands without the prompt, and code without what it prints.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

html_theme = "furo"
html_title = f"relu_layers {release}"
html_copy_source = False
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["page.css"]
html_theme_options = {"navigation_with_keys": True}

LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)#:\s]+)(#[^)\s]*)?\)")


def keep_links_inside(app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn links to files outside of docs/, which work in the repository only, into their text."""
    docs = Path(app.srcdir).resolve()
    folder = docs.joinpath(docname).parent

    def inside(link: re.Match[str]) -> str:
        target = (folder / link["target"]).resolve()
        return link[0] if target.is_relative_to(docs) else link["text"]

    source[0] = LINK.sub(inside, source[0])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", keep_links_inside)
