"""What others have set up on this machine, as far as routing depends on it."""
