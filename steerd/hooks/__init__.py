"""What facts start: programs, and requests to others."""
