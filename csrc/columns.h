/* columns.h - the operation that reads categories: rows of tables, and columns that pass through,
 * side by side. Part of layers.h.
 *
 * It reads x (B, I) by the routes of op->routes, each of which writes the next `width` columns of y:
 * row number x[:, column] of its table (categories, width), or columns of x as they are. Whole
 * numbers up to 2^24 are exact in float. Whatever x holds, only the table is read: numbers that are
 * no category are those of `unknown`, or of category 0, and cnet_source_first_other finds them before.
 *
 * Nothing is saved but x. A table's gradient is dense; rows of the batch are added to it in their
 * order, whoever works on it, and routes that share a table (`first`: the first of them) in theirs. */

static size_t F(category)(const cnet_route *route, T x)
{
    if (x >= 0 && x < (T)route->categories)
        return (size_t)x;
    return route->unknown == CNET_NONE ? 0 : route->unknown;
}

static void F(columns_op_forward)(const cnet_op *op, const cnet_run *run)
{
    const T *x = run->value[op->x];
    T *y = run->value[op->y];
    for (size_t i = 0; i < run->rows; i++, x += op->inputs)
        for (size_t r = 0; r < op->route_count; r++) {
            const cnet_route *route = &op->routes[r];
            const T *from = x + route->column;
            if (route->table != CNET_NONE)
                from = (const T *)run->parameters + route->table
                       + F(category)(route, *from) * route->width;
            F(copy_row)(route->width * sizeof(T), (const char *)from, (char *)y);
            y += route->width;
        }
}

static void F(columns_op_backward)(const cnet_op *op, const cnet_run *run)
{
    const T *x = run->value[op->x], *dy = run->slope[op->y];
    T *dx = F(op_dx)(op, run), *g = run->gradients;
    if (run->fresh)
        for (size_t r = 0; r < op->route_count; r++)
            if (op->routes[r].first)
                memset(g + op->routes[r].table, 0,
                       op->routes[r].categories * op->routes[r].width * sizeof(T));
    if (dx)
        memset(dx, 0, run->rows * op->inputs * sizeof(T));
    for (size_t i = 0; i < run->rows; i++, x += op->inputs)
        for (size_t r = 0; r < op->route_count; r++) {
            const cnet_route *route = &op->routes[r];
            if (route->table != CNET_NONE) {
                T *row = g + route->table
                         + F(category)(route, x[route->column]) * route->width;
                CNET_EACH for (size_t k = 0; k < route->width; k++)
                    row[k] += dy[k];
            } else if (dx) {
                memcpy(dx + i * op->inputs + route->column, dy, route->width * sizeof(T));
            }
            dy += route->width;
        }
}
