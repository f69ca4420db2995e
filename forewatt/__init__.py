"""The program: command line, configuration, processes, private services, demo, doctor."""

__version__ = "0.1.0"
