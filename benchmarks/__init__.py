"""Measures the service beside its peers, in one run, on the same files."""
