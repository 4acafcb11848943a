/* isa_baseline.c - what every machine of the architecture runs (SSE2 on x86-64). */
#define CNET_ISA baseline
#define CNET_VBYTES 16
#define CNET_MR 4 /* 4 x 2 sums, leaving half of 16 registers for operands and products */
/* OpenBLAS knows more instruction sets than there are kernels here. */
#define CNET_BLAS_FROM 1e8
#include "both.inc"
