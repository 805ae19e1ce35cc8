"""What to make: the job definitions that come with batcher, one family a file.

A manifest names one with `job:`. Each is found through the entry-point group `batcher.jobs`, as a definition in any other package is.
"""
