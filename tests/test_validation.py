"""Every wrong field is named by its path, with a message of ours, whatever kind of error it is."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator
from pydantic_core._pydantic_core import list_all_errors

from handlers.fields import Model
from plugins.errors import Problem
from plugins.messages import _MESSAGES, message_of
from plugins.validation import validated


class Item(Model):
    name: str
    quantity: Annotated[int, Field(ge=1)]
    color: Literal["red", "blue"] | None = None


class Cat(Model):
    kind: Literal["cat"]
    lives: int


class Dog(Model):
    kind: Literal["dog"]
    tricks: list[str]


class Order(Model):
    items: Annotated[list[Item], Field(default_factory=list, max_length=3)]
    due: date | None = None
    price: Annotated[Decimal, Field(decimal_places=2)] = Decimal(1)
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    size: int | Literal["large"] = 1
    paid_at: datetime | None = None
    place: tuple[int, int] | None = None

    @model_validator(mode="after")
    def _due_after_payment(self):
        if self.due and self.paid_at and self.due < self.paid_at.date():
            raise ValueError("must be due after it was paid")
        if not self.price:
            raise ValueError
        return self


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"items": [{"name": "oar", "quantity": 2}, {"name": "oar"}]}, {"items/1/quantity": "can't be blank"}),
        (
            {"items": [{"name": 1, "quantity": 0}]},
            {"items/0/name": "must be a string", "items/0/quantity": "must be at least 1"},
        ),
        ({"items": "x"}, {"items": "must be an array"}),
        ({"items": {"0": {}}}, {"items": "must be an array"}),
        ({"items": None}, {"items": "can't be blank"}),
        ({"items": ["x"]}, {"items/0": "must be an object"}),
        ({"items": [None]}, {"items/0": "can't be blank"}),
        ({"items": [{"name": "oar", "quantity": 1}] * 4}, {"items": "is too long (maximum is 3 items)"}),
        ({"items": [{"name": "oar", "quantity": "many"}]}, {"items/0/quantity": "must be a whole number"}),
        ({"items": [{"name": "oar", "quantity": 1.5}]}, {"items/0/quantity": "must be a whole number"}),
        ({"items": [{"name": "oar", "quantity": 1, "color": "x"}]}, {"items/0/color": "must be 'red' or 'blue'"}),
        ({"due": "soon"}, {"due": "must be a date, such as 2026-01-31"}),
        ({"price": "1.234"}, {"price": "must have at most 2 decimal places"}),
        ({"price": "much"}, {"price": "must be a number"}),
        ({"pet": {"kind": "cow"}}, {"pet": "must be one of 'cat', 'dog'"}),
        ({"pet": {"kind": "cat"}}, {"pet/lives": "can't be blank"}),
        ({"pet": {"kind": "dog", "tricks": ["sit", 1]}}, {"pet/tricks/1": "must be a string"}),
        ({"size": "small"}, {"size": "must be a whole number"}),
        ({"size": {}}, {"size": "must be a whole number"}),
        ({"place": [1]}, {"place/1": "can't be blank"}),
        ({"price": 0}, {"order": "is invalid"}),
        ({"due": "2026-01-01", "paid_at": "2026-01-31T12:00:00Z"}, {"order": "must be due after it was paid"}),
    ],
)  # fmt: skip
def test_each_wrong_field_is_named_by_its_path(sent, expected):
    with pytest.raises(Problem) as refused:
        validated(Order, sent, whole="order")

    assert refused.value.errors == expected


def test_texts_and_arrays_stand_for_what_json_has_no_type_for():
    order = validated(Order, {"due": "2026-01-31", "paid_at": "2026-01-30T12:00:00Z", "price": "1.5", "place": [1, 2]})

    assert (order.due, order.price, order.place) == (date(2026, 1, 31), Decimal("1.5"), (1, 2))
    assert order.paid_at == datetime(2026, 1, 30, 12, tzinfo=UTC)


def test_at_most_a_hundred_errors_are_listed():
    with pytest.raises(Problem) as refused:
        validated(Order, {"items": [{}] * 3} | {"items": [0] * 1000})

    assert len(refused.value.errors) <= 100


@pytest.mark.parametrize("kind", [each["type"] for each in list_all_errors()])
def test_every_kind_of_error_that_pydantic_knows_has_a_message_of_ours(kind):
    example = next(each for each in list_all_errors() if each["type"] == kind)
    context = dict.fromkeys(example.get("example_context") or {}, 7)

    message = message_of({"type": kind, "input": 1, "ctx": context, "msg": "Input should be …"})

    assert kind in _MESSAGES
    assert "nput" not in message
    assert "{" not in message


@pytest.mark.parametrize("value", [1, "x", datetime(2026, 1, 31, tzinfo=UTC)])
def test_a_message_without_context_is_complete(value):
    assert message_of({"type": "model_type", "input": value, "msg": "?"}) == "must be an object"
