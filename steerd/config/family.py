"""The two families of addresses."""

IPV4 = 4
IPV6 = 6
