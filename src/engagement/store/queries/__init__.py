"""This package holds every question asked of the state database, by name."""
