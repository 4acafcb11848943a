/* isa_avx512.c - x86-64 with AVX-512 F, BW, DQ and VL. */
#define CNET_ISA avx512
#define CNET_VBYTES 64
#define CNET_MR 12 /* 12 x 2 sums + 2 of B + 1 of A in 32 registers */
/* Not measured for want of such a processor: OpenBLAS is known to be good at large products. */
#define CNET_BLAS_FROM 1e8
#include "both.inc"
