/* thin.h - products that read their operands where they lie, for one dtype of one instruction set (a
 * template, see template.h; tile and panel are gemm.h's): of few rows, of rows with rows, and of a
 * column with a row. */

/* K = 1, the weight gradient of one row: every element is a single product. */
static void F(gemm_outer)(size_t M, size_t N, const T *a, size_t ars, const T *b, int add, T *c,
                          size_t ldc)
{
    const F(vec) zero = {0};
    for (size_t i = 0; i < M; i++, c += ldc) {
        const T s = a[i * ars];
        size_t j = 0;
        for (; j + VLEN <= N; j += VLEN) {
            const F(vec) product = zero + s * LOAD(b + j);
            STORE(c + j, add ? product + LOAD(c + j) : product);
        }
        for (; j < N; j++) {
            const T product = 0 + s * b[j];
            c[j] = add ? product + c[j] : product;
        }
    }
}

/* Few rows: B is read where it lies. A panel's surplus columns read on into the next row of B; the
 * last rows of B, where that would leave it, go through a padded copy. */
static void F(gemm_thin)(size_t M, size_t N, size_t K, const T *a, size_t ars, size_t acs,
                         const T *b, size_t ldb, const T *bias, int add, T *c, size_t ldc)
{
    size_t j = 0;
    if (M == 1) {
        /* Each sum waits for itself: the more of them side by side the better. */
        for (; j + CNET_WIDE * VLEN <= N; j += CNET_WIDE * VLEN)
            F(tile)(1, CNET_WIDE, K, a, ars, acs, b + j, ldb, bias ? bias + j : F(zeros), add, c + j,
                    ldc, CNET_WIDE * VLEN);
        for (; j + CNET_WIDE / 2 * VLEN <= N; j += CNET_WIDE / 2 * VLEN)
            F(tile)(1, CNET_WIDE / 2, K, a, ars, acs, b + j, ldb, bias ? bias + j : F(zeros), add,
                    c + j, ldc, CNET_WIDE / 2 * VLEN);
    }
    for (; j + NR <= N; j += NR)
        F(panel)(M, K, a, ars, acs, b + j, ldb, bias ? bias + j : F(zeros), add, c + j, ldc, NR);
    if (j == N)
        return;
    const size_t columns = N - j, unsafe_rows = (NR - columns + ldb - 1) / ldb;
    const size_t unsafe = unsafe_rows < K ? unsafe_rows : K, safe = K - unsafe;
    T start[NR] = {0}, tail[NR * NR];
    if (bias)
        memcpy(start, bias + j, columns * sizeof(T));
    if (safe)
        F(panel)(M, safe, a, ars, acs, b + j, ldb, start, add, c + j, ldc, columns);
    F(pack_panel)(unsafe, columns, b + safe * ldb + j, ldb, 1, tail);
    F(panel)(M, unsafe, a + safe * acs, ars, acs, tail, NR, safe ? F(zeros) : start, safe || add,
             c + j, ldc, columns);
}

/* out[j] = sum of the lanes of v[j], for four vectors at once: adding interleaved halves leaves each
 * lane to one of them, in turn. Inlined, or the sums would not stay in registers. */
typedef T F(four) __attribute__((vector_size(4 * sizeof(T)), may_alias, aligned(sizeof(T))));
CNET_INLINE void F(four_sums)(const F(vec) *v, T *out)
{
    T lane[2 * VLEN];
    const F(vec) ac = INTERLEAVE_LOW(v[0], v[2]) + INTERLEAVE_HIGH(v[0], v[2]);
    const F(vec) bd = INTERLEAVE_LOW(v[1], v[3]) + INTERLEAVE_HIGH(v[1], v[3]);
    STORE(lane, INTERLEAVE_LOW(ac, bd));
    STORE(lane + VLEN, INTERLEAVE_HIGH(ac, bd));
    F(four) sum = *(const F(four) *)lane;
    UNROLL for (size_t i = 4; i < 2 * VLEN; i += 4)
        sum += *(const F(four) *)(lane + i);
    *(F(four) *)out = sum;
}

/* The last places of the rows, fewer than a vector has, added to their dot products. */
static __attribute__((noinline)) void F(dots_rest)(size_t rows, size_t columns, size_t K,
                                                   const T *a, size_t lda, const T *b, size_t ldb,
                                                   T (*sum)[4])
{
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < columns; j++)
            for (size_t k = 0; k < K; k++)
                sum[r][j] += a[r * lda + k] * b[j * ldb + k];
}

/* rows x columns (each up to 4, constants) dot products of rows of A with rows of B, both contiguous
 * along k. */
CNET_INLINE void F(dots)(const size_t rows, const size_t columns, size_t K, const T *a, size_t lda,
                         const T *b, size_t ldb, int add, T *c, size_t ldc)
{
    F(vec) acc[3][4] = {0}, av[3];
    T sum[3][4];
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
    UNROLL for (size_t r = 0; r < rows; r++)
        F(four_sums)(acc[r], sum[r]);
    if (k < K)
        F(dots_rest)(rows, columns, K - k, a + k, lda, b + k, ldb, sum);
    UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t j = 0; j < columns; j++)
            c[r * ldc + j] = add ? c[r * ldc + j] + sum[r][j] : sum[r][j];
}

/* C = A B^T with both rows contiguous (an input gradient): nothing is packed or transposed. */
static void F(gemm_dots)(size_t M, size_t N, size_t K, const T *a, size_t lda, const T *b,
                         size_t ldb, int add, T *c, size_t ldc)
{
    for (size_t j = 0; j < N; j += 4) {
        const size_t columns = N - j < 4 ? N - j : 4;
        for (size_t i = 0; i < M; i += 3) {
            const T *ai = a + i * lda, *bj = b + j * ldb;
            T *cij = c + i * ldc + j;
            const size_t rows = M - i < 3 ? M - i : 3;
            if (columns == 4 && rows == 3)
                F(dots)(3, 4, K, ai, lda, bj, ldb, add, cij, ldc);
            else if (columns == 4 && rows == 2)
                F(dots)(2, 4, K, ai, lda, bj, ldb, add, cij, ldc);
            else if (columns == 4)
                F(dots)(1, 4, K, ai, lda, bj, ldb, add, cij, ldc);
            else
                for (size_t q = 0; q < columns; q++)
                    for (size_t r = 0; r < rows; r++)
                        F(dots)(1, 1, K, ai + r * lda, lda, bj + q * ldb, ldb, add,
                                cij + r * ldc + q, ldc);
        }
    }
}
