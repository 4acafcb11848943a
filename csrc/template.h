/* template.h - names for one dtype of one instruction set.
 *
 * A template is included once per dtype with T (the element type) and SUFFIX (f32 or f64) defined;
 * F(name) is then that dtype's function. Everything is static: only the table is exported. */
#ifndef CNET_TEMPLATE_H
#define CNET_TEMPLATE_H

#define CNET_PASTE_(a, b) a##_##b
#define CNET_PASTE(a, b) CNET_PASTE_(a, b)
#define F(name) CNET_PASTE(name, SUFFIX)

#define CNET_STRING_(a) #a
#define CNET_STRING(a) CNET_STRING_(a)

#define CNET_INLINE static inline __attribute__((always_inline))

/* Before a loop whose arrays may be one and the same but never overlap otherwise: no iteration
 * touches what another one does. Compilers that are not told so make two copies of the loop, a
 * scalar one for arrays that are shifted against each other, and choose at run time. */
#ifndef __clang__
#define CNET_EACH _Pragma("GCC ivdep")
#elif defined(__SSE2__) || defined(__ARM_NEON)
#define CNET_EACH _Pragma("clang loop vectorize(assume_safety) interleave_count(1)")
#else /* no vectors: Clang would warn of every loop */
#define CNET_EACH
#endif

#endif
