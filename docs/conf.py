"""How Sphinx builds these pages: ``make docs``. Nothing is fetched from anywhere."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
# The reference is read from the modules themselves, and those of Airflow make a home where they find none.
home = tempfile.mkdtemp(prefix="avala-docs-")
atexit.register(shutil.rmtree, home, ignore_errors=True)
os.environ["AIRFLOW_HOME"] = home

from airflow_provider_avala import __version__  # noqa: E402

project = "airflow-provider-avala"
author = "the airflow-provider-avala developers"
copyright = "the airflow-provider-avala developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["images"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 80
add_module_names = False

html_theme = "furo"
html_title = f"Avala for Airflow {version}"
html_static_path = ["static"]
html_css_files = ["wide.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
