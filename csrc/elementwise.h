/* elementwise.h - loops over single values without a second copy of their code for the last few (a
 * template, see template.h).
 *
 * A vectorised loop whose length may be anything is followed by a scalar copy of itself. The bodies
 * here are long (an exponential is 150 bytes) and there are many: so their loops are written for
 * whole groups only, and what is left at the end goes through buffers that are filled up with zeros.
 * That also gives every value the same instructions, wherever in its array it is. */

#define CNET_GROUP CNET_LANES /* values: one vector */
#define CNET_WHOLE(n) ((n) & ~(size_t)(CNET_GROUP - 1)) /* so that the compiler knows it */

/* out[i] from a and x[i], y[i], dy[i], of which a loop may be without some; n is in whole groups. */
typedef void (*F(map_loop))(size_t n, T a, const T *x, const T *y, const T *dy, T *out);

/* The last values of n: a group, which overlaps with the one before it, or all of them and zeros. */
static void F(last_group)(size_t n, const T *x, T *group)
{
    if (n >= CNET_GROUP)
        memcpy(group, x + n - CNET_GROUP, CNET_GROUP * sizeof(T));
    else
        for (size_t i = 0; i < CNET_GROUP; i++)
            group[i] = i < n ? x[i] : 0;
}

/* `out` may be one of the others, which may be NULL where the loop does without. */
static void F(map)(F(map_loop) loop, size_t n, T a, const T *x, const T *y, const T *dy, T *out)
{
    T xs[CNET_GROUP], ys[CNET_GROUP], dys[CNET_GROUP], outs[CNET_GROUP];
    const size_t rest = n % CNET_GROUP;
    if (rest && x)
        F(last_group)(n, x, xs);
    if (rest && y)
        F(last_group)(n, y, ys);
    if (rest && dy)
        F(last_group)(n, dy, dys);
    if (n >= CNET_GROUP)
        loop(n, a, x, y, dy, out);
    if (rest)
        loop(CNET_GROUP, a, xs, ys, dys, n >= CNET_GROUP ? out + n - CNET_GROUP : outs);
    if (rest && n < CNET_GROUP)
        memcpy(out, outs, n * sizeof(T));
}

/* Defines such a loop; `value` may use a, x[i], y[i] and dy[i]. */
#define CNET_MAP(name, value)                                                                    \
    static void F(name)(size_t n, T a, const T *x, const T *y, const T *dy, T *out)              \
    {                                                                                            \
        (void)a, (void)x, (void)y, (void)dy;                                                     \
        CNET_EACH for (size_t i = 0; i != CNET_WHOLE(n); i++)                                     \
            out[i] = value;                                                                      \
    }
