"""Retry policies for tasks that call Avala."""
