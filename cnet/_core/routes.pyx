"""Where the columns of a table go: into the rows of tables of parameters, or through."""

from libc.stdlib cimport calloc, free

from cnet._core.csrc cimport CNET_NONE, cnet_route, cnet_source
from cnet._core.kernels cimport first_other


cdef class Routes:
    """The routes of one columns operation (csrc/columns.h).

    Parameters
    ----------
    routes : sequence of dict
        With the keys column, width, table (an offset in elements into the parameters, or None for
        columns that pass through), categories, unknown (an index or None) and name.
    inputs, size : int
        Columns of the input, elements of the parameters.
    itemsize : int
        Of the network: float32 holds whole numbers up to 2^24.

    Raises
    ------
    ValueError
        For what does not fit.
    """

    def __cinit__(self, routes, Py_ssize_t inputs, Py_ssize_t size, Py_ssize_t itemsize):
        cdef cnet_route *route
        cdef int i
        self.count = len(routes)
        self.at = <cnet_route *>calloc(max(self.count, 1), sizeof(cnet_route))
        if self.at == NULL:
            raise MemoryError
        self.names = tuple([given["name"] for given in routes])
        seen = set()
        for i, given in enumerate(routes):
            route = &self.at[i]
            column, width, table = given["column"], given["width"], given["table"]
            categories, unknown = given["categories"], given["unknown"]
            reach = 1 if table is not None else width
            if width < 1 or column < 0 or column + reach > inputs:
                raise ValueError(f"route {i} reads columns that are not among the {inputs}")
            route.column, route.width, route.categories = column, width, categories
            route.table = route.unknown = CNET_NONE
            if table is not None:
                if table < 0 or categories < 1 or table + categories * width > size:
                    raise ValueError(f"the table of route {i} lies outside the parameters")
                if categories > 1 << 24 and itemsize == 4:
                    raise ValueError(
                        f"{given['name']} has {categories} categories, but float32 holds whole "
                        "numbers up to 2**24 only; make the network with dtype='float64'"
                    )
                route.table, route.first = table, table not in seen
                seen.add(table)
            if unknown is not None:
                if not 0 <= unknown < categories:
                    raise ValueError(f"unknown of route {i} is {unknown}, expected a category")
                route.unknown = unknown
            self.width += width

    def __dealloc__(self):
        free(self.at)

    cdef int check(self, const cnet_source *source, str what) except -1:
        cdef double value = 0
        cdef size_t row
        cdef Py_ssize_t i
        for i in range(self.count):
            if self.at[i].table == CNET_NONE:
                continue
            if source.scale != 1:
                raise ValueError(
                    f"scale={source.scale:g} would multiply the categories of {self.names[i]}; "
                    "leave scale out (normalize_inputs leaves categories alone)"
                )
            with nogil:
                row = first_other(source, self.at[i].column, self.at[i].categories,
                                  self.at[i].unknown != CNET_NONE, &value)
            if row < source.rows:
                remedy = (
                    "np.unique(..., return_inverse=True) numbers the categories of a column"
                    if value != value // 1 or value - value != 0 else
                    "give it more categories, or one that stands for all others, as in "
                    f"cnet.Embedding({self.at[i].categories}, {self.at[i].width}, unknown=0)"
                )
                raise ValueError(
                    f"{what} at row {row}, column {self.at[i].column} is {value:.15g}, but "
                    f"{self.names[i]} takes whole numbers 0..{self.at[i].categories - 1}; {remedy}"
                )
        return 0
