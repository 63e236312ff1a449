"""What Sphinx makes the pages with: `make docs`, then open docs/_build/index.html."""

import interlock

project = "Interlock"
author = "The Interlock authors"
version = release = interlock.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinxcontrib.mermaid"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"Interlock {release}"
html_show_copyright = False
html_show_sphinx = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
myst_fence_as_directive = ["mermaid"]  # GitHub draws such a block, too

default_role = "py:obj"  # `Lock` in a docstring links to it; what is no name stays code
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"exclude-members": "attached, parameters, travelling"}  # how an object is pickled
napoleon_numpy_docstring = False
napoleon_use_ivar = True
