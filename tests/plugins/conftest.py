"""Airflow 2 has no page for the provider."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("airflow.sdk") else ["test_served_page.py"]
