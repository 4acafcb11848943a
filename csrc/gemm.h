/* gemm.h - matrix products for one dtype of one instruction set (a template, see template.h).
 *
 * C (M, N) = A (M, K) B (K, N), cut as in Goto and van de Geijn (2008):
 *   tile     MR x NR of C in registers, a loop over k
 *   panel    KC x NR of B, packed contiguous so that it stays in the first-level cache
 *   block    MC x KC of A in the second-level cache, packed where its rows are not contiguous (a
 *            weight gradient)
 * Small products (few rows of A) read B where it lies instead. The order of every sum depends on
 * the shape alone. Edge tiles run the same code on panels padded with zeros, or read past a row's
 * end into the next row where that is inside B, and throw the surplus columns away.
 *
 * CNET_VBYTES (vector size), CNET_MR (rows of a tile) come from the instruction set's file; a tile
 * is CNET_NV = 2 vectors wide. */

#define CNET_NV 2
#define CNET_WIDE 8 /* vectors of a tile that is one row high */
#define CNET_KC 256
#define CNET_MC 264 /* a multiple of every CNET_MR */

#define VLEN (CNET_VBYTES / sizeof(T))
#define NR (CNET_NV * VLEN)

typedef T F(vec) __attribute__((vector_size(CNET_VBYTES)));
typedef T F(vec_anywhere) __attribute__((vector_size(CNET_VBYTES), may_alias, aligned(sizeof(T))));
#define LOAD(p) ((F(vec))*(const F(vec_anywhere) *)(p))
#define STORE(p, v) (*(F(vec_anywhere) *)(p) = (v))
#define UNROLL _Pragma("GCC unroll 16")

_Static_assert((CNET_KC * NR + CNET_MC * CNET_KC) * sizeof(T) <= CNET_SCRATCH_BYTES,
               "a panel of B and a block of A must fit into the scratch");

/* One tile of `rows` x `vectors`, both constants where it is called, so that acc stays in
 * registers. A sum begins with `start` (a row of biases) or, if that is NULL, with zero; `add` adds
 * to C instead of overwriting. Only the first `columns` columns are stored. */
CNET_INLINE void F(tile)(const size_t rows, const size_t vectors, size_t K, const T *a, size_t ars,
                         size_t acs, const T *b, size_t ldb, const T *start, int add, T *c,
                         size_t ldc, size_t columns)
{
    F(vec) acc[CNET_MR][CNET_WIDE], bk[CNET_WIDE];
    UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t v = 0; v < vectors; v++)
            acc[r][v] = start ? LOAD(start + v * VLEN) : (F(vec)){0};
    for (size_t k = 0; k < K; k++) {
        UNROLL for (size_t v = 0; v < vectors; v++)
            bk[v] = LOAD(b + k * ldb + v * VLEN);
        UNROLL for (size_t r = 0; r < rows; r++) {
            const T s = a[r * ars + k * acs];
            UNROLL for (size_t v = 0; v < vectors; v++)
                acc[r][v] += s * bk[v];
        }
    }
    const size_t whole = columns / VLEN;
    UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t v = 0; v < vectors; v++)
            if (v < whole) {
                if (add)
                    acc[r][v] += LOAD(c + r * ldc + v * VLEN);
                STORE(c + r * ldc + v * VLEN, acc[r][v]);
            }
    if (columns == vectors * VLEN)
        return;
    /* The last columns, which fill no vector. */
    UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t v = 0; v < vectors; v++)
            if (v == whole)
                for (size_t j = 0; j < columns % VLEN; j++) {
                    T *p = c + r * ldc + v * VLEN + j;
                    *p = add ? *p + acc[r][v][j] : acc[r][v][j];
                }
}

/* A panel of B, `vectors` (constant) vectors wide, against M rows of A. `step` is how far the next
 * tile's rows are, per row: ars, unless A is packed tile by tile. */
CNET_INLINE void F(column)(const size_t vectors, size_t M, size_t K, const T *a, size_t step,
                           size_t ars, size_t acs, const T *b, size_t ldb, const T *start, int add,
                           T *c, size_t ldc, size_t columns)
{
    size_t i = 0;
    for (; i + CNET_MR <= M; i += CNET_MR)
        F(tile)(CNET_MR, vectors, K, a + i * step, ars, acs, b, ldb, start, add, c + i * ldc, ldc,
                columns);
    a += i * step;
    c += i * ldc;
    switch (M - i) {
#define ROWS(n)                                                                      \
    case n:                                                                          \
        F(tile)(n, vectors, K, a, ars, acs, b, ldb, start, add, c, ldc, columns);    \
        break;
        ROWS(1) ROWS(2) ROWS(3)
#if CNET_MR > 4
        ROWS(4) ROWS(5)
#endif
#if CNET_MR > 6
        ROWS(6) ROWS(7) ROWS(8) ROWS(9) ROWS(10) ROWS(11)
#endif
#undef ROWS
    }
}

static void F(panel)(size_t M, size_t K, const T *a, size_t step, size_t ars, size_t acs,
                     const T *b, size_t ldb, const T *start, int add, T *c, size_t ldc,
                     size_t columns)
{
    if (columns > VLEN)
        F(column)(CNET_NV, M, K, a, step, ars, acs, b, ldb, start, add, c, ldc, columns);
    else
        F(column)(1, M, K, a, step, ars, acs, b, ldb, start, add, c, ldc, columns);
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
    for (size_t i = 0; i < M; i += CNET_MR) {
        const size_t rows = M - i < CNET_MR ? M - i : CNET_MR;
        if (rows == CNET_MR && ars == 1)
            for (size_t k = 0; k < K; k++)
                memcpy(out + k * CNET_MR, a + i + k * acs, CNET_MR * sizeof(T));
        else
            for (size_t r = 0; r < rows; r++)
                for (size_t k = 0; k < K; k++)
                    out[k * CNET_MR + r] = a[(i + r) * ars + k * acs];
        out += CNET_MR * K;
    }
}

/* Few rows: B is read where it lies. A panel's surplus columns read on into the next row of B; the
 * last rows of B, where that would leave it, go through a padded copy. */
static void F(gemm_thin)(size_t M, size_t N, size_t K, const T *a, size_t ars, size_t acs,
                         const T *b, size_t ldb, const T *bias, int add, T *c, size_t ldc)
{
    size_t j = 0;
    if (M == 1)
        for (; j + CNET_WIDE * VLEN <= N; j += CNET_WIDE * VLEN)
            F(tile)(1, CNET_WIDE, K, a, ars, acs, b + j, ldb, bias ? bias + j : NULL, add, c + j,
                    ldc, CNET_WIDE * VLEN);
    for (; j + NR <= N; j += NR)
        F(panel)(M, K, a, ars, ars, acs, b + j, ldb, bias ? bias + j : NULL, add, c + j, ldc, NR);
    if (j == N)
        return;
    const size_t columns = N - j, unsafe_rows = (NR - columns + ldb - 1) / ldb;
    const size_t unsafe = unsafe_rows < K ? unsafe_rows : K, safe = K - unsafe;
    T start[NR] = {0}, tail[NR * NR];
    if (bias)
        memcpy(start, bias + j, columns * sizeof(T));
    if (safe)
        F(panel)(M, safe, a, ars, ars, acs, b + j, ldb, start, add, c + j, ldc, columns);
    F(pack_panel)(unsafe, columns, b + safe * ldb + j, ldb, 1, tail);
    F(panel)(M, unsafe, a + safe * acs, ars, ars, acs, tail, NR, safe ? NULL : start, safe || add,
             c + j, ldc, columns);
}

static void F(gemm_packed)(size_t M, size_t N, size_t K, const T *a, size_t ars, size_t acs,
                           const T *b, size_t brs, size_t bcs, const T *bias, int add, T *c,
                           size_t ldc, T *scratch)
{
    T *const packed_b = scratch, *const packed_a = scratch + CNET_KC * NR;
    /* Blocks of even height, in whole tiles. */
    const size_t blocks = (M + CNET_MC - 1) / CNET_MC;
    const size_t height = ((M + blocks - 1) / blocks + CNET_MR - 1) / CNET_MR * CNET_MR;
    /* A block that meets one panel only is read once: copying it first would cost as much. */
    const int pack_a = acs != 1 && N > NR;
    for (size_t i0 = 0; i0 < M; i0 += height) {
        const size_t rows = M - i0 < height ? M - i0 : height;
        for (size_t k0 = 0; k0 < K; k0 += CNET_KC) {
            const size_t depth = K - k0 < CNET_KC ? K - k0 : CNET_KC;
            const T *block = a + i0 * ars + k0 * acs;
            if (pack_a)
                F(pack_block)(rows, depth, block, ars, acs, packed_a);
            for (size_t j = 0; j < N; j += NR) {
                const size_t columns = N - j < NR ? N - j : NR;
                T start[NR] = {0};
                if (bias && k0 == 0)
                    memcpy(start, bias + j, columns * sizeof(T));
                F(pack_panel)(depth, columns, b + k0 * brs + j * bcs, brs, bcs, packed_b);
                if (pack_a)
                    F(panel)(rows, depth, packed_a, depth, 1, CNET_MR, packed_b, NR, start, add || k0,
                             c + i0 * ldc + j, ldc, columns);
                else
                    F(panel)(rows, depth, block, ars, ars, acs, packed_b, NR, start, add || k0,
                             c + i0 * ldc + j, ldc, columns);
            }
        }
    }
}

/* Sum of a vector's lanes in a fixed order. */
CNET_INLINE T F(lanes)(F(vec) v)
{
    T lane[VLEN];
    STORE(lane, v);
    for (size_t n = VLEN / 2; n; n /= 2)
        for (size_t i = 0; i < n; i++)
            lane[i] += lane[i + n];
    return lane[0];
}

/* rows x columns dot products of rows of A with rows of B, both contiguous along k. */
CNET_INLINE void F(dots)(const size_t rows, const size_t columns, size_t K, const T *a, size_t lda,
                         const T *b, size_t ldb, int add, T *c, size_t ldc)
{
    F(vec) acc[3][4], av[3];
    UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t j = 0; j < columns; j++)
            acc[r][j] = (F(vec)){0};
    size_t k = 0;
    for (; k + VLEN <= K; k += VLEN) {
        UNROLL for (size_t r = 0; r < rows; r++)
            av[r] = LOAD(a + r * lda + k);
        UNROLL for (size_t j = 0; j < columns; j++) {
            const F(vec) bv = LOAD(b + j * ldb + k);
            UNROLL for (size_t r = 0; r < rows; r++)
                acc[r][j] += av[r] * bv;
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < columns; j++) {
            T sum = F(lanes)(acc[r][j]);
            for (size_t q = k; q < K; q++)
                sum += a[r * lda + q] * b[j * ldb + q];
            c[r * ldc + j] = add ? c[r * ldc + j] + sum : sum;
        }
}

/* C = A B^T with both rows contiguous (an input gradient): nothing is packed or transposed. */
static void F(gemm_dots)(size_t M, size_t N, size_t K, const T *a, size_t lda, const T *b,
                         size_t ldb, int add, T *c, size_t ldc)
{
    for (size_t j = 0; j < N; j += 4) {
        const size_t columns = N - j < 4 ? N - j : 4;
        for (size_t i = 0; i < M; i += 3) {
            const size_t rows = M - i < 3 ? M - i : 3;
            const T *ai = a + i * lda, *bj = b + j * ldb;
            T *cij = c + i * ldc + j;
            if (columns == 4 && rows == 3)
                F(dots)(3, 4, K, ai, lda, bj, ldb, add, cij, ldc);
            else if (columns == 4 && rows == 1)
                F(dots)(1, 4, K, ai, lda, bj, ldb, add, cij, ldc);
            else
                for (size_t r = 0; r < rows; r++)
                    for (size_t q = 0; q < columns; q++)
                        F(dots)(1, 1, K, ai + r * lda, lda, bj + q * ldb, ldb, add,
                                cij + r * ldc + q, ldc);
        }
    }
}

/* The one place where a product's path is chosen, by its shape and layout alone. */
static void F(gemm)(size_t M, size_t N, size_t K, const void *a, size_t ars, size_t acs,
                    const void *b, size_t brs, size_t bcs, const void *bias, int add, void *c,
                    size_t ldc, void *scratch)
{
    if (M == 0 || N == 0)
        return;
    if (F(blas_gemm)(M, N, K, a, ars, acs, b, brs, bcs, bias, add, c, ldc))
        return;
    if (bcs == 1 && (M <= 2 * CNET_MR || K <= 8))
        F(gemm_thin)(M, N, K, a, ars, acs, b, brs, bias, add, c, ldc);
    else if (acs == 1 && brs == 1 && bcs != 1 && !bias && M <= 2 * CNET_MR)
        F(gemm_dots)(M, N, K, a, ars, b, bcs, add, c, ldc);
    else
        F(gemm_packed)(M, N, K, a, ars, acs, b, brs, bcs, bias, add, c, ldc, scratch);
}

#undef LOAD
#undef STORE
#undef UNROLL
#undef NR
#undef VLEN
