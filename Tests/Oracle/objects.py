"""Small objects that scenarios start from, and the tools to break them."""

import copy


def config_map(name="cm", **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"a": "1"}}


def pod(name="pod", **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "busybox"}], **spec}}


def template(labels=None, **spec):
    return {"metadata": {"labels": labels or {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}], **spec}}


def deployment(name="web", replicas=None, **spec):
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template(), **spec}}
    if replicas is not None:
        body["spec"]["replicas"] = replicas
    return body


def service(name="svc", **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}], **spec}}


def with_(base, changes):
    """A copy of `base` with `{"spec.containers.0.name": value}` set; a value of `...` removes."""
    result = copy.deepcopy(base)
    for path, value in changes.items():
        at, keys = result, path.split("/") if "/" in path and not path.startswith("/") else path.split(".")
        for key in keys[:-1]:
            if isinstance(at, list):
                at = at[int(key)]
            else:
                at = at.setdefault(key, {})
        last = keys[-1]
        if value is ...:
            if isinstance(at, list):
                del at[int(last)]
            else:
                at.pop(last, None)
        elif isinstance(at, list):
            if int(last) == len(at):
                at.append(value)
            else:
                at[int(last)] = value
        else:
            at[last] = value
    return result
