// What threadpoolctl looks for in a loaded library, by name, and calls through ctypes.
#include "relu_layers/parallel.h"
#include "relu_layers/version.h"

#if defined(_WIN32)
#define RELU_LAYERS_EXPORT __declspec(dllexport)
#else
#define RELU_LAYERS_EXPORT __attribute__((visibility("default")))
#endif

extern "C" {

RELU_LAYERS_EXPORT int relu_layers_get_num_threads();
RELU_LAYERS_EXPORT void relu_layers_set_num_threads(int n);
RELU_LAYERS_EXPORT const char* relu_layers_get_version();

RELU_LAYERS_EXPORT int relu_layers_get_num_threads() { return relu_layers::num_threads(); }
RELU_LAYERS_EXPORT void relu_layers_set_num_threads(int n) { relu_layers::set_num_threads(n); }
RELU_LAYERS_EXPORT const char* relu_layers_get_version() { return RELU_LAYERS_VERSION; }

}  // extern "C"
