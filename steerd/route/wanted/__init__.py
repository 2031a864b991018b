"""From settings and choices to the changes that the kernel needs. Pure."""
