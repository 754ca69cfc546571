"""ReLU networks on NumPy: forward and backward kernels in C++, layers and training in thin Python."""
