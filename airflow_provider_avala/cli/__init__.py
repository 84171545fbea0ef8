"""The command line: ``airflow avala`` from Airflow 3.2 on, ``python -m airflow_provider_avala`` everywhere."""
