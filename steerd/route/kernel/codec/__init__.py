"""rtnetlink's messages to and from bytes, one file for each kind of object."""
