"""This machine as it is, read without changing anything, and a configuration held against it: `steerd check --live`."""
