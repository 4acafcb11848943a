"""What every test file may ask for."""

import pytest

from cnet._core import kernels


@pytest.fixture(params=[False, True], ids=["own", "blas"])
def blas(request):
    """Products by cnet's own kernels alone, then with OpenBLAS for the large ones."""
    kernels.use_blas(request.param)
    yield request.param
    kernels.use_blas(True)


@pytest.fixture
def own_products():
    """Products by cnet's own kernels alone."""
    kernels.use_blas(False)
    yield
    kernels.use_blas(True)
