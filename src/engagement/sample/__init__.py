"""Generates realistic batches: the same for a seed on every machine."""

from engagement.sample.population import generate

__all__ = ["generate"]
