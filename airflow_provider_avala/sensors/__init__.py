"""Sensors that wait for Avala."""
