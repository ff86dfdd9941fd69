"""Set before any test module is imported: Numba's cache directory and Hypothesis's profile."""

import os

import compiled
from hypothesis import settings

os.environ["NUMBA_CACHE_DIR"] = str(compiled.folder())

settings.register_profile("secagg", deadline=None, print_blob=True, derandomize=False, max_examples=50)
settings.load_profile("secagg")
