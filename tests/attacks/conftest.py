"""Puts this folder on the path, for the attacks in the folders below it."""
