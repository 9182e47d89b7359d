#!/usr/bin/env python3
"""Asks two API servers the same questions and shows where their answers differ. scripts/oracle runs it; docs/oracle.md describes it.

  oracle.py record KUBECONFIG OUT [--only REGEX]      run every scenario against one server, write the transcript
  oracle.py compare KUBERNETES GANTRY [--only REGEX] [--expected]
                                                      compare two transcripts; ends with 1 where a difference has no reason
  oracle.py list                                      the scenarios
"""

import argparse
import collections
import importlib
import json
import pathlib
import pkgutil
import re
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import client  # noqa: E402
import compare  # noqa: E402
import expected  # noqa: E402


def scenarios():
    """Every function of scenarios/*.py that does not begin with an underscore and has a `needs_namespace` or not."""
    sys.dont_write_bytecode = True
    for module in sorted(pkgutil.iter_modules([str(HERE / "scenarios")]), key=lambda m: m.name):
        loaded = importlib.import_module(f"scenarios.{module.name}")
        for name, function in vars(loaded).items():
            if callable(function) and getattr(function, "__module__", "") == loaded.__name__ and not name.startswith("_"):
                yield name.replace("_", "-"), function


def record(options):
    address = client.kubeconfig(options.kubeconfig)
    tag = options.tag or f"{int(time.time()):x}"
    steps = []
    probe = client.Side(address, "probe", tag, [])
    version = probe.send("GET", "/version")["gitVersion"]
    old = version.startswith("v1.20")
    for name, function in scenarios():
        if options.only and not re.search(options.only, name):
            continue
        side = client.Side(address, name, tag, steps)
        side.old = old
        side.make("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": side.ns}})
        side_account(side)
        started = time.monotonic()
        try:
            function(side)
        except Exception:  # a scenario that cannot go on is a finding, not the end
            steps.append({"scenario": name, "method": "-", "path": "", "note": "the scenario broke off", "headers": {}, "request": None,
                          "code": 0, "type": "", "warning": "", "body": traceback.format_exc().splitlines()[-1]})
            traceback.print_exc()
        clean(side)
        print(f"{name}: {sum(s['scenario'] == name for s in steps)} requests, {time.monotonic() - started:.1f} s", file=sys.stderr)
    json.dump({"version": version, "tag": tag, "steps": steps}, open(options.out, "w"))
    print(f"{len(steps)} answers of {version} in {options.out}", file=sys.stderr)


CLUSTER_SCOPED = (
    "/api/v1/nodes", "/api/v1/persistentvolumes", "/apis/storage.k8s.io/v1/storageclasses", "/apis/scheduling.k8s.io/v1/priorityclasses",
    "/apis/node.k8s.io/v1/runtimeclasses", "/apis/rbac.authorization.k8s.io/v1/clusterroles", "/apis/certificates.k8s.io/v1/certificatesigningrequests",
    "/api/v1/namespaces")


def clean(side):
    """What a scenario leaves outside of its namespace would show in the lists of the next."""
    for path in CLUSTER_SCOPED:
        side.send("DELETE", f"{path}/{side.ns}")


def side_account(side):
    """Pods are admitted when their namespace has its service account."""
    for _ in range(100):
        answer = side.send("GET", f"/api/v1/namespaces/{side.ns}/serviceaccounts/default")
        if answer.code == 200 and (answer["secrets"] or not side.old):
            return
        time.sleep(0.05)


def compare_files(options):
    left, right = json.load(open(options.kubernetes)), json.load(open(options.gantry))
    steps = differing = unexplained = 0
    kinds = collections.Counter()
    for step, found in compare.compare(left, right, expected.ROWS, options.only):
        steps += 1
        shown = found if options.expected else [f for f in found if f[3] is None]
        differing += bool(found)
        unexplained += sum(f[3] is None for f in found)
        if not shown:
            continue
        print(f"\n{step['scenario']}#{step.get('number')} {step['method']} {step['path']}" + (f"  ({step['note']})" if step["note"] else ""))
        if options.requests and step["request"] is not None:
            print("    " + json.dumps(step["request"])[:600])
        for path, a, b, why in shown:
            kinds[path] += 1
            print(f"    {path}: {compare.show(a)[:options.width]}  →  {compare.show(b)[:options.width]}" + (f"   [{why}]" if why else ""))
    print(f"\n{steps} answers of {left['version']} and {right['version']} compared; {differing} differ; "
          f"{sum(n for why, n in compare.row_hits.items() if why.startswith('open: '))} differences are known faults; {unexplained} have no reason")
    for why, count in sorted(compare.row_hits.items()):
        if why.startswith("open: "):
            print(f"  {count:5} {why}")
    if options.reasons:
        for why, count in sorted(compare.row_hits.items(), key=lambda p: -p[1]):
            print(f"  {count:5} {why}")
        for row in expected.ROWS:
            if row[4] not in compare.row_hits:
                print(f"  unused: {row[4]}")
    return 1 if unexplained else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    r = commands.add_parser("record")
    r.add_argument("kubeconfig")
    r.add_argument("out")
    r.add_argument("--only")
    r.add_argument("--tag")
    c = commands.add_parser("compare")
    c.add_argument("kubernetes")
    c.add_argument("gantry")
    c.add_argument("--only")
    c.add_argument("--expected", action="store_true", help="show differences that have a reason too")
    c.add_argument("--requests", action="store_true", help="show what was sent")
    c.add_argument("--reasons", action="store_true", help="count the reasons")
    c.add_argument("--width", type=int, default=400)
    commands.add_parser("list")
    options = parser.parse_args()
    if options.command == "record":
        record(options)
    elif options.command == "compare":
        sys.exit(compare_files(options))
    else:
        print("\n".join(name for name, _ in scenarios()))


main()
