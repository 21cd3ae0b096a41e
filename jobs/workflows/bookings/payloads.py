"""What the payloads of the booking events are made of. In JSON their names are in camelCase."""

import re
from typing import Annotated

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
LINK = re.compile(r"https?://[!-~]{1,1990}")


def mail_address(value: str) -> str:
    try:
        validate_email(value)
    except ValidationError:
        raise ValueError("is no mail address") from None
    return value


def phone_number(value: str) -> str:
    compact = re.sub(r"[ ()/-]", "", value)
    if not PHONE.fullmatch(compact):
        raise ValueError("is no phone number in the international form, such as +6561234567")
    return compact


def link(value: str) -> str:
    if not LINK.fullmatch(value):
        raise ValueError("is no http or https URL")
    return value


Name = Annotated[str, Field(min_length=1, max_length=200)]
Identifier = Annotated[str, Field(min_length=1, max_length=128)]
MailAddress = Annotated[str, AfterValidator(mail_address)]
PhoneNumber = Annotated[str, AfterValidator(phone_number)]
Link = Annotated[str, AfterValidator(link)]


class Payload(BaseModel):
    """What all have in common: other fields are passed over, and `companyId` is told to whoever
    reads the event. Whose it is says the event's own company.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

    company_id: Identifier | None = None


class Contact(BaseModel):
    """How a person is reached. `userId` is what channel limits count by; else the address is."""

    model_config = Payload.model_config

    user_id: Identifier | None = None
    name: Name | None = None
    email: MailAddress | None = None
    phone: PhoneNumber | None = None
