"""Holds every message to Neon's own description of its API."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from openapi_core import Config, OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

PREFIX = "/api/v2"


class Description:
    """Neon's OpenAPI document, read once.

    Args:
        document: as it is published.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        # The document is Neon's to validate; what is looked at are messages.
        served = {**document, "servers": [{"url": f"http://neon{PREFIX}"}]}
        self._api = OpenAPI.from_dict(_with_textual_keys(served), config=Config(spec_validator_cls=None))

    def wrong(
        self, method: str, target: str, headers: dict[str, str], body: bytes, answer: tuple[int, bytes] | None = None
    ) -> str:
        """Say what is wrong with a request, or with the answer to it; nothing where it is right."""
        parts = urlsplit(target)
        request = MockRequest(
            "http://neon",
            method.lower(),
            parts.path,
            path_pattern=None,
            args=dict(parse_qsl(parts.query)),
            headers=headers,
            data=body or None,
            content_type="application/json",
        )
        try:
            if answer is None:
                self._api.validate_request(request)
            else:
                status, data = answer
                response = MockResponse(data=data, status_code=status, content_type="application/json")
                self._api.validate_response(request, response)
        except OpenAPIError as error:
            causes = [str(each) for each in _causes(error)]
            return f"{method} {target}: " + "; ".join(causes)
        return ""


def _causes(error: BaseException | None) -> list[BaseException]:
    return [] if error is None else [error, *_causes(error.__cause__)]


def _with_textual_keys(value: Any) -> Any:
    """YAML reads 200 as a number, and OpenAPI's keys are texts."""
    if isinstance(value, dict):
        return {str(key): _with_textual_keys(each) for key, each in value.items()}
    return [_with_textual_keys(each) for each in value] if isinstance(value, list) else value
