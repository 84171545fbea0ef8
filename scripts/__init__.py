"""What the Makefile runs: a venv, a real Airflow in a folder, the demo."""
