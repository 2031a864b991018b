"""The configuration of a gateway: checked whole, to the settings of each stage."""
