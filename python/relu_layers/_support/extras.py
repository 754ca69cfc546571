"""How to install an extra: no index has the package yet, so the command names the place it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def how_to_install(extra: str) -> str:
    """Return the command that adds an extra to the package as it was installed.

    Parameters
    ----------
    extra : str
        ``"plot"``, or several: ``"cli,plot"``.

    Returns
    -------
    str
        ``pip install "/home/me/relu_layers[plot]"`` for an installation from a checkout that is still where it was,
        likewise for one from an archive or a repository; ``pip install "relu_layers[plot]"`` for one from an index.
    """
    # Needed where something is missing, and nowhere else: these take longer to import than the package.
    import json
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        text = distribution("relu_layers").read_text("direct_url.json")
    except PackageNotFoundError:
        return _in_a_checkout(extra)
    return f'pip install "relu_layers[{extra}]"' if text is None else _from(json.loads(text), extra)


def _in_a_checkout(extra: str) -> str:
    return f'pip install ".[{extra}]" in a checkout of relu_layers'


def _from(origin: dict[str, Any], extra: str) -> str:
    """Return the command for what pip noted of a direct installation (PEP 610)."""
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    url: str = origin["url"]
    repository = origin.get("vcs_info")
    if repository is not None:
        return f'pip install "relu_layers[{extra}] @ {repository["vcs"]}+{url}@{repository["commit_id"]}"'
    parts = urlsplit(url)
    path = url2pathname(parts.path)
    if parts.scheme == "file" and not Path(path).exists():
        return _in_a_checkout(extra)
    if "dir_info" in origin:
        editable = "-e " if origin["dir_info"].get("editable") else ""
        return f'pip install {editable}"{path}[{extra}]"'
    return f'pip install "relu_layers[{extra}] @ {url}"'
