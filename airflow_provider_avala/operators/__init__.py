"""Operators for Avala: upload items, create and download exports, raw calls."""
