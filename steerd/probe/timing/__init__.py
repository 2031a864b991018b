"""When each target is probed: a tick wheel, phases that are kept, the budget of a device. Pure."""
