"""Apache Airflow provider for Avala, the data-annotation platform."""

__version__ = "0.1.0"
