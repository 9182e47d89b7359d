"""What every served type and field is for: type → JSON name → text, "" for the type itself. Read by OpenAPI and explain only."""
import json

TARGET = "Sources/CTables/descriptions.json"


def build(facts):
    texts = facts.load("descriptions.json")
    served = {name: texts[name] for name in sorted(facts.served) if name in texts}
    return json.dumps(served, separators=(",", ":"), ensure_ascii=False).replace('},"', '},\n"') + "\n"
