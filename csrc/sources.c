/* sources.c - looking through the user's array before anything is trained on it, and its numbers as
 * they are there. */
#include "cnet.h"

static int finite_f32(const char *p)
{
    uint32_t bits;
    memcpy(&bits, p, sizeof bits);
    return (bits & 0x7f800000u) != 0x7f800000u;
}

static int finite_f64(const char *p)
{
    uint64_t bits;
    memcpy(&bits, p, sizeof bits);
    return (bits & 0x7ff0000000000000u) != 0x7ff0000000000000u;
}

static int finite_f16(const char *p)
{
    uint16_t bits;
    memcpy(&bits, p, sizeof bits);
    return (bits & 0x7c00u) != 0x7c00u;
}

/* In chunks whose answer is one conjunction, so that the scan runs at the speed of memory. */
#define CNET_SCAN(name, size)                                                             \
    static size_t scan_##name(size_t n, const char *p, ptrdiff_t stride)                 \
    {                                                                                     \
        size_t i = 0;                                                                     \
        if (stride == size)                                                               \
            for (; i + 64 <= n; i += 64) {                                                \
                int all = 1;                                                              \
                for (size_t k = 0; k < 64; k++)                                           \
                    all &= finite_##name(p + (i + k) * size);                             \
                if (!all)                                                                 \
                    break;                                                                \
            }                                                                             \
        while (i < n && finite_##name(p + (ptrdiff_t)i * stride))                         \
            i++;                                                                          \
        return i;                                                                         \
    }
CNET_SCAN(f32, 4)
CNET_SCAN(f64, 8)
CNET_SCAN(f16, 2)

size_t cnet_source_first_nonfinite(const cnet_source *s)
{
    size_t (*scan)(size_t, const char *, ptrdiff_t);
    switch (s->type) {
    case CNET_SOURCE_f32: scan = scan_f32; break;
    case CNET_SOURCE_f64: scan = scan_f64; break;
    case CNET_SOURCE_f16: scan = scan_f16; break;
    default: return s->rows * s->columns; /* integers are finite */
    }
    /* Short rows that lie side by side are one long row. */
    if (s->column_stride > 0 && s->row_stride == (ptrdiff_t)s->columns * s->column_stride)
        return scan(s->rows * s->columns, s->data, s->column_stride);
    for (size_t i = 0; i < s->rows; i++) {
        const size_t j = scan(s->columns, s->data + (ptrdiff_t)i * s->row_stride, s->column_stride);
        if (j < s->columns)
            return i * s->columns + j;
    }
    return s->rows * s->columns;
}

#define CNET_ROW(name, type, load)                                                          \
    static void widen_##name(size_t n, const char *from, ptrdiff_t stride, double *out)    \
    {                                                                                       \
        type value;                                                                         \
        if (stride == (ptrdiff_t)sizeof(type)) {                                            \
            for (size_t i = 0; i < n; i++) {                                                \
                memcpy(&value, from + i * sizeof(type), sizeof value);                      \
                out[i] = (double)load(value);                                               \
            }                                                                               \
            return;                                                                         \
        }                                                                                   \
        for (size_t i = 0; i < n; i++) {                                                    \
            memcpy(&value, from + (ptrdiff_t)i * stride, sizeof value);                     \
            out[i] = (double)load(value);                                                   \
        }                                                                                   \
    }
CNET_SOURCES(CNET_ROW)
#undef CNET_ROW

void cnet_source_widen(int type, size_t n, const char *from, ptrdiff_t stride, double *out)
{
    typedef void (*widen_function)(size_t, const char *, ptrdiff_t, double *);
#define CNET_ROW(name, ...) widen_##name,
    static const widen_function rows[] = {CNET_SOURCES(CNET_ROW)};
#undef CNET_ROW
    rows[type](n, from, stride, out);
}

size_t cnet_source_first_other(const cnet_source *s, size_t column, size_t categories, int others,
                               double *value)
{
    const char *from = s->data + (ptrdiff_t)column * s->column_stride;
    double part[64];
    for (size_t i = 0; i < s->rows; i += 64) {
        const size_t n = s->rows - i < 64 ? s->rows - i : 64;
        cnet_source_widen(s->type, n, from + (ptrdiff_t)i * s->row_stride, s->row_stride, part);
        for (size_t k = 0; k < n; k++)
            if (!(part[k] - __builtin_trunc(part[k]) == 0)
                || (!others && !(part[k] >= 0 && part[k] < (double)categories))) {
                *value = part[k];
                return i + k;
            }
    }
    return s->rows;
}

/* Of a long row the beginning is enough: the processor reads on ahead by itself. */
#define CNET_FETCHED_BYTES 256

void cnet_source_fetch(const cnet_source *s, const int64_t *index, size_t first, size_t count)
{
    if (s->column_stride <= 0 || s->column_stride > 8)
        return;
    const size_t whole = s->columns * (size_t)s->column_stride;
    const size_t bytes = whole < CNET_FETCHED_BYTES ? whole : CNET_FETCHED_BYTES;
    for (size_t i = first; i < first + count; i++)
        for (size_t at = 0; at < bytes; at += 64)
            __builtin_prefetch(s->data + (ptrdiff_t)index[i] * s->row_stride + at);
}
