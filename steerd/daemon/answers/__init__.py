"""What steerctl asks, answered: a handler for each verb in the table."""
