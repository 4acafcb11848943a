/* sources.h - the element types that rows may have in the user's arrays; all are converted while
 * they are gathered, so no input is ever copied whole.
 *
 * Row: name, C type, how one element becomes a double-or-float number. */
#ifndef CNET_SOURCES
#define CNET_SOURCES(X)                 \
    X(f32, float, CNET_SOURCE_PLAIN)    \
    X(f64, double, CNET_SOURCE_PLAIN)   \
    X(f16, uint16_t, cnet_from_half)    \
    X(u8, uint8_t, CNET_SOURCE_PLAIN)   \
    X(i8, int8_t, CNET_SOURCE_PLAIN)    \
    X(u16, uint16_t, CNET_SOURCE_PLAIN) \
    X(i16, int16_t, CNET_SOURCE_PLAIN)  \
    X(u32, uint32_t, CNET_SOURCE_PLAIN) \
    X(i32, int32_t, CNET_SOURCE_PLAIN)  \
    X(u64, uint64_t, CNET_SOURCE_PLAIN) \
    X(i64, int64_t, CNET_SOURCE_PLAIN)
#define CNET_SOURCE_PLAIN(v) (v)

#include <stdint.h>
#include <string.h>

/* IEEE half to float without a table or a branch: the exponent is rebased by a multiplication,
 * which also makes the half's denormals right; inf and NaN get the full exponent back. */
static inline float cnet_from_half(uint16_t h)
{
    uint32_t bits = (uint32_t)(h & 0x7fffu) << 13;
    float f;
    memcpy(&f, &bits, sizeof f);
    f *= 0x1p112f;
    memcpy(&bits, &f, sizeof f);
    bits |= (h & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u;
    bits |= (uint32_t)(h & 0x8000u) << 16;
    memcpy(&f, &bits, sizeof f);
    return f;
}
#endif
