"""This package holds one module a migration."""
