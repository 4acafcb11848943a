/* gemm.h - matrix products for one dtype of one instruction set (a template, see template.h).
 *
 * C (M, N) = A (M, K) B (K, N), cut as in Goto and van de Geijn (2008):
 *   tile     MR x NR of C in registers, a loop over k
 *   panel    KC x NR of B, packed contiguous so that it stays in the first-level cache
 *   block    MC x KC of A, packed tile by tile so that it stays in the second-level cache
 *   slab     panels side by side that are kept for the other blocks, in the third-level cache
 *   part     rows or columns of C, whole tiles, for one thread
 * Small products read B, and A too, where they lie (thin.h). Edge tiles run the same code on panels
 * padded with zeros and throw the surplus columns away.
 *
 * On each path an element of C is the same sum in the same order, whatever part and tile it falls
 * into. product.h chooses the path and the parts.
 *
 * CNET_VBYTES (vector size), CNET_MR (rows of a tile) come from the instruction set's file; a tile
 * is CNET_NV = 2 vectors wide. */

#define CNET_NV 2
#define CNET_WIDE 8 /* vectors of a tile that is one row high */
#define CNET_KC 256
#define CNET_MC 264 /* a multiple of every CNET_MR */
#define CNET_KEEP_FROM (1 << 19) /* bytes of B, where packing it once for all blocks begins to pay */

#define VLEN (CNET_VBYTES / sizeof(T))
#define NR (CNET_NV * VLEN)

typedef T F(vec) __attribute__((vector_size(CNET_VBYTES)));
typedef T F(vec_anywhere) __attribute__((vector_size(CNET_VBYTES), may_alias, aligned(sizeof(T))));
#define LOAD(p) ((F(vec))*(const F(vec_anywhere) *)(p))
#define STORE(p, v) (*(F(vec_anywhere) *)(p) = (v))
#define UNROLL _Pragma("GCC unroll 16")

/* What sums without a bias begin with. */
static const T F(zeros)[CNET_WIDE * VLEN];

#define SLAB (CNET_SLAB_BYTES / (CNET_KC * sizeof(T))) /* columns of a slab */
_Static_assert(SLAB % NR == 0, "a slab must be whole panels");
_Static_assert((CNET_KC * SLAB + CNET_MC * CNET_KC) * sizeof(T) <= CNET_SCRATCH_BYTES,
               "a slab of B and a block of A must fit into the scratch");

/* The columns of a tile that C has, where it is not all of them. Not inlined: it would be copied into
 * every height of tile. */
static __attribute__((noinline)) void F(store_edge)(size_t rows, size_t columns, const T *tile,
                                                    size_t width, int add, T *c, size_t ldc)
{
    for (size_t r = 0; r < rows; r++, tile += width, c += ldc) {
        size_t j = 0;
        for (; j + VLEN <= columns; j += VLEN)
            STORE(c + j, add ? LOAD(c + j) + LOAD(tile + j) : LOAD(tile + j));
        for (; j < columns; j++)
            c[j] = add ? c[j] + tile[j] : tile[j];
    }
}

/* One tile of `rows` x `vectors`, both constants where it is called, so that acc stays in
 * registers. A sum begins with `start`, a row of biases or of zeros; `add` adds to C instead of
 * overwriting. Only the first `columns` columns are stored. */
CNET_INLINE void F(tile)(const size_t rows, const size_t vectors, size_t K, const T *a, size_t ars,
                         size_t acs, const T *b, size_t ldb, const T *start, int add, T *c,
                         size_t ldc, size_t columns)
{
    F(vec) acc[CNET_MR][CNET_WIDE], bk[CNET_WIDE];
    UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t v = 0; v < vectors; v++)
            acc[r][v] = LOAD(start + v * VLEN);
    for (size_t k = 0; k < K; k++) {
        UNROLL for (size_t v = 0; v < vectors; v++)
            bk[v] = LOAD(b + k * ldb + v * VLEN);
        UNROLL for (size_t r = 0; r < rows; r++) {
            const T s = a[r * ars + k * acs];
            UNROLL for (size_t v = 0; v < vectors; v++)
                acc[r][v] += s * bk[v];
        }
    }
    if (columns != vectors * VLEN) {
        T edge[CNET_MR * NR];
        UNROLL for (size_t r = 0; r < rows; r++)
            UNROLL for (size_t v = 0; v < vectors; v++)
                STORE(edge + (r * vectors + v) * VLEN, acc[r][v]);
        F(store_edge)(rows, columns, edge, vectors * VLEN, add, c, ldc);
        return;
    }
    UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t v = 0; v < vectors; v++) {
            if (add)
                acc[r][v] += LOAD(c + r * ldc + v * VLEN);
            STORE(c + r * ldc + v * VLEN, acc[r][v]);
        }
}

/* How many of the rows that are left go into the next tile: the last two tiles share theirs evenly,
 * since a tile of few rows waits for its own sums. Tall tiles come in few heights, which are enough
 * for that. */
CNET_INLINE size_t F(height)(size_t left)
{
    if (left >= 2 * CNET_MR)
        return CNET_MR;
#if CNET_MR > 6
    if (left > CNET_MR)
        return left < CNET_MR + 4 ? 8 : CNET_MR;
    return left <= 6 || left == 8 || left == CNET_MR ? left : (left + 1) / 2;
#else
    return left <= CNET_MR ? left : (left + 1) / 2;
#endif
}

/* A panel of B, `vectors` (constant) vectors wide, against M rows of A. */
CNET_INLINE void F(column)(const size_t vectors, size_t M, size_t K, const T *a, size_t ars,
                           size_t acs, const T *b, size_t ldb, const T *start, int add, T *c,
                           size_t ldc, size_t columns)
{
    for (size_t rows; M; M -= rows, a += rows * ars, c += rows * ldc) {
        rows = F(height)(M);
        switch (rows) {
#define ROWS(n)                                                                             \
    case n:                                                                                 \
        F(tile)(n, vectors, K, a, ars, acs, b, ldb, start, add, c, ldc, columns);           \
        break;
            ROWS(1) ROWS(2) ROWS(3) ROWS(4)
#if CNET_MR > 4
            ROWS(5) ROWS(6)
#endif
#if CNET_MR > 6
            ROWS(8) ROWS(CNET_MR)
#endif
#undef ROWS
        }
    }
}

static void F(panel)(size_t M, size_t K, const T *a, size_t ars, size_t acs, const T *b,
                     size_t ldb, const T *start, int add, T *c, size_t ldc, size_t columns)
{
    if (columns > VLEN)
        F(column)(CNET_NV, M, K, a, ars, acs, b, ldb, start, add, c, ldc, columns);
    else
        F(column)(1, M, K, a, ars, acs, b, ldb, start, add, c, ldc, columns);
}

/* The same with A and B packed: whole tiles, which are most of a large product, have code of their
 * own, in which the distances are constants. */
static void F(packed_panel)(size_t M, size_t K, const T *a, const T *b, const T *start, int add,
                            T *c, size_t ldc, size_t columns)
{
    for (size_t rows; M; M -= rows, a += CNET_MR * K, c += rows * ldc) {
        rows = F(height)(M);
        if (rows == CNET_MR && columns > VLEN)
            F(tile)(CNET_MR, CNET_NV, K, a, 1, CNET_MR, b, NR, start, add, c, ldc, columns);
        else
            F(panel)(rows, K, a, 1, CNET_MR, b, NR, start, add, c, ldc, columns);
    }
}

/* The halves of two vectors, lane by lane in turn: a0 b0 a1 b1 ... */
#undef INTERLEAVE_LOW
#undef INTERLEAVE_HIGH
#if CNET_LANES == 2
#define INTERLEAVE_LOW(a, b) __builtin_shufflevector(a, b, 0, 2)
#define INTERLEAVE_HIGH(a, b) __builtin_shufflevector(a, b, 1, 3)
#elif CNET_LANES == 4
#define INTERLEAVE_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define INTERLEAVE_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#elif CNET_LANES == 8
#define INTERLEAVE_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define INTERLEAVE_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#elif CNET_LANES == 16
#define INTERLEAVE_LOW(a, b) \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define INTERLEAVE_HIGH(a, b) \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#endif

/* out[k][j] = b[j][k] for a square of VLEN x VLEN: log2(VLEN) rounds of interleaving row i with row
 * i + VLEN/2 make the transpose. */
CNET_INLINE void F(transpose_square)(const T *b, size_t ldb, T *out, size_t ldo)
{
    F(vec) row[VLEN], next[VLEN];
    UNROLL for (size_t i = 0; i < VLEN; i++)
        row[i] = LOAD(b + i * ldb);
    UNROLL for (size_t round = 1; round < VLEN; round *= 2) {
        UNROLL for (size_t i = 0; i < VLEN / 2; i++) {
            next[2 * i] = INTERLEAVE_LOW(row[i], row[i + VLEN / 2]);
            next[2 * i + 1] = INTERLEAVE_HIGH(row[i], row[i + VLEN / 2]);
        }
        UNROLL for (size_t i = 0; i < VLEN; i++)
            row[i] = next[i];
    }
    UNROLL for (size_t i = 0; i < VLEN; i++)
        STORE(out + i * ldo, row[i]);
}

/* out (K, NR) = columns of B, the surplus ones zero. */
static void F(pack_panel)(size_t K, size_t columns, const T *b, size_t brs, size_t bcs, T *out)
{
    size_t done = 0;
    if (columns < NR)
        memset(out, 0, K * NR * sizeof(T));
    else if (bcs == 1) {
        for (size_t k = 0; k < K; k++)
            for (size_t v = 0; v < CNET_NV; v++)
                STORE(out + k * NR + v * VLEN, LOAD(b + k * brs + v * VLEN));
        return;
    } else if (brs == 1)
        for (; done + VLEN <= K; done += VLEN)
            for (size_t v = 0; v < CNET_NV; v++)
                F(transpose_square)(b + v * VLEN * bcs + done, bcs, out + done * NR + v * VLEN,
                                    NR);
    for (size_t j = 0; j < columns; j++)
        for (size_t k = done; k < K; k++)
            out[k * NR + j] = b[k * brs + j * bcs];
}

/* out = rows of A tile by tile, and in a tile k by k its rows together, as the tile reads them. The
 * last tile's surplus places are left as they are. */
static void F(pack_block)(size_t M, size_t K, const T *a, size_t ars, size_t acs, T *out)
{
    for (size_t rows; M; M -= rows, a += rows * ars, out += CNET_MR * K) {
        rows = F(height)(M);
        size_t k = 0;
        if (rows == CNET_MR && ars == 1)
            for (; k < K; k++)
                memcpy(out + k * CNET_MR, a + k * acs, CNET_MR * sizeof(T));
        else if (rows == CNET_MR && acs == 1 && M >= VLEN)
            /* Squares side by side, the last one flush with the tile's end; where a square is
             * longer than a tile, what it writes too much is overwritten next. */
            for (; k + VLEN <= K; k += VLEN)
                for (size_t r = 0; r < CNET_MR; r += VLEN) {
                    const size_t at = r + VLEN <= CNET_MR || CNET_MR < VLEN ? r : CNET_MR - VLEN;
                    F(transpose_square)(a + at * ars + k, ars, out + k * CNET_MR + at, CNET_MR);
                }
        for (; k < K; k++)
            for (size_t r = 0; r < rows; r++)
                out[k * CNET_MR + r] = a[r * ars + k * acs];
    }
}

static void F(gemm_packed)(size_t M, size_t N, size_t K, const T *a, size_t ars, size_t acs,
                           const T *b, size_t brs, size_t bcs, const T *bias, int add, T *c,
                           size_t ldc, T *scratch)
{
    T *const packed_a = scratch, *const slab = scratch + CNET_MC * CNET_KC;
    /* Blocks of even height, in whole tiles. */
    const size_t blocks = (M + CNET_MC - 1) / CNET_MC;
    const size_t height = ((M + blocks - 1) / blocks + CNET_MR - 1) / CNET_MR * CNET_MR;
    /* A block that meets few panels costs less to read where it lies than to copy first. */
    const int pack_a = N > NR && (acs != 1 || (M > 64 && N >= 256));
    /* What lies in the second-level cache is packed anew for each block as fast as it is read. */
    const int keep = blocks > 1 && K * N * sizeof(T) > CNET_KEEP_FROM;
    const size_t width = keep ? SLAB : N;
    for (size_t j0 = 0; j0 < N; j0 += width) {
        const size_t end = N - j0 < width ? N : j0 + width;
        for (size_t k0 = 0; k0 < K; k0 += CNET_KC) {
            const size_t depth = K - k0 < CNET_KC ? K - k0 : CNET_KC;
            for (size_t i0 = 0; i0 < M; i0 += height) {
                const size_t rows = M - i0 < height ? M - i0 : height;
                const T *block = a + i0 * ars + k0 * acs;
                if (pack_a)
                    F(pack_block)(rows, depth, block, ars, acs, packed_a);
                for (size_t j = j0; j < end; j += NR) {
                    const size_t columns = N - j < NR ? N - j : NR;
                    T *const panel = slab + (keep ? (j - j0) * depth : 0);
                    T start[NR] = {0};
                    if (bias && k0 == 0)
                        memcpy(start, bias + j, columns * sizeof(T));
                    if (i0 == 0 || !keep)
                        F(pack_panel)(depth, columns, b + k0 * brs + j * bcs, brs, bcs, panel);
                    T *const part = c + i0 * ldc + j;
                    if (pack_a)
                        F(packed_panel)(rows, depth, packed_a, panel, start, add || k0, part, ldc,
                                        columns);
                    else
                        F(panel)(rows, depth, block, ars, acs, panel, NR, start, add || k0, part,
                                 ldc, columns);
                }
            }
        }
    }
}
