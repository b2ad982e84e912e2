"""The tests; what they share is in `tests.support`, whose assertions pytest explains too."""

import pytest

pytest.register_assert_rewrite("tests.support")
