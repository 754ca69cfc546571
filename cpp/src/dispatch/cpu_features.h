// What the processor and the operating system can run.
#pragma once

namespace relu_layers::dispatch {

bool has_avx2_and_fma();
bool has_avx512();

}  // namespace relu_layers::dispatch
