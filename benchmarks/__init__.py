"""Benchmarks: ratios of things measured in one run. `make bench` runs nearly all; each runs alone as well."""
