// Linked into wheels, whose C++ library is part of the module. Its last words for an exception that nothing catches would
// name the type as it was written, and bring 170 kB of code for that: they name it as the linker sees it.
extern "C" __attribute__((visibility("hidden"))) char* __cxa_demangle(const char*, char*, unsigned long*, int* status) {
    if (status != nullptr) *status = -1;
    return nullptr;
}
