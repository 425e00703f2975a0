"""This package holds files in the user's container."""
