"""A configuration file: what is in it, its tables, its mistakes. Of whichever program."""
