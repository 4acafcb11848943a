/* isa_neon.c - aarch64, whose baseline has NEON and FMA. */
#define CNET_ISA neon
#define CNET_VBYTES 16
#define CNET_MR 12 /* 12 x 2 sums + 2 of B + 1 of A in 32 registers */
/* As for AVX-512. */
#define CNET_BLAS_FROM 1e8
#include "both.inc"
