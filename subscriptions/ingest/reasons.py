"""Why a message became a dead letter: a short code for lists and filters."""

from enum import StrEnum


class Reason(StrEnum):
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    DUPLICATE_NAME = "duplicate_name"
    TOO_DEEP = "too_deep"
    TOO_LARGE = "too_large"
    BAD_NUMBER = "bad_number"
    BAD_ENVELOPE = "bad_envelope"
    UNKNOWN_TYPE = "unknown_type"
    BROKEN_CONTRACT = "broken_contract"
    NO_COMPANY = "no_company"
    OTHER_COMPANY = "other_company"
    REFUSED_BY_DATABASE = "refused_by_database"
    FAILED = "failed"
