"""The facts, read once, and what more than one table needs of them: shapes, gates, which types are served."""
import json, os

from tables.shapes import Shapes

# Types that no resource leads to, but that the server reads or answers.
ALWAYS = [
    "meta/v1.Status", "meta/v1.DeleteOptions", "meta/v1.CreateOptions", "meta/v1.UpdateOptions", "meta/v1.PatchOptions", "meta/v1.GetOptions",
    "meta/v1.ListOptions", "meta/v1.WatchEvent", "meta/v1.APIVersions", "meta/v1.APIGroup", "meta/v1.APIGroupList", "meta/v1.APIResourceList",
    "meta/v1.LabelSelector", "meta/v1.ListMeta", "meta/v1.List", "meta/v1.PartialObjectMetadata", "meta/v1.PartialObjectMetadataList",
    "authentication/v1.TokenRequest", "policy/v1.Eviction", "autoscaling/v1.Scale", "core/v1.Binding", "core/v1.PodExecOptions",
    "core/v1.PodAttachOptions", "core/v1.PodLogOptions", "core/v1.PodPortForwardOptions", "core/v1.PodProxyOptions",
    "core/v1.ServiceProxyOptions", "core/v1.NodeProxyOptions", "admission/v1.AdmissionReview",
]


class Facts:
    def __init__(self, directory):
        self.directory = directory
        self.api, self.resources = self.load("api.json"), self.load("resources.json")
        self.types = self.api["types"]
        self.gates = {name: bool(gate.get("on")) for name, gate in self.load("feature-gates.json")["gates"].items()}
        self.shapes = Shapes(self.types, self.is_on)
        for group in self.resources["groups"]:
            for version in group["versions"]:
                for resource in version["resources"]:
                    self.shapes.named(resource["type"])
        for name in ALWAYS:
            if name in self.types:
                self.shapes.named(name)
        # Every kind has a list type where upstream has one: protobuf lists and OpenAPI need it.
        for name in list(self.served):
            if name + "List" in self.types:
                self.shapes.named(name + "List")

    def load(self, name):
        with open(os.path.join(self.directory, name)) as file:
            return json.load(file)

    @property
    def served(self):
        """Names of the types that the table holds, in the order of their shapes."""
        return [name for name in self.shapes.index if isinstance(name, str) and name in self.types]

    def is_on(self, gates):
        """True where every gate is on; a marker may name several, joined by a comma. Gates the facts do not know are on."""
        return all(self.gates.get(gate.strip(), True) for gate in gates.split(",") if gate.strip())
