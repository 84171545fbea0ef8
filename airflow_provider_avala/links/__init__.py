"""Links from Airflow's UI to Avala."""
