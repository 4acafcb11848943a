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

#endif
