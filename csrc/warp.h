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

/* Two fields of uniform noise in (-1, 1), blurred by a Gaussian (0 beyond the border), times alpha:
 * Simard, Steinkraus and Platt, "Best practices for convolutional neural networks" (2003). */
static void F(displace)(const cnet_augmenter *a, const cnet_batch *b, const cnet_augmentation *s,
                        size_t group, const F(lane) *l)
{
    const size_t H = a->height, wide = F(field_width)(a), size = F(field_size)(a), R = a->radius;
    const T alpha = (T)s->setting[0];
    for (T *field = l->field; field < l->field + 2 * size; field += size) {
        for (size_t i = 0; i < size; i += CNET_FIELD_GROUP) {
            uint32_t w[4 * CNET_BLOCKS];
            F(draws)(b, s, group++, w);
            for (size_t k = 0; k < 32; k++) {
                l->noise[i + k] = (T)(int32_t)(w[k] & 0xffff) * (T)0x1p-15 + (T)(0x1p-16 - 1);
                l->noise[i + k + 32] = (T)(int32_t)(w[k] >> 16) * (T)0x1p-15 + (T)(0x1p-16 - 1);
            }
        }
        for (size_t r = 0; r < H; r++)
            memset(l->noise + r * wide + a->width, 0, (wide - a->width) * sizeof(T));
        memset(l->line, 0, (wide + 2 * R) * sizeof(T));
        for (size_t r = 0; r < H; r++) {
            const size_t top = r < R ? 0 : r - R, bottom = r + R < H ? r + R : H - 1;
            for (size_t c = 0; c < wide; c += 16) {
                T sum[16] = {0};
                for (size_t i = top; i <= bottom; i++) {
                    const T tap = (T)s->taps[i > r ? i - r : r - i];
                    for (size_t k = 0; k < 16; k++)
                        sum[k] += tap * l->noise[i * wide + c + k];
                }
                memcpy(l->line + R + c, sum, sizeof sum);
            }
            for (size_t c = 0; c < wide; c += 16) {
                T sum[16] = {0};
                for (size_t i = 0; i <= 2 * R; i++) {
                    const T tap = alpha * (T)s->taps[i > R ? i - R : R - i];
                    for (size_t k = 0; k < 16; k++)
                        sum[k] += tap * l->line[c + i + k];
                }
                memcpy(field + r * wide + c, sum, sizeof sum);
            }
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
        for (size_t k = 0; k < line; k++)
            padded[k] = outside ? value : from[k];
        padded += line + 2 * C;
    }
}

/* Coordinates are folded at the middles of the first and the last pixel. */
static void F(mirror)(size_t n, T last, T *x)
{
    for (size_t c = 0; c < n; c++) {
        const T turns = x[c] / (2 * last);
        T whole = (T)(int32_t)turns;
        whole -= whole > turns ? (T)1 : (T)0;
        const T rest = x[c] - whole * (2 * last);
        x[c] = rest > last ? 2 * last - rest : rest;
    }
}

/* Draws of a program may be as far out as its settings; beyond this, pixels cannot be told. */
CNET_INLINE T F(within)(T x, T low, T high) { return x < low ? low : x > high ? high : x; }

/* From the padded image, whose coordinates are one more than those of the image. */
static void F(look)(const cnet_augmenter *a, const double *m, const T *field, int fold,
                    const T *padded, T *image)
{
    const size_t H = a->height, W = a->width, C = a->channels, line = (W + 3) * C;
    const size_t wide = F(field_width)(a), size = F(field_size)(a);
    const T m0 = (T)m[0], m1 = (T)m[1], m3 = (T)m[3], m4 = (T)m[4], far = 1 << 20;
    for (size_t r = 0; r < H; r++) {
        const T from_row = (T)(m[0] * (double)r + m[2]), from_column = (T)(m[3] * (double)r + m[5]);
        for (size_t c0 = 0; c0 < W; c0 += CNET_SPAN) {
            const size_t n = W - c0 < CNET_SPAN ? W - c0 : CNET_SPAN;
            T y[CNET_SPAN], x[CNET_SPAN];
            int32_t at[CNET_SPAN];
            for (size_t c = 0; c < n; c++) {
                const T column = (T)(int32_t)(c0 + c);
                y[c] = F(within)(from_row + m1 * column, -far, far);
                x[c] = F(within)(from_column + m4 * column, -far, far);
            }
            if (field) {
                const T *down = field + r * wide + c0, *right = down + size;
                for (size_t c = 0; c < n; c++) {
                    y[c] += m0 * down[c] + m1 * right[c];
                    x[c] += m3 * down[c] + m4 * right[c];
                }
            }
            /* One line or column has no distance to mirror at: it goes on for ever. */
            if (fold && H > 1)
                F(mirror)(n, (T)(H - 1), y);
            if (fold && W > 1)
                F(mirror)(n, (T)(W - 1), x);
            for (size_t c = 0; c < n; c++) {
                const T row = F(within)(y[c] + 1, 0, (T)(H + 1));
                const T column = F(within)(x[c] + 1, 0, (T)(W + 1));
                const int32_t i = (int32_t)row, j = (int32_t)column;
                y[c] = row - (T)i;
                x[c] = column - (T)j;
                at[c] = i * (int32_t)line + j * (int32_t)C;
            }
            for (size_t k = 0; k < C; k++) {
                T *out = image + (r * W + c0) * C + k;
                for (size_t c = 0; c < n; c++) {
                    const T *p = padded + at[c] + k, *q = p + line;
                    const T upper = p[0] + x[c] * (p[C] - p[0]);
                    const T lower = q[0] + x[c] * (q[C] - q[0]);
                    out[c * C] = upper + y[c] * (lower - upper);
                }
            }
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
