/* isa_avx2.c - x86-64 with AVX2 and FMA (2013 on). */
#define CNET_ISA avx2
#define CNET_VBYTES 32
#define CNET_MR 6 /* 6 x 2 sums + 2 of B + 1 of A in 16 registers */
#include "both.inc"
