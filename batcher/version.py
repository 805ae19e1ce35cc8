"""The version of batcher."""

VERSION = "0.1.0"
