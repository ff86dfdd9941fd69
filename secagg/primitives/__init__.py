"""Cryptographic building blocks, each usable alone and each with known answers in `tests/vectors`."""
