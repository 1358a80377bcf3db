"""A Jupyter kernel for Swift that compiles every cell. See ../README.md."""

__version__ = "0.1.0"
