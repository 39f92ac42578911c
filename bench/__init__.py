"""Measures wampha against Crossbar.io in one run: see `bench/README.md`."""
