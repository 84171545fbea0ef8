"""Assets at Avala."""
