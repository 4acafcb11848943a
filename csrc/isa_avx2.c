/* isa_avx2.c - x86-64 with AVX2 and FMA (2013 on). */
#define CNET_ISA avx2
#define CNET_VBYTES 32
#define CNET_MR 6 /* 6 x 2 sums + 2 of B + 1 of A in 16 registers */
/* Never: on a Zen 3 core the kernels here reach 1.0 to 4 times OpenBLAS's rate in every product of
 * the benchmark suite, and python -m benchmarks.workbench measures it again. */
#define CNET_BLAS_FROM __builtin_inf()
#include "both.inc"
