"""The switch rules: costs over time to the path to use, where nothing forces the choice."""
