#pragma once

namespace relu_layers::parallel {

// The processor that the calling thread runs on, or -1 where that cannot be told.
int current_cpu();

// Moves the calling thread to another of the processors that it may use, if it runs on `cpu` and there is one. Which
// processors it may use stays as it is.
void leave_cpu(int cpu);

}  // namespace relu_layers::parallel
