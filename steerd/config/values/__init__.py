"""The kinds of values a configuration has. Each checks what was written and says what is allowed instead."""
