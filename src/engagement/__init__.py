"""This package collects raw mobile engagement data and exports it whole into your storage."""
