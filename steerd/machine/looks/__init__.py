"""Each looks at one subject: from a configuration and what was read of the machine to findings. Pure."""
