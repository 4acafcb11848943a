"""What `cimport cnet` gives: how functions in compiled code become parts of a network.

Nothing of cnet is linked, and nothing here depends on how it is built: the functions are handed
over in capsules, which are named after what they are. `examples/custom_kernel/` is a whole project.
"""

from cpython.pycapsule cimport PyCapsule_New

# An elementwise activation over n values: y[i] = f(x[i]), and dx[i] = dy[i] f'(x[i]), in float32
# and float64. `settings` has the fields of the class, in their order. Called without the GIL, from
# several threads at once; y and dx overlap nothing.
ctypedef void (*forward_f32)(size_t n, const double *settings, const float *x,
                             float *y) noexcept nogil
ctypedef void (*forward_f64)(size_t n, const double *settings, const double *x,
                             double *y) noexcept nogil
ctypedef void (*backward_f32)(size_t n, const double *settings, const float *x, const float *y,
                              const float *dy, float *dx) noexcept nogil
ctypedef void (*backward_f64)(size_t n, const double *settings, const double *x, const double *y,
                              const double *dy, double *dx) noexcept nogil


cdef inline dict activation_kernels(forward_f32 f32, backward_f32 f32_backward,
                                    forward_f64 f64, backward_f64 f64_backward):
    """What a subclass of `cnet.custom.CompiledActivation` sets as its `kernels`."""
    return {
        "float32": (PyCapsule_New(<void *>f32, "cnet.activation.forward.f32", NULL),
                    PyCapsule_New(<void *>f32_backward, "cnet.activation.backward.f32", NULL)),
        "float64": (PyCapsule_New(<void *>f64, "cnet.activation.forward.f64", NULL),
                    PyCapsule_New(<void *>f64_backward, "cnet.activation.backward.f64", NULL)),
    }
