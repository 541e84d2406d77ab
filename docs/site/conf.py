"""How Sphinx makes pages of the documents and of the reference; `make docs` runs it.

It reads Markdown only: the documents of this tree, and what reference.py has written. So it needs
no batonloop and no network. Every warning is an error, a link that leads nowhere among them.
"""

project = "batonloop"
author = "the authors of batonloop"
html_title = "batonloop"

extensions = ["myst_parser"]
# The reference is written with ":::", around docstrings that may have backticks.
myst_enable_extensions = ["colon_fence"]
# Headings are linked to as on other sites that show these documents.
myst_heading_anchors = 6
nitpicky = True

exclude_patterns = ["docs/site/**"]
# Programs in the documents that are not Python, as what a run prints, have no colours to find.
suppress_warnings = ["misc.highlighting_failure"]
pygments_style = "default"

# What docstrings say between quotes is what programs say.
smartquotes = False

html_theme = "furo"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
# A function's arguments stand one a line where one line is too short for them.
maximum_signature_line_length = 110
add_module_names = False
toc_object_entries_show_parents = "hide"
