"""What the report's page is made of; `words` and `tables` serve the terminal too and need no drawing library."""
