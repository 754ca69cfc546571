"""The parts below the model: its flat arrays, the passes through its layers, captured inference."""
