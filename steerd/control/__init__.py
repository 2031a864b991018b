"""The Unix socket that steerctl talks to, and the words that go over it."""
