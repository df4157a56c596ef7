"""Tests of the benchmarks; see tests/README.md."""
