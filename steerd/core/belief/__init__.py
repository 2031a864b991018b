"""What is believed of each path: its delay, jitter and loss, and whether it works."""
