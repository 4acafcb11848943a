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

#ifdef T

/* An array of records may have its numbers at any address: memcpy reads them there. */
#define CNET_ROW(name, type, load)                                                               \
    CNET_INLINE T F(load_##name)(const char *at)                                                 \
    {                                                                                            \
        type value;                                                                              \
        memcpy(&value, at, sizeof value);                                                        \
        return (T)load(value);                                                                   \
    }                                                                                            \
    static void F(gather_##name)(size_t n, const char *restrict from, ptrdiff_t stride, T scale, \
                                 T *restrict out)                                                \
    {                                                                                            \
        if (stride == (ptrdiff_t)sizeof(type)) {                                                 \
            for (size_t i = 0; i < n; i++)                                                       \
                out[i] = scale * F(load_##name)(from + i * sizeof(type));                        \
            return;                                                                              \
        }                                                                                        \
        for (size_t i = 0; i < n; i++)                                                           \
            out[i] = scale * F(load_##name)(from + (ptrdiff_t)i * stride);                       \
    }
CNET_SOURCES(CNET_ROW)
#undef CNET_ROW

/* A row of whole elements, without a call where it is short. */
CNET_INLINE void F(copy_row)(size_t bytes, const char *from, char *to)
{
    if (bytes > 256) {
        memcpy(to, from, bytes);
        return;
    }
    for (; bytes >= 32; bytes -= 32, from += 32, to += 32)
        memcpy(to, from, 32);
    for (; bytes; bytes -= sizeof(T), from += sizeof(T), to += sizeof(T))
        memcpy(to, from, sizeof(T));
}

/* Some columns of a source, as a source of their own. */
CNET_INLINE cnet_source F(columns_of)(const cnet_source *source, size_t first, size_t count)
{
    cnet_source part = *source;
    part.data += (ptrdiff_t)first * part.column_stride;
    part.columns = count;
    if (part.shift)
        part.shift += first, part.factor += first;
    return part;
}

/* In double: columns of huge numbers that are close to each other keep what they differ by. */
static void F(gather_shifted)(const cnet_source *source, const char *from, T *out)
{
    const T scale = (T)source->scale;
    double wide[64];
    for (size_t j = 0; j < source->columns; j += 64) {
        const size_t n = source->columns - j < 64 ? source->columns - j : 64;
        const double *shift = source->shift + j, *factor = source->factor + j;
        cnet_source_widen(source->type, n, from + (ptrdiff_t)j * source->column_stride,
                          source->column_stride, wide);
        CNET_EACH for (size_t i = 0; i < n; i++)
            out[j + i] = scale * (T)((wide[i] - shift[i]) * factor[i]);
    }
}

/* y = y factor + shift */
static void F(restore)(size_t B, size_t K, const double *factor, const double *shift, void *y_)
{
    for (size_t i = 0; i < B; i++) {
        T *y = (T *)y_ + i * K;
        if (shift)
            CNET_EACH for (size_t k = 0; k < K; k++)
                y[k] = (T)((double)y[k] * factor[k] + shift[k]);
        else
            CNET_EACH for (size_t k = 0; k < K; k++)
                y[k] = (T)((double)y[k] * factor[k]);
    }
}

static void F(gather)(const cnet_source *source, const int64_t *index, size_t first, size_t count,
                      void *out)
{
    typedef void (*row_function)(size_t, const char *restrict, ptrdiff_t, T, T *restrict);
#define CNET_ROW(name, ...) F(gather_##name),
    static const row_function rows[] = {CNET_SOURCES(CNET_ROW)};
#undef CNET_ROW
    const int plain = source->type == (sizeof(T) == 4 ? CNET_SOURCE_f32 : CNET_SOURCE_f64)
                      && source->column_stride == (ptrdiff_t)sizeof(T) && source->scale == 1
                      && !source->shift;
    const size_t n = source->columns;
    for (size_t i = 0; i < count; i++) {
        const size_t row = index ? (size_t)index[first + i] : first + i;
        const char *from = source->data + (ptrdiff_t)row * source->row_stride;
        if (plain)
            F(copy_row)(n * sizeof(T), from, (char *)((T *)out + i * n));
        else if (source->shift)
            F(gather_shifted)(source, from, (T *)out + i * n);
        else
            rows[source->type](n, from, source->column_stride, (T)source->scale, (T *)out + i * n);
    }
}

#endif
