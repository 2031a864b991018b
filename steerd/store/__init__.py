"""What survives a restart: decisions, pins and drains, recordings. A full disk or a broken file never stops
steering."""
