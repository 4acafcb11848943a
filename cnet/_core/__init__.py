"""Compiled modules over the C kernels: typed, documented, callable on their own.

Every function here checks shapes and dtypes, releases the GIL around the kernel and works on
C-contiguous float32 or float64 arrays (all of one call alike); what it writes is passed in. Their
users are cnet itself, its tests and benchmarks, and anyone who needs a part without the rest.

========== ==============================================================================
kernels    instruction sets, OpenBLAS, vector mathematics, products, random numbers, gather
activations  every activation's forward and backward
dense      a dense layer's forward and backward
losses     every loss's value and gradient
optimizers every update rule
network    a whole network: one program that runs forward, backward and update
========== ==============================================================================
"""
