"""MQTT: what this gateway sees goes out, what PoPs say of themselves comes in. Steering never waits for it."""
