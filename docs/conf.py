"""How Sphinx builds this folder: `make docs`."""

from __future__ import annotations

from wampha import __version__

project = "wampha"
copyright = "The wampha authors"
version = release = __version__
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"wampha {version}"
html_show_sphinx = False
exclude_patterns = ["_build"]
