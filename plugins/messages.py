"""What is wrong with a value, in the words of the contract: a message for each kind of error that pydantic knows."""

from typing import Any

_BY_MESSAGE = {
    "can't be blank": "missing missing_argument missing_keyword_only_argument missing_positional_only_argument",
    "must be a string": "string_type string_unicode bytes_type bytes_invalid_encoding",
    "must be true or false": "bool_type bool_parsing",
    "must be a whole number": "int_type int_parsing int_parsing_size int_from_float",
    "must be a number": (
        "float_type float_parsing finite_number decimal_type decimal_parsing fraction_type fraction_parsing "
        "complex_type complex_str_parsing"
    ),
    "must be an array": (
        "list_type tuple_type set_type frozen_set_type deque_type iterable_type iteration_error named_tuple_type"
    ),
    "must be an object": (
        "model_type model_attributes_type dict_type mapping_type dataclass_type dataclass_exact_type arguments_type "
        "frozen_dict_type ordered_dict_type counter_type"
    ),
    "must be null": "none_required",
    "must be {expected}": "literal_error enum",
    "must be greater than {gt}": "greater_than",
    "must be at least {ge}": "greater_than_equal",
    "must be less than {lt}": "less_than",
    "must be at most {le}": "less_than_equal",
    "must be a multiple of {multiple_of}": "multiple_of",
    "is too short (minimum is {min_length} items)": "too_short",
    "is too long (maximum is {max_length} items)": "too_long",
    "is too short (minimum is {min_length} characters)": "string_too_short",
    "is too long (maximum is {max_length} characters)": "string_too_long url_too_long",
    "is too short (minimum is {min_length} bytes)": "bytes_too_short",
    "is too long (maximum is {max_length} bytes)": "bytes_too_long",
    "has the wrong format": "string_pattern_mismatch",
    "must be ASCII": "string_not_ascii",
    "must be JSON": "json_invalid json_type",
    "must have at most {max_digits} digits": "decimal_max_digits",
    "must have at most {decimal_places} decimal places": "decimal_max_places",
    "must have at most {whole_digits} digits before the decimal point": "decimal_whole_digits",
    "must be a date, such as 2026-01-31": (
        "date_type date_parsing date_from_datetime_parsing date_from_datetime_inexact"
    ),
    "must be a time, such as 12:00:00": "time_type time_parsing",
    "must be a date and time, such as 2026-01-31T12:00:00Z": (
        "datetime_type datetime_parsing datetime_object_invalid datetime_from_date_parsing"
    ),
    "must be in the past": "date_past datetime_past",
    "must be in the future": "date_future datetime_future",
    "must have no time zone": "timezone_naive",
    "must have a time zone": "timezone_aware timezone_offset",
    "must be a duration, such as PT1H": "time_delta_type time_delta_parsing",
    "must be a URL": "url_type url_parsing url_syntax_violation",
    "must be a URL that begins with {expected_schemes}": "url_scheme",
    "must be a UUID": "uuid_type uuid_parsing uuid_version",
    "must be one of {expected_tags}": "union_tag_invalid",
    "is not known": "extra_forbidden unexpected_keyword_argument unexpected_positional_argument no_such_attribute",
    "cannot be changed": "frozen_field frozen_instance",
    "is nested too deeply": "recursion_loop recursion_depth_exceeded",
    "{error}": "value_error assertion_error",
    "is invalid": (
        "needs_python_object invalid_key get_attribute_error default_factory_not_called set_item_not_hashable "
        "missing_sentinel_error ellipsis_error is_instance_of is_subclass_of callable_type union_tag_not_found "
        "multiple_argument_values"
    ),
}
_MESSAGES = {kind: message for message, kinds in _BY_MESSAGE.items() for kind in kinds.split()}


def message_of(error: Any) -> str:
    """The message for one of the errors of a pydantic ValidationError. null where a value belongs is blank."""
    kind = error["type"]
    if error["input"] is None and (kind.endswith("_type") or kind in ("literal_error", "enum")):
        return "can't be blank"
    if kind in _MESSAGES:
        return _MESSAGES[kind].format_map(error.get("ctx", {})) or "is invalid"  # an assertion without a text
    return str(error["msg"])  # raised by a validator of ours, in its own words
