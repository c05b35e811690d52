"""Reads a CloudFormation template as CloudFormation does for given parameters.

Conditions and what depends on them are worked out here, since moto leaves a ``null`` in a list where
CloudFormation leaves an entry out (``AWS::NoValue``), and knows no ``Rules``.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NOTHING: Final = object()


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's tags in their long form."""


def _tagged(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {name: value}


_Loader.add_multi_constructor("!", _tagged)


def load(path: Path) -> dict[str, Any]:
    """Return a template, its tags in their long form."""
    template = yaml.load(path.read_text(), _Loader)  # noqa: S506 - it is a SafeLoader
    assert isinstance(template, dict)
    return template


@dataclass
class Decided:
    """A template whose conditions are decided.

    Attributes:
        template: as :func:`load` gives it.
        given: parameters, as strings; the others have their defaults.
    """

    template: Mapping[str, Any]
    given: Mapping[str, str]

    def __post_init__(self) -> None:
        known = self.template["Parameters"]
        assert set(self.given) <= set(known), set(self.given) - set(known)
        self.parameters: dict[str, Any] = {}
        for name, parameter in known.items():
            value = str(self.given.get(name, parameter.get("Default", "")))
            assert "AllowedValues" not in parameter or value in map(str, parameter["AllowedValues"]), name
            self.parameters[name] = value.split(",") if parameter["Type"] == "CommaDelimitedList" else value

    def broken_rules(self) -> list[str]:
        """Return what the template's rules say of these parameters."""
        return [
            assertion["AssertDescription"]
            for rule in self.template["Rules"].values()
            if self._holds(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self._holds(assertion["Assert"])
        ]

    def result(self) -> dict[str, Any]:
        """Return the template without conditions: what is made, and nothing else."""
        rest = {key: self.template[key] for key in ("AWSTemplateFormatVersion", "Parameters")}
        return rest | {key: self._there(self.template[key]) for key in ("Resources", "Outputs")}

    def _there(self, entries: Mapping[str, Any]) -> dict[str, Any]:
        found = {name: entry for name, entry in entries.items() if self._named(entry.get("Condition"))}
        return {
            name: {key: self._resolved(value) for key, value in entry.items() if key != "Condition"}
            for name, entry in found.items()
        }

    def _named(self, condition: str | None) -> bool:
        return condition is None or self._holds(self.template["Conditions"][condition])

    def _holds(self, condition: Mapping[str, Any]) -> bool:
        ((name, value),) = condition.items()
        match name:
            case "Condition":
                return self._named(value)
            case "Fn::Equals":
                return bool(self._value(value[0]) == self._value(value[1]))
            case "Fn::Not":
                return not self._holds(value[0])
            case "Fn::And":
                return all(map(self._holds, value))
            case "Fn::Or":
                return any(map(self._holds, value))
        raise AssertionError(f"unknown in a condition: {name}")

    def _value(self, expression: Any) -> Any:
        if not isinstance(expression, dict):
            return expression
        ((name, value),) = expression.items()
        match name:
            case "Ref":
                return self.parameters[value]
            case "Fn::Join":
                return value[0].join(
                    self._value(each) if isinstance(each, dict) else each for each in self._list(value[1])
                )
            case "Fn::Split":
                return self._value(value[1]).split(value[0])
            case "Fn::Select":
                return self._list(value[1])[int(value[0])]
        raise AssertionError(f"unknown in a condition: {name}")

    def _list(self, expression: Any) -> list[Any]:
        found = self._value(expression)
        assert isinstance(found, list)
        return found

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            items = [self._resolved(each) for each in value]
            return [each for each in items if each is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if set(value) == {"Fn::If"}:
            condition, yes, no = value["Fn::If"]
            return self._resolved(yes if self._named(condition) else no)
        if value == {"Ref": "AWS::NoValue"}:
            return _NOTHING
        resolved = {key: self._resolved(each) for key, each in value.items()}
        return {key: each for key, each in resolved.items() if each is not _NOTHING}

    def text(self, expression: Any, names: Mapping[str, Any]) -> Any:
        """Return an expression with its functions worked out, also deep inside.

        Args:
            expression: out of :meth:`result`.
            names: pseudo-parameters (``AWS::Region``) and resources (``Name``, ``Name.Arn``).
        """
        if isinstance(expression, list):
            return [self.text(each, names) for each in expression]
        if not isinstance(expression, dict):
            return expression
        known = {**self.parameters, **names}
        match expression:
            case {"Ref": name}:
                result = known[name]
            case {"Fn::GetAtt": [resource, attribute]}:
                result = known[f"{resource}.{attribute}"]
            case {"Fn::Sub": [str(pattern), dict(own)]}:
                result = self.text({"Fn::Sub": pattern}, {**names, **self.text(own, names)})
            case {"Fn::Sub": str(pattern)}:
                result = re.sub(r"\$\{([\w:.]+)\}", lambda match: str(known[match[1]]), pattern)
            case {"Fn::Join": [str(between), parts]}:
                result = between.join(self.text(parts, names))
            case {"Fn::Select": [index, parts]}:
                result = self.text(parts, names)[int(index)]
            case _:
                result = {key: self.text(value, names) for key, value in expression.items()}
        return result
