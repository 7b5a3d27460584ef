"""The top layer: the command line, the demonstration and the service."""
