"""The HTTP server: devices report to it, clients create exports, operators look at its health."""
