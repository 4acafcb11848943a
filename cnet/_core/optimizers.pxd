cdef int find(str name) except -1
