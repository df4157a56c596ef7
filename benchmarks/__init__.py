"""Makes the folder a package, so that `python -m benchmarks.peers` and the tests find it."""
