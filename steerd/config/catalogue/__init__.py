"""A provider's list of PoPs: signed, checked, and made into entries of this configuration."""
