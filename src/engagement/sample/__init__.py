"""This package holds realistic sample data, the same for the same seed."""
