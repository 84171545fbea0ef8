"""The Avala HTTP API, free of Airflow."""
