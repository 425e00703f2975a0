"""Engagement Export: raw mobile engagement data, exported whole into your own storage."""
