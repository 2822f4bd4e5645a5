"""Who is meant by the names under which sources list sellers, and where and how by the parts of a model's name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from marketplace.importers.rows import named_by_digest, slug

# The sources' names of the clouds of vendors that may be the operator here, by the vendor's slug.
CLOUDS: Final[Mapping[str, frozenset[str]]] = {
    "microsoft": frozenset({"azure", "azure_ai", "azure_text"}),
    "amazon": frozenset({"aws", "bedrock", "bedrock_converse", "bedrock_mantle", "amazon-bedrock"}),
    "google": frozenset({"google-vertex", "google-vertex-anthropic", "vertex_ai"}),
}
# One seller, one slug: what the sources call it, lower case with hyphens, to what the catalog calls it.
SAME: Final[Mapping[str, tuple[str, str]]] = {
    "x-ai": ("xai", "xAI"),
    "xai": ("xai", "xAI"),
    "mistral": ("mistral-ai", "Mistral AI"),
    "mistralai": ("mistral-ai", "Mistral AI"),
    "moonshot": ("moonshot-ai", "Moonshot AI"),
    "moonshotai": ("moonshot-ai", "Moonshot AI"),
    "deepseek-ai": ("deepseek", "DeepSeek"),
    "meta-llama": ("meta", "Meta"),
    "llama": ("meta", "Meta"),
    "meta": ("meta", "Meta"),
    "z-ai": ("zai", "Z.AI"),
    "zai": ("zai", "Z.AI"),
    "aws": ("amazon", "Amazon"),
    "bedrock": ("amazon", "Amazon"),
    "bedrock-converse": ("amazon", "Amazon"),
    "bedrock-mantle": ("amazon", "Amazon"),
    "amazon-bedrock": ("amazon", "Amazon"),
    "gemini": ("google", "Google"),
    "google": ("google", "Google"),
    "google-vertex": ("google-cloud", "Google Cloud"),
    "google-vertex-anthropic": ("google-cloud", "Google Cloud"),
    "vertex-ai": ("google-cloud", "Google Cloud"),
    "azure": ("microsoft", "Microsoft"),
    "azure-ai": ("microsoft", "Microsoft"),
    "azure-text": ("microsoft", "Microsoft"),
    "github-copilot": ("github", "GitHub"),
    "github-models": ("github", "GitHub"),
    "together-ai": ("together", "Together AI"),
    "fireworks-ai": ("fireworks", "Fireworks AI"),
    "voyage": ("voyage-ai", "Voyage AI"),
    "voyageai": ("voyage-ai", "Voyage AI"),
    "openai": ("openai", "OpenAI"),
    "anthropic": ("anthropic", "Anthropic"),
    "cohere": ("cohere", "Cohere"),
    "deepseek": ("deepseek", "DeepSeek"),
    "openrouter": ("openrouter", "OpenRouter"),
}
# Who makes what the operator's own cloud sells, by how the model's name begins.
MAKERS: Final = (
    (
        re.compile(
            r"gpt|o[1-9](-|$)|text-embedding|davinci|babbage|codex|dall-e|whisper|tts|sora|computer-use"
        ),
        "openai",
    ),
    (re.compile(r"claude"), "anthropic"),
    (re.compile(r"phi|mai-|model-router"), "microsoft"),
    (re.compile(r"meta-|llama"), "meta"),
    (re.compile(r"mistral|ministral|codestral|magistral|pixtral"), "mistral-ai"),
    (re.compile(r"cohere|command|embed-v"), "cohere"),
    (re.compile(r"deepseek"), "deepseek"),
    (re.compile(r"grok"), "xai"),
    (re.compile(r"kimi"), "moonshot-ai"),
)
ZONES: Final = {
    "eu": "eu",
    "us": "us",
    "global": "global",
    "global-standard": "global",
    "apac": "apac",
    "jp": "jp",
    "au": "au",
}
_SIZE: Final = re.compile(r"(?:(?:low|medium|high|standard|hd|auto)/)?\d{2,5}-x-\d{2,5}(?:/\d{1,4}-steps)?/")
_ZONE_DOT: Final = re.compile(r"^(eu|us|global|apac|jp|au)\.(?=[a-z])")


@dataclass(frozen=True, slots=True)
class Seller:
    """own_cloud: it is the operator's; then who publishes is the maker of each model, and slug is empty."""

    slug: str
    name: str
    own_cloud: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A model's name without the seller, and what the name said beside: the zone, and the size or quality of pictures."""

    key: str
    zone: str = ""
    variant: str = ""


def seller_of(provider: str, name: str, operator: str) -> Seller:
    """operator: slug of who runs this catalog."""
    raw = provider.lower()
    if raw in CLOUDS.get(operator, frozenset()):
        return Seller("", name, own_cloud=True)
    if raw.startswith("vertex_ai"):
        raw = "vertex-ai"
    known = SAME.get(slug(raw))
    if known is not None:
        return Seller(*known)
    its_slug = slug(provider)[:60].strip("-") or named_by_digest("seller", provider)
    return Seller(its_slug, (name.strip() or provider.strip())[:120] or its_slug)


def maker_of(key: str) -> str:
    """Slug of who makes it, by its name; empty where the name does not say."""
    name = slug(key.rsplit("/", 1)[-1])
    return next((maker for pattern, maker in MAKERS if pattern.match(name)), "")


def place_of(provider: str, key: str) -> Place:
    """Take a source's name apart: azure/eu/gpt-4o is gpt-4o in the zone eu."""
    rest, zone, variant = key, "", ""
    first, slash, after = rest.partition("/")
    if slash and provider and (provider.startswith(first) or slug(first) == slug(provider)):
        rest = after
    first, slash, after = rest.partition("/")
    if slash and first in ZONES:
        zone, rest = ZONES[first], after
    elif dotted := _ZONE_DOT.match(rest):
        zone, rest = ZONES[dotted[1]], rest[dotted.end() :]
    if size := _SIZE.match(rest):
        variant, rest = slug(size[0]), rest[size.end() :]
    return Place(rest or key, zone, variant)
