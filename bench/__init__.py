"""Benchmarks: each beside what a user would take instead, in one run. `make bench`, or `python -m bench NAME…`."""
