"""What only the report's page is made of; what it shares with the terminal stands beside this package."""
