"""Model forms that leave the constraints of the table to better words."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.models import InlineForeignKeyField, construct_instance


class TellingForm(forms.ModelForm):  # type: ignore[type-arg]
    """Makes its row and checks the fields; what the table would refuse it looks up.

    A constraint's own message names no field, and says it in the words of the schema.
    """

    def _post_clean(self) -> None:
        """Make the row from what was typed."""
        made: Any = self
        exclude = made._get_validation_exclusions()
        # The row that it belongs to may not be saved yet.
        exclude |= {
            name
            for name, field in self.fields.items()
            if isinstance(field, InlineForeignKeyField)
        }
        self.instance = construct_instance(
            self, self.instance, made._meta.fields, made._meta.exclude
        )
        try:
            self.instance.full_clean(
                exclude=exclude, validate_unique=False, validate_constraints=False
            )
        except ValidationError as error:
            made._update_errors(error)
