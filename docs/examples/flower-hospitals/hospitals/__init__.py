"""Hospitals train a tumour classifier together."""
