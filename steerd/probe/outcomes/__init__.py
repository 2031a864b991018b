"""What became of every probe, told apart, and what it says when none are answered."""
