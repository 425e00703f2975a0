"""Files in the user's container."""
