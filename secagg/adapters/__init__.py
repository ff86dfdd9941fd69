"""Other systems' ways in: each adapter needs its own extra and is imported by name."""
