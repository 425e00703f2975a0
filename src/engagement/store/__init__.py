"""This package holds what the service keeps: the lake and the state database."""
