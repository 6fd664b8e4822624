import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdepth import _misc


def double(x):
    return x + x


def test_exact_verbs_compute_in_float64_whatever_the_caller_chose(x32):
    answer = _misc.in_float64("double", double, jnp.float32(0.1))
    assert isinstance(answer, np.float64)
    assert answer == 2 * float(np.float32(0.1))
    assert jnp.result_type(float) == jnp.float32


def test_float64_input_survives_a_32_bit_caller(x32):
    assert _misc.in_float64("double", double, np.float64(0.1)) == 0.2


def test_exact_verbs_refuse_a_32_bit_trace_and_name_the_cure(x32):
    with pytest.raises(ValueError, match=r"`double`.*jax\.enable_x64\(True\)"):
        jax.jit(lambda x: _misc.in_float64("double", double, x))(1.0)


def test_exact_verbs_run_inside_a_64_bit_trace(x64):
    answer = jax.vmap(lambda x: _misc.in_float64("double", double, x))(
        jnp.arange(3.0, dtype=jnp.float32)
    )
    assert answer.dtype == jnp.float64
    assert answer.tolist() == [0.0, 2.0, 4.0]


def test_concrete_work_inside_a_trace_stays_out_of_the_program(x32):
    def program(x):
        answer = _misc.in_float64("double", double, 0.1)
        assert isinstance(answer, np.float64)
        return x * np.float32(answer)

    assert float(jax.jit(program)(1.0)) == np.float32(0.2)


@pytest.mark.parametrize("value", [0, -1, 1.0, "3", True, np.bool_(True), None, 9])
def test_integers_out_of_range_are_refused_by_name(value):
    with pytest.raises(ValueError, match="`width` must be an integer, at least 1 and at most 8"):
        _misc.check_integer("width", value, 1, 8)


def test_numpy_integers_become_python_integers():
    assert type(_misc.check_integer("width", np.int64(3), 1)) is int


@pytest.mark.parametrize(
    "interval", [(1.0, 0.0), (0.0, 0.0), (0.0, np.inf), (np.nan, 1.0), 3.0, (1, 2, 3)]
)
def test_bad_intervals_are_refused(interval):
    with pytest.raises(ValueError, match="`interval` must be"):
        _misc.check_interval(interval)


def test_the_working_dtype_follows_the_arrays():
    assert (
        _misc.working_dtype({"a": np.zeros(2, np.float32), "b": np.zeros(2, np.int64)})
        == np.float32
    )
    assert _misc.working_dtype(3.0) == jnp.result_type(float)
    assert _misc.working_dtype(np.zeros(2)) == jnp.result_type(float)
