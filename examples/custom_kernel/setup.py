"""Builds the compiled half of the example."""

import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

# As cnet's own kernels: loops become vector code, NaN and infinity stay what they are.
FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math"] if sys.platform != "win32" else ["/O2"]

setup(
    ext_modules=cythonize(
        [Extension("swoosh._kernels", ["swoosh/_kernels.pyx"], extra_compile_args=FLAGS)],
        compiler_directives={"language_level": 3, "cdivision": True},
    )
)
