"""Hook for the Avala API."""
