"""Benchmarks: ratios of things measured in one run. `make bench` runs them all; each runs alone as well."""
