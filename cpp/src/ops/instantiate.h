// An op's template is compiled for both element types where it is defined; its declaration in ops.h says the rest.
#pragma once

#define RELU_LAYERS_INSTANTIATE(name)           \
    template decltype(name<float>) name<float>; \
    template decltype(name<double>) name<double>;
