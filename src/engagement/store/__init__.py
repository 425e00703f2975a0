"""What the service keeps: the lake and the state database."""
