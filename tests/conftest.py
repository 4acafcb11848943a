"""What every test file may ask for."""

import pytest

from cnet._core import kernels


@pytest.fixture
def own_products():
    """Products by cnet's own kernels alone, whatever their size."""
    kernels.use_blas(False)
    yield
    kernels.use_blas(True)
