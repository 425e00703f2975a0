"""This package holds the command line."""
