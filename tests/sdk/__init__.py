"""The official SDK, unmodified, as the client of the emulator. Nothing here needs Airflow."""
