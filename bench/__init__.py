"""Measurements: `python -m bench SUITE`."""

import os

# Before NumPy and Flower are loaded: matrices here are small, so that threads which wait for each other lose; and
# nothing is told to anybody.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.update(FLWR_TELEMETRY_ENABLED="0", FLWR_DISABLE_UPDATE_CHECK="1")
