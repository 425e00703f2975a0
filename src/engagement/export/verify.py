"""This module proves a delivered export: against its manifest, and against the lake."""
