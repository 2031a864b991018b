"""What survives a restart: decisions, pins and drains, recordings. One writing thread; a full disk or a broken
file never stops steering."""
