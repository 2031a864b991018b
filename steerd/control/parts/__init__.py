"""What answers are made of, a subject a file: as JSON, and in words."""
