"""Numba kernels: arrays in, arrays out, no policy. Each has a naive twin in `tests/kernels/naive.py`."""
