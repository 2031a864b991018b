"""What others undo of ours: who, how often, and when to back off."""
