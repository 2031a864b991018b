"""Why probes go unanswered, and what is told of it."""
