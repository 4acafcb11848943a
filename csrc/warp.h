/* warp.h - images moved and bent, for augment.h: neighbours in the list that do so are composed to one
 * map, and the image is looked at once, between its pixels bilinearly.
 *
 * The result's pixel (r, c) is what the image has at (m0 r + m1 c + m2, m3 r + m4 c + m5). Beyond its
 * border the image goes on by one rule: a constant, its edge, or itself mirrored at the middles of its
 * outer pixels. An elastic displacement d is a field over the result's pixels, wherever in the warp it
 * stands: the image is looked at where the map takes (r, c) + d. */

static void F(compose)(double *m, double n0, double n1, double n2, double n3, double n4, double n5)
{
    for (int i = 0; i < 6; i += 3) {
        const double a = m[i], b = m[i + 1];
        m[i] = a * n0 + b * n3;
        m[i + 1] = a * n1 + b * n4;
        m[i + 2] += a * n2 + b * n5;
    }
}

/* The image is zoomed, then sheared along its rows, then turned (against the clock), each about
 * its middle, then shifted; the map goes the way back. */
static void F(compose_affine)(const cnet_augmenter *a, const double *setting, const uint32_t *draw,
                              double *m)
{
    const double angle = setting[0] * F(around)(draw[1]);
    const double zoom = 1 + setting[3] * F(around)(draw[4]);
    const double slant = tan(setting[4] * F(around)(draw[5])), c = cos(angle), s = sin(angle);
    const double n0 = c / zoom, n1 = s / zoom;
    const double n3 = (-s - slant * c) / zoom, n4 = (c - slant * s) / zoom;
    const double row = 0.5 * ((double)a->height - 1), column = 0.5 * ((double)a->width - 1);
    const double down = row + setting[1] * F(around)(draw[2]);
    const double right = column + setting[2] * F(around)(draw[3]);
    F(compose)(m, n0, n1, row - (n0 * down + n1 * right), n3, n4,
               column - (n3 * down + n4 * right));
}

/* out (width) = sum over i of tap[i] x[i step ...], for a width in whole chunks. */
static void F(blur)(size_t width, size_t count, const T *tap, const T *x, size_t step, T *out)
{
    enum { VECTORS = CNET_CHUNK / CNET_LANES };
    for (size_t c = 0; c < width; c += CNET_CHUNK) {
        F(vec) sum[VECTORS];
        F(vec_anywhere) *to = (F(vec_anywhere) *)(out + c);
        _Pragma("GCC unroll 16") for (int v = 0; v < VECTORS; v++)
            sum[v] = (F(vec)){0};
        for (size_t i = 0; i < count; i++) {
            const F(vec_anywhere) *part = (const F(vec_anywhere) *)(x + i * step + c);
            _Pragma("GCC unroll 16") for (int v = 0; v < VECTORS; v++)
                sum[v] += tap[i] * (F(vec))part[v];
        }
        _Pragma("GCC unroll 16") for (int v = 0; v < VECTORS; v++)
            to[v] = sum[v];
    }
}

/* Two fields of uniform noise in (-alpha, alpha), blurred by a Gaussian, 0 beyond the border: Simard,
 * Steinkraus and Platt, "Best practices for convolutional neural networks" (2003). */
static void F(displace)(const cnet_augmenter *a, const cnet_batch *b, const cnet_augmentation *s,
                        size_t group, const F(lane) *l)
{
    const size_t H = a->height, wide = F(field_width)(a), size = F(field_size)(a), R = a->radius;
    const T unit = (T)(s->setting[0] * 0x1p-15), least = (T)(s->setting[0] * (0x1p-16 - 1));
    for (size_t i = 0; i <= R; i++)
        l->tap[R + i] = l->tap[R - i] = (T)s->taps[i];
    memset(l->line, 0, (wide + 2 * R) * sizeof(T));
    for (T *field = l->field; field < l->field + 2 * size; field += size) {
        for (size_t i = 0; i < size; i += CNET_FIELD_GROUP) {
            uint32_t w[4 * CNET_BLOCKS];
            F(draws)(b, s, group++, w);
            CNET_EACH for (size_t k = 0; k < 32; k++) {
                l->noise[i + k] = (T)(int32_t)(w[k] & 0xffff) * unit + least;
                l->noise[i + k + 32] = (T)(int32_t)(w[k] >> 16) * unit + least;
            }
        }
        for (size_t r = 0; r < H; r++)
            memset(l->noise + r * wide + a->width, 0, (wide - a->width) * sizeof(T));
        for (size_t r = 0; r < H; r++) {
            const size_t top = r < R ? 0 : r - R, end = r + R < H ? r + R + 1 : H;
            F(blur)(wide, end - top, l->tap + R + top - r, l->noise + top * wide, wide, l->line + R);
            F(blur)(wide, 2 * R + 1, l->tap, l->line, 1, field + r * wide);
        }
    }
}

/* The image with one line above it and two below, one pixel on the left and two on the right. */
static void F(pad)(const cnet_augmenter *a, int fill, T value, const T *image, T *padded)
{
    const size_t H = a->height, C = a->channels, line = a->width * C;
    for (size_t i = 0; i < H + 3; i++) {
        const size_t r = i < 1 ? 0 : i > H ? H - 1 : i - 1;
        const int outside = i != r + 1 && fill == CNET_FILL_CONSTANT;
        const T *from = image + r * line;
        for (size_t k = 0; k < C; k++) {
            const T left = fill == CNET_FILL_CONSTANT ? value : from[k];
            const T right = fill == CNET_FILL_CONSTANT ? value : from[line - C + k];
            padded[k] = left;
            padded[C + line + k] = padded[2 * C + line + k] = right;
        }
        padded += C;
        CNET_EACH for (size_t k = 0; k < line; k++)
            padded[k] = outside ? value : from[k];
        padded += line + 2 * C;
    }
}

/* Each between low and high; n in whole groups, here and below. */
static __attribute__((noinline)) void F(keep_within)(size_t n, T low, T high, T *x)
{
    for (size_t c = 0; c != CNET_WHOLE(n); c++)
        x[c] = x[c] < low ? low : x[c] > high ? high : x[c];
}

/* Coordinates are folded at the middles of the first and the last pixel; so far out as the middle
 * of 32 bits, pixels cannot be told. */
static void F(mirror)(size_t n, T last, T *x)
{
    F(keep_within)(n, -(1 << 20), 1 << 20, x);
    for (size_t c = 0; c != CNET_WHOLE(n); c++) {
        const T turns = x[c] / (2 * last);
        T whole = (T)(int32_t)turns;
        whole -= whole > turns ? (T)1 : (T)0;
        const T rest = x[c] - whole * (2 * last);
        x[c] = rest > last ? 2 * last - rest : rest;
    }
}

/* out[c C] = between the four pixels from p[at[c]] on, by the fractions y and x of the way. */
CNET_INLINE void F(interpolate)(size_t n, size_t C, size_t line, const T *p, const int32_t *at,
                                const T *y, const T *x, T *out)
{
    for (size_t c = 0; c < n; c++) {
        const T *q = p + at[c];
        const T upper = q[0] + x[c] * (q[C] - q[0]);
        const T lower = q[line] + x[c] * (q[line + C] - q[line]);
        out[c * C] = upper + y[c] * (lower - upper);
    }
}

/* Looks at the padded image, whose coordinates are one more than those of the image. Coordinates are
 * computed in whole chunks, the surplus of which is thrown away. */
static void F(look)(const cnet_augmenter *a, const double *m, const T *field, int fold,
                    const T *padded, T *image)
{
    const size_t H = a->height, W = a->width, C = a->channels, line = (W + 3) * C;
    const size_t wide = F(field_width)(a), size = F(field_size)(a);
    const T m0 = (T)m[0], m1 = (T)m[1], m3 = (T)m[3], m4 = (T)m[4];
    for (size_t r = 0; r < H; r++) {
        const T from_row = (T)(m[0] * (double)r + m[2]), from_column = (T)(m[3] * (double)r + m[5]);
        for (size_t c0 = 0; c0 < W; c0 += CNET_SPAN) {
            const size_t n = W - c0 < CNET_SPAN ? W - c0 : CNET_SPAN;
            const size_t whole = (n + CNET_CHUNK - 1) & ~(size_t)(CNET_CHUNK - 1);
            T y[CNET_SPAN], x[CNET_SPAN];
            int32_t at[CNET_SPAN];
            for (size_t c = 0; c != whole; c++) {
                const T column = (T)(int32_t)(c0 + c);
                y[c] = from_row + m1 * column;
                x[c] = from_column + m4 * column;
            }
            if (field) {
                const T *down = field + r * wide + c0, *right = down + size;
                CNET_EACH for (size_t c = 0; c != whole; c++) {
                    y[c] += m0 * down[c] + m1 * right[c];
                    x[c] += m3 * down[c] + m4 * right[c];
                }
            }
            /* One line or column has no distance to mirror at: it goes on for ever. */
            if (fold && H > 1)
                F(mirror)(whole, (T)(H - 1), y);
            if (fold && W > 1)
                F(mirror)(whole, (T)(W - 1), x);
            F(keep_within)(whole, -1, (T)H, y);
            F(keep_within)(whole, -1, (T)W, x);
            for (size_t c = 0; c != whole; c++) {
                const T row = y[c] + 1, column = x[c] + 1;
                const int32_t i = (int32_t)row, j = (int32_t)column;
                y[c] = row - (T)i;
                x[c] = column - (T)j;
                at[c] = i * (int32_t)line + j * (int32_t)C;
            }
            T *out = image + (r * W + c0) * C;
            if (C == 1)
                F(interpolate)(n, 1, line, padded, at, y, x, out);
            else
                for (size_t k = 0; k < C; k++)
                    F(interpolate)(n, C, line, padded + k, at, y, x, out + k);
        }
    }
}

/* Does the warp that begins with augmentation s; returns the one after it. */
static size_t F(warp)(const cnet_augmenter *a, const cnet_batch *b, size_t place, size_t s,
                      const F(lane) *l, T *image)
{
    double m[6] = {1, 0, 0, 0, 1, 0};
    const cnet_augmentation *first = a->stage + s, *stage = first;
    const T *field = NULL;
    for (; s < a->stages && stage->warp == first->warp; stage = a->stage + ++s) {
        const size_t group = place * F(groups)(a, stage);
        uint32_t draw[4 * CNET_BLOCKS];
        F(draws)(b, stage, group, draw);
        const int drawn = draw[0] < stage->below;
        if (stage->kind == CNET_AUGMENT_flip) {
            if (stage->setting[0] != 0 && drawn)
                F(compose)(m, 1, 0, 0, 0, -1, (double)a->width - 1);
            if (stage->setting[1] != 0 && draw[1] < stage->below)
                F(compose)(m, -1, 0, (double)a->height - 1, 0, 1, 0);
        } else if (drawn && stage->kind == CNET_AUGMENT_affine) {
            F(compose_affine)(a, stage->setting, draw, m);
        } else if (drawn && stage->kind == CNET_AUGMENT_crop) {
            const double most = stage->setting[0];
            const size_t places = 2 * (size_t)most + 1;
            F(compose)(m, 1, 0, (double)F(pick)(draw[1], places) - most, 0, 1,
                       (double)F(pick)(draw[2], places) - most);
        } else if (drawn) {
            F(displace)(a, b, stage, group + 1, l);
            field = l->field;
        }
    }
    if (!field && m[0] == 1 && m[1] == 0 && m[2] == 0 && m[3] == 0 && m[4] == 1 && m[5] == 0)
        return s;
    F(pad)(a, first->fill, (T)first->value, image, l->padded);
    F(look)(a, m, field, first->fill == CNET_FILL_REFLECT, l->padded, image);
    return s;
}
