"""The version of dpr-rag, kept here alone."""

__version__ = "0.1.0rc1"
