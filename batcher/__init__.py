"""A batch runner for generative-media APIs: nothing is paid for twice, nothing paid for is lost."""
