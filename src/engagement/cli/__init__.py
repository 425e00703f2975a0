"""The command line: for people and scripts, on this machine or at a server."""
