// The control register of the SSE unit: rounding, denormals, masks of exceptions.
#if defined(__SSE2__)
#include <xmmintrin.h>

int control_known(void) { return 1; }
unsigned control_get(void) { return _mm_getcsr(); }
void control_set(unsigned value) { _mm_setcsr(value); }
#else
int control_known(void) { return 0; }
unsigned control_get(void) { return 0; }
void control_set(unsigned value) { (void)value; }
#endif
