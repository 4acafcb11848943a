/* dispatch.c - the instruction sets compiled in, best first, and which of them this machine runs. */
#include "cnet.h"

#include "blas.h"

#if defined(__x86_64__) || defined(_M_X64)
#define CNET_INSTRUCTION_SETS(X) X(avx512) X(avx2) X(baseline)
#elif defined(__aarch64__) || defined(_M_ARM64)
#define CNET_INSTRUCTION_SETS(X) X(neon) X(baseline)
#else
#define CNET_INSTRUCTION_SETS(X) X(baseline)
#endif

#define CNET_ROW(isa) extern const cnet_kernels cnet_kernels_f32_##isa, cnet_kernels_f64_##isa;
CNET_INSTRUCTION_SETS(CNET_ROW)
#undef CNET_ROW

#define CNET_ROW(isa) #isa,
const char *const cnet_isa_names[] = {CNET_INSTRUCTION_SETS(CNET_ROW) NULL};
#undef CNET_ROW

#define CNET_ROW(isa) {&cnet_kernels_f32_##isa, &cnet_kernels_f64_##isa},
static const cnet_kernels *const tables[][CNET_DTYPE_COUNT] = {CNET_INSTRUCTION_SETS(CNET_ROW)};
#undef CNET_ROW

static int baseline_supported(void)
{
    return 1;
}

#if defined(__aarch64__) || defined(_M_ARM64)
static int neon_supported(void)
{
    return 1;
}
#elif defined(__x86_64__) || defined(_M_X64)
/* The builtin also asks the operating system whether it saves the wide registers. */
static int avx2_supported(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
static int avx512_supported(void)
{
#ifdef CNET_AVX512_BY_AVX2 /* a build for tests, see setup.py */
    return avx2_supported();
#else
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
           && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
}
#endif

int cnet_isa_supported(int isa)
{
#define CNET_ROW(name) name##_supported,
    int (*const supported[])(void) = {CNET_INSTRUCTION_SETS(CNET_ROW)};
#undef CNET_ROW
#if defined(__x86_64__) || defined(_M_X64)
    __builtin_cpu_init();
#endif
    return supported[isa]();
}

const cnet_kernels *cnet_kernels_get(int isa, int dtype)
{
    return tables[isa][dtype];
}

cnet_sgemm_function cnet_blas_f32;
cnet_dgemm_function cnet_blas_f64;
double cnet_blas_from;

void cnet_blas_set(void *sgemm, void *dgemm, double from)
{
    cnet_blas_from = from;
    cnet_blas_f32 = (cnet_sgemm_function)sgemm;
    cnet_blas_f64 = (cnet_dgemm_function)dgemm;
}

int cnet_blas_present(void)
{
    return cnet_blas_f32 != NULL;
}
