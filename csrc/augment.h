/* augment.h - rows changed at random while they are gathered for a training step: images are moved
 * and bent, parts of them are erased, rows get noise or are mixed with others.
 *
 * Row: name, what it works on.
 *   GEOMETRY   where an image is looked at; neighbours in the list are one warp
 *   PIXELS     the values of an image
 *   VALUES     the values of any row
 *   MIXTURE    a row and its target with those of another row; MIXED_IMAGES: images only
 *
 * Everything is drawn from (seed, purpose, step), the augmentation's place in the list (the stream)
 * and the row's place in its batch, and from nothing else: not from threads, not from the pieces
 * that a batch passes in. The row at place p has groups of eight blocks, G = 1 + what its kind needs
 * for single elements; draw d of the row is word d / 8 of block 8 (p G) + d % 8, as a uniform number
 * (draw + 1/2) / 2^32. Draw 0 decides whether anything happens: it must be below 2^32 `probability`.
 *
 *             settings                       draws 1, 2, ...
 *   flip      horizontal, vertical           draw 0: horizontally? draw 1: vertically?
 *   affine    rotation (rad), shift of       angle, two shifts, zoom, shear
 *             rows and columns (pixels),
 *             zoom, tangent of the shear's angle as an angle (rad)
 *   crop      padding (pixels)               shift of rows, of columns
 *   elastic   alpha (pixels)                 16 bits per pixel and direction, see below
 *   erasing   area from, to; logarithms of   area, aspect, row, column
 *             aspect from, to; value
 *   brightness  most that is added           what is added
 *   contrast  most that the factor is off    the factor
 *   noise     standard deviation             normal numbers as in noise.h
 *   swap      rate                           two words per element: whether, and from which row
 *   mixup     alpha                          two for the share, one for the other row
 *   cutmix    alpha                          the same, then the centre's row and column */
#ifndef CNET_AUGMENTATIONS
#define CNET_AUGMENTATIONS(X)   \
    X(flip, GEOMETRY)           \
    X(affine, GEOMETRY)         \
    X(crop, GEOMETRY)           \
    X(elastic, GEOMETRY)        \
    X(erasing, PIXELS)          \
    X(brightness, VALUES)       \
    X(contrast, VALUES)         \
    X(noise, VALUES)            \
    X(swap, VALUES)             \
    X(mixup, MIXTURE)           \
    X(cutmix, MIXED_IMAGES)

enum { CNET_FILL_CONSTANT, CNET_FILL_EDGE, CNET_FILL_REFLECT };
#endif

#ifdef T

/* Elements that a group of eight blocks serves: two of 16 bits a word, two words for one. */
#define CNET_FIELD_GROUP 64
#define CNET_SWAP_GROUP 16
/* Rows of the batch that a thread takes at a time, and elements from which threads are worth it. */
#define CNET_AUGMENT_ROWS 8
#define CNET_AUGMENT_SHARED (1 << 16)
/* Elements that are looked at together; lines of fields are whole chunks. */
#define CNET_SPAN 64
#define CNET_CHUNK 16

static size_t F(rounded)(size_t n, size_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

/* Lines of a displacement field are so long, and a field so large. */
static size_t F(field_width)(const cnet_augmenter *a) { return F(rounded)(a->width, CNET_CHUNK); }
static size_t F(field_size)(const cnet_augmenter *a)
{
    return F(rounded)(a->height * F(field_width)(a), CNET_FIELD_GROUP);
}

/* A lane's scratch: another row, an image with its border, two fields, their noise, one line, taps. */
typedef struct F(lane) {
    T *other, *padded, *field, *noise, *line, *tap;
} F(lane);

/* Elements of these parts; returns that of all. */
static size_t F(lane_sizes)(const cnet_augmenter *a, size_t *n)
{
    const size_t field = a->radius ? F(field_size)(a) : 0;
    n[0] = F(rounded)(a->columns, 16);
    n[1] = F(rounded)((a->height + 3) * (a->width + 3) * a->channels, 16);
    n[2] = 2 * field;
    n[3] = field;
    n[4] = F(rounded)(F(field_width)(a) + 2 * a->radius, 16);
    n[5] = F(rounded)(2 * a->radius + 1, 16);
    return n[0] + n[1] + n[2] + n[3] + n[4] + n[5];
}

static F(lane) F(lane_of)(const cnet_augmenter *a, T *at)
{
    size_t n[6];
    F(lane_sizes)(a, n);
    F(lane) l = {.other = at};
    l.padded = l.other + n[0];
    l.field = l.padded + n[1];
    l.noise = l.field + n[2];
    l.line = l.noise + n[3];
    l.tap = l.line + n[4];
    return l;
}

static size_t F(augment_bytes)(const cnet_augmenter *a)
{
    size_t n[6];
    return F(lane_sizes)(a, n) * sizeof(T);
}

/* ---- draws ---- */

/* Groups of eight blocks that every row has. */
static size_t F(groups)(const cnet_augmenter *a, const cnet_augmentation *s)
{
    switch (s->kind) {
    case CNET_AUGMENT_elastic: return 1 + 2 * F(field_size)(a) / CNET_FIELD_GROUP;
    case CNET_AUGMENT_noise: return 1 + (a->columns + CNET_NORMAL_GROUP - 1) / CNET_NORMAL_GROUP;
    case CNET_AUGMENT_swap: return 1 + (a->columns + CNET_SWAP_GROUP - 1) / CNET_SWAP_GROUP;
    default: return 1;
    }
}

static cnet_stream F(stream_of)(const cnet_batch *b, const cnet_augmentation *s)
{
    return (cnet_stream){b->seed, b->step, CNET_FOR_AUGMENTATION | s->stream << 8};
}

static void F(draws)(const cnet_batch *b, const cnet_augmentation *s, size_t group, uint32_t *draw)
{
    const cnet_stream stream = F(stream_of)(b, s);
    cnet_philox(&stream, (uint32_t)group * CNET_BLOCKS, draw);
}

static double F(uniform)(uint32_t draw) { return ((double)draw + 0.5) * 0x1p-32; }
/* Between -1 and 1. */
static double F(around)(uint32_t draw) { return 2 * F(uniform)(draw) - 1; }
/* One of 0..n-1. */
static size_t F(pick)(uint32_t draw, size_t n) { return (size_t)((uint64_t)draw * n >> 32); }

/* Another row of the batch than the one at a place; itself where it is alone. */
static size_t F(other_row)(const cnet_batch *b, size_t place, uint32_t draw)
{
    return b->rows < 2 ? place : (place + 1 + F(pick)(draw, b->rows - 1)) % b->rows;
}

#include "warp.h"

/* ---- one row of values ---- */

/* A rectangle of an image: rows top.. and columns left.. */
typedef struct F(box) {
    size_t top, left, height, width;
} F(box);

/* Zhong et al., "Random erasing data augmentation" (AAAI 2020); a rectangle that would not fit is cut
 * to the image's size instead of drawn again. */
static void F(erase)(const cnet_augmenter *a, const double *setting, const uint32_t *draw, T *image)
{
    const double height = (double)a->height, width = (double)a->width;
    const double share = setting[0] + (setting[1] - setting[0]) * F(uniform)(draw[1]);
    const double aspect = exp(setting[2] + (setting[3] - setting[2]) * F(uniform)(draw[2]));
    const double high = floor(__builtin_sqrt(share * height * width * aspect) + 0.5);
    const double wide = floor(__builtin_sqrt(share * height * width / aspect) + 0.5);
    const size_t h = (size_t)(high > height ? height : high);
    const size_t w = (size_t)(wide > width ? width : wide);
    const size_t top = F(pick)(draw[3], a->height - h + 1);
    const size_t left = F(pick)(draw[4], a->width - w + 1);
    for (size_t r = top; r < top + h; r++)
        for (size_t i = left * a->channels; i < (left + w) * a->channels; i++)
            image[r * a->width * a->channels + i] = (T)setting[4];
}

static void F(contrast)(size_t n, T factor, T *x)
{
    const T mean = F(sum)(n, x) / (T)n;
    for (size_t i = 0; i < n; i++)
        x[i] = mean + factor * (x[i] - mean);
}

static void F(add_noise)(const cnet_augmenter *a, const cnet_batch *b, const cnet_augmentation *s,
                         size_t group, T *x)
{
    const cnet_stream stream = F(stream_of)(b, s);
    for (size_t i = 0; i < a->columns; i += CNET_NORMAL_GROUP) {
        const size_t n = a->columns - i < CNET_NORMAL_GROUP ? a->columns - i : CNET_NORMAL_GROUP;
        T m[CNET_NORMAL_GROUP];
        F(normal_group)(&stream, group++, 0, (T)s->setting[0], m);
        CNET_EACH for (size_t k = 0; k < n; k++)
            x[i + k] += m[k];
    }
}

/* "Swap noise": values of another row as the data have them, of a row for each value. */
static void F(swap)(const cnet_augmenter *a, const cnet_batch *b, const cnet_augmentation *s,
                    size_t group, size_t place, T *x)
{
    const uint64_t below = (uint64_t)(s->setting[0] * 0x1p32);
    for (size_t i = 0; i < a->columns; i += CNET_SWAP_GROUP) {
        const size_t n = a->columns - i < CNET_SWAP_GROUP ? a->columns - i : CNET_SWAP_GROUP;
        uint32_t draw[4 * CNET_BLOCKS];
        F(draws)(b, s, group++, draw);
        for (size_t k = 0; k < n; k++)
            if (draw[k] < below) {
                const size_t other = F(other_row)(b, place, draw[CNET_SWAP_GROUP + k]);
                const cnet_source one = F(columns_of)(b->x, i + k, 1);
                F(gather)(&one, b->order, b->begin + other, 1, x + i + k);
            }
    }
}

/* Does the augmentations first.. to last - 1. */
static void F(augment_span)(const cnet_augmenter *a, const cnet_batch *b, size_t place, size_t s,
                            size_t last, const F(lane) *l, T *x)
{
    while (s < last) {
        const cnet_augmentation *stage = a->stage + s;
        if (stage->warp) {
            s = F(warp)(a, b, place, s, l, x);
            continue;
        }
        const size_t group = place * F(groups)(a, stage);
        uint32_t draw[4 * CNET_BLOCKS];
        s++;
        F(draws)(b, stage, group, draw);
        if (draw[0] >= stage->below)
            continue;
        if (stage->kind == CNET_AUGMENT_erasing) {
            F(erase)(a, stage->setting, draw, x);
        } else if (stage->kind == CNET_AUGMENT_brightness) {
            const T more = (T)(stage->setting[0] * F(around)(draw[1]));
            for (size_t i = 0; i < a->columns; i++)
                x[i] += more;
        } else if (stage->kind == CNET_AUGMENT_contrast) {
            F(contrast)(a->columns, (T)(1 + stage->setting[0] * F(around)(draw[1])), x);
        } else if (stage->kind == CNET_AUGMENT_noise) {
            F(add_noise)(a, b, stage, group + 1, x);
        } else {
            F(swap)(a, b, stage, group + 1, place, x);
        }
    }
}

/* ---- two rows mixed ---- */

typedef struct F(mixture) {
    size_t other;  /* the other row's place in the batch */
    double share;  /* of the row itself; 1 where nothing is mixed */
    F(box) box;    /* cutmix: what the other row gives */
} F(mixture);

/* A symmetric beta variate from two uniform ones, for any alpha > 0: that of L. Devroye, "Random
 * variate generation in one line of code" (1996), after R. W. Bailey's for Student's t. */
static double F(symmetric_beta)(double alpha, double u, double v)
{
    const double power = log(u) / alpha, q = exp(power), wave = cos(6.283185307179586477 * v);
    const double rest = -expm1(power);
    return 0.5 * (1 + wave * __builtin_sqrt(rest / (q + rest * wave * wave)));
}

/* Mixup: Zhang et al. (ICLR 2018). CutMix: Yun et al. (ICCV 2019): a rectangle of the image's own
 * aspect, of the area 1 - share before it is cut at the border, with its middle anywhere. */
static F(mixture) F(mix)(const cnet_augmenter *a, const cnet_batch *b, size_t place)
{
    const cnet_augmentation *s = a->stage + a->mixing;
    F(mixture) m = {place, 1, {0, 0, 0, 0}};
    uint32_t draw[4 * CNET_BLOCKS];
    F(draws)(b, s, place, draw);
    if (draw[0] >= s->below || b->rows < 2)
        return m;
    m.share = F(symmetric_beta)(s->setting[0], F(uniform)(draw[1]), F(uniform)(draw[2]));
    m.other = F(other_row)(b, place, draw[3]);
    if (s->kind == CNET_AUGMENT_cutmix) {
        const double side = __builtin_sqrt(1 - m.share);
        const ptrdiff_t H = (ptrdiff_t)a->height, W = (ptrdiff_t)a->width;
        const ptrdiff_t h = (ptrdiff_t)((double)H * side), w = (ptrdiff_t)((double)W * side);
        const ptrdiff_t top = (ptrdiff_t)F(pick)(draw[4], a->height) - h / 2;
        const ptrdiff_t left = (ptrdiff_t)F(pick)(draw[5], a->width) - w / 2;
        const ptrdiff_t bottom = top + h < H ? top + h : H, right = left + w < W ? left + w : W;
        m.box.top = (size_t)(top < 0 ? 0 : top);
        m.box.left = (size_t)(left < 0 ? 0 : left);
        m.box.height = (size_t)bottom - m.box.top;
        m.box.width = (size_t)right - m.box.left;
        m.share = 1 - (double)(m.box.height * m.box.width) / (double)(H * W);
    }
    return m;
}

static void F(augment_row)(const cnet_augmenter *a, const cnet_batch *b, size_t place,
                           const F(lane) *l, T *x)
{
    F(gather)(b->x, b->order, b->begin + place, 1, x);
    if (a->mixing == CNET_NONE) {
        F(augment_span)(a, b, place, 0, a->stages, l, x);
        return;
    }
    F(augment_span)(a, b, place, 0, a->mixing, l, x);
    const F(mixture) m = F(mix)(a, b, place);
    if (m.share < 1) {
        T *restrict y = l->other;
        F(gather)(b->x, b->order, b->begin + m.other, 1, y);
        F(augment_span)(a, b, m.other, 0, a->mixing, l, y);
        if (a->stage[a->mixing].kind == CNET_AUGMENT_mixup) {
            const T share = (T)m.share, rest = (T)(1 - m.share);
            for (size_t i = 0; i < a->columns; i++)
                x[i] = share * x[i] + rest * y[i];
        } else {
            const size_t C = a->channels;
            for (size_t r = m.box.top; r < m.box.top + m.box.height; r++) {
                const size_t at = (r * a->width + m.box.left) * C;
                memcpy(x + at, y + at, m.box.width * C * sizeof(T));
            }
        }
    }
    F(augment_span)(a, b, place, a->mixing + 1, a->stages, l, x);
}

/* ---- a piece of a batch ---- */

typedef struct F(augmenting) {
    const cnet_augmenter *a;
    const cnet_batch *b;
    T *out;
} F(augmenting);

static void F(augment_part)(const void *context, size_t part, int lane, void *scratch)
{
    const F(augmenting) *p = context;
    const size_t begin = part * CNET_AUGMENT_ROWS, left = p->b->count - begin;
    const size_t end = begin + (left < CNET_AUGMENT_ROWS ? left : CNET_AUGMENT_ROWS);
    const F(lane) l = F(lane_of)(p->a, (T *)(p->a->scratch + (size_t)lane * p->a->lane_bytes));
    (void)scratch;
    for (size_t i = begin; i < end; i++)
        F(augment_row)(p->a, p->b, p->b->first + i, &l, p->out + i * p->a->columns);
}

static void F(augment)(const cnet_augmenter *a, const cnet_batch *b, void *out)
{
    const F(augmenting) p = {a, b, out};
    const size_t parts = (b->count + CNET_AUGMENT_ROWS - 1) / CNET_AUGMENT_ROWS;
    const int shared = b->count * a->columns >= CNET_AUGMENT_SHARED;
    const int threads = b->threads < a->lanes ? b->threads : a->lanes;
    cnet_pool_run(shared ? threads : 1, parts, F(augment_part), &p, NULL);
}

static void F(mix_targets)(const cnet_augmenter *a, const cnet_batch *b, const cnet_source *targets,
                           const int64_t *labels, size_t K, void *out)
{
    for (size_t i = 0; i < b->count; i++) {
        const size_t place = b->first + i;
        const F(mixture) m = F(mix)(a, b, place);
        const size_t own = b->begin + place, other = b->begin + m.other;
        const T share = (T)m.share, rest = (T)(1 - m.share);
        T *t = (T *)out + i * K, part[CNET_SPAN];
        if (labels) {
            memset(t, 0, K * sizeof(T));
            t[labels[b->order ? (size_t)b->order[own] : own]] += share;
            t[labels[b->order ? (size_t)b->order[other] : other]] += rest;
            continue;
        }
        F(gather)(targets, b->order, own, 1, t);
        for (size_t k = 0; k < K && m.share < 1; k += CNET_SPAN) {
            const cnet_source span = F(columns_of)(targets, k, K - k < CNET_SPAN ? K - k : CNET_SPAN);
            F(gather)(&span, b->order, other, 1, part);
            CNET_EACH for (size_t j = 0; j < span.columns; j++)
                t[k + j] = share * t[k + j] + rest * part[j];
        }
    }
}

#endif
