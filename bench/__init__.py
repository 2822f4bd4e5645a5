"""Reproducible load and throughput: make bench writes bench/results.json, docs/benchmarks.md quotes it."""
