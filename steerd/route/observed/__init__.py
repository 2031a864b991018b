"""What policies' packets were seen to do, and what that says. Pure."""
