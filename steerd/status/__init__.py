"""What there is to see and to hear of a gateway: snapshots of all stages, and streams of what happens."""
