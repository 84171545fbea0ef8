"""Triggers that wait for Avala in the triggerer."""
