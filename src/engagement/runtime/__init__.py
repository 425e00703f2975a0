"""What puts the service together: home folder, engine, logging and the tuning of a process."""
