"""Secure aggregation: a server learns the sum of its clients' vectors and nothing else."""
