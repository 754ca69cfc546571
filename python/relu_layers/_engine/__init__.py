"""What a model runs on: its flat arrays, the passes through its layers, and captures of them."""
