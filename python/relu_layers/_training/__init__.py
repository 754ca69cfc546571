"""The parts below the trainer: examples, the loop of `fit`, captured steps, measures, interrupts, divergence."""
