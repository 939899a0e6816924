"""Hash functions of bytes, in kernels: what they hash is not their concern."""
