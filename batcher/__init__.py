"""A batch runner for generative-media APIs: nothing is paid for twice, nothing paid for is lost."""

__version__ = "0.1.0"
