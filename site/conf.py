"""Sphinx: one site from the pages here, the executed notebooks and what `dmri_helpers.course` generates."""

import re

from docutils import nodes

project = "Dynamic MRI reconstruction"
author = "The authors of dmri-helpers"
language = "en"
extensions = [
    "myst_nb",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "sphinx-mathjax-offline",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["generated"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_output_stderr = "remove"
nb_render_markdown_format = "myst"  # tables in outputs
# sliders: their HTML form needs no kernel and no widget scripts
nb_mime_priority_overrides = [
    ("html", "application/vnd.jupyter.widget-view+json", None),
    ("singlehtml", "application/vnd.jupyter.widget-view+json", None),
    ("singlehtml", "image/png", 1),  # the PDF shows strips in place of sliders
]
mathjax3_config = {"options": {"enableMenu": False}}  # its menu would load what the report leaves out
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = True

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "description"
default_role = "py:obj"  # in docstrings, a name in single backticks is a link
napoleon_google_docstring = False
napoleon_use_rtype = False

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["course.css", "live/live.css"]
html_js_files = ["course.js", "live/shim.js"]
html_show_search_summary = False  # browsers do not let pages on disk read other pages
html_last_updated_fmt = None
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navbar_persistent": [],  # the search field is in the sidebar
    "home_page_in_toc": True,
    "show_toc_level": 2,
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def to_paper(app) -> None:
    """The PDF is the course: the reference of functions and the pages of numbers are for the screen."""
    if app.builder.name == "singlehtml":
        app.config.exclude_patterns += ["api.md", "figures/**", "dmri_helpers/**"]


def fit_one_page(app, what, name, obj, options, lines) -> None:
    """Rewrite what many docstrings on one page cannot share, and what napoleon takes for a type.

    Footnotes such as ``[1]_`` become plain text, since every docstring has a first one. The text below ``Returns``
    describes what is returned; its type is in the signature.
    """
    text = re.sub(r"(?<=\[\d\])_\b", "", "\n".join(lines))
    text = re.sub(r"^\.\. (?=\[\d\])", "-  ", text, flags=re.MULTILINE)
    text = re.sub(
        r"^Returns\n-+\n((?: .*(?:\n|\Z))+)",
        lambda found: f"\n\n:returns: {found[1].strip()}\n",  # two blank lines end the section above
        text,
        flags=re.MULTILINE,
    )
    lines[:] = text.split("\n")


def fold_deeper_sections(app, doctree) -> None:
    """Fold what stands below a heading "Deeper: ..."; the heading itself stays, and paper shows everything."""
    for section in doctree.findall(nodes.section):
        if section[0].astext().startswith("Deeper:"):
            begin = '<details class="deeper"><summary>Beyond the main line: show this section</summary>'
            section.insert(1, nodes.raw("", begin, format="html"))
            section.append(nodes.raw("", "</details>", format="html"))


def name_terms(app, env) -> None:
    """Let `[words](#term-k-space)` link to the term k-space of the glossary."""
    domain = env.domains.standard_domain
    for (kind, term), (page, anchor) in domain.objects.items():
        if kind == "term":
            domain.labels[anchor] = page, anchor, term


def link_within_one_page(app, doctree, page) -> None:
    """In the PDF, let a link to a place on another page lead to that place."""
    for link in doctree.findall(nodes.reference):
        if link.get("refuri", "").startswith("#document-") and link["refuri"].count("#") == 2:
            link["refuri"] = link["refuri"][link["refuri"].rindex("#") :]


def setup(app) -> None:
    app.connect("doctree-resolved", link_within_one_page)
    app.connect("doctree-read", fold_deeper_sections)
    app.connect("env-updated", name_terms)
    app.connect("builder-inited", to_paper)
    app.connect("autodoc-process-docstring", fit_one_page, priority=400)  # before napoleon
