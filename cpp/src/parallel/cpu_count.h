#pragma once

namespace relu_layers::parallel {

// Processors this process may use: the affinity mask, cut down to cpu_quota(). At least 1.
int usable_cpus();

}  // namespace relu_layers::parallel
