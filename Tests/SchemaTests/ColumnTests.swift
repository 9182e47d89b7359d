import Schema
import Testing
import Wire

@Suite struct ColumnTests {
  let now = Timestamp("2026-11-25T08:13:23Z")!

  func cells(_ json: String, _ resource: String, group: String = "", version: String = "v1") throws -> [String: Value] {
    let kind = try kind(resource, group: group, version: version)
    var tape = JSONTape()
    let bytes = Array(json.utf8)
    let cells = try bytes.withUnsafeBufferPointer { try tape.read($0) { table.cells(kind, $0, now: now) } }
    #expect(cells.count == table.columns(kind).count)
    return Dictionary(uniqueKeysWithValues: zip(table.columns(kind).map(\.name), cells))
  }

  @Test("a running pod's row")
  func pod() throws {
    let row = try cells(Manifests.pod.replacingTime(), "pods")
    #expect(row["Name"] == "web-7d4b9c" && row["Ready"] == "1/3" && row["Status"] == "Running" && row["Restarts"] == "0")
    #expect(row["Age"] == "60m" && row["IP"] == "10.1.0.3" && row["Node"] == "<none>" && row["Readiness Gates"] == "<none>")
  }

  @Test(
    "a pod's status in one word",
    arguments: [
      (#"{"status":{"phase":"Pending"}}"#, "Pending", "0/1"),
      (#"{"status":{"phase":"Failed","reason":"Evicted"}}"#, "Evicted", "0/1"),
      (
        #"{"status":{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"SchedulingGated"}]}}"#,
        "SchedulingGated", "0/1"
      ),
      (
        #"{"status":{"phase":"Running","containerStatuses":[{"state":{"waiting":{"reason":"CrashLoopBackOff"}},"restartCount":4}]}}"#,
        "CrashLoopBackOff", "0/1"
      ),
      (
        #"{"status":{"phase":"Failed","containerStatuses":[{"state":{"terminated":{"exitCode":1,"reason":"Error"}}}]}}"#, "Error",
        "0/1"
      ),
      (
        #"{"status":{"phase":"Failed","containerStatuses":[{"state":{"terminated":{"exitCode":137,"signal":9}}}]}}"#, "Signal:9",
        "0/1"
      ),
      (#"{"status":{"phase":"Pending","initContainerStatuses":[{"state":{"running":{}}}]}}"#, "Init:0/1", "0/1"),
      (
        #"{"status":{"phase":"Pending","initContainerStatuses":[{"state":{"waiting":{"reason":"ImagePullBackOff"}}}]}}"#,
        "Init:ImagePullBackOff", "0/1"
      ),
      (#"{"status":{"phase":"Running"},"metadata":{"deletionTimestamp":"2026-11-25T08:13:23Z"}}"#, "Terminating", "0/1"),
      (
        #"{"status":{"phase":"Succeeded","containerStatuses":[{"state":{"terminated":{"exitCode":0,"reason":"Completed"}}}]}}"#,
        "Completed", "0/1"
      ),
    ])
  func status(json: String, status: String, ready: String) throws {
    let spec = #"{"spec":{"containers":[{"name":"a"}],"initContainers":[{"name":"i"}]},"# + json.dropFirst()
    let row = try cells(spec, "pods")
    #expect(row["Status"] == .string(status) && row["Ready"] == .string(ready))
  }

  @Test("restarts tell when the last one was")
  func restarts() throws {
    let row = try cells(
      #"{"spec":{"containers":[{"name":"a"}]},"status":{"containerStatuses":[{"restartCount":3,"lastState":{"terminated":{"finishedAt":"2026-11-25T08:12:00Z"}}}]}}"#,
      "pods")
    #expect(row["Restarts"] == "3 (83s ago)")
  }

  @Test("numbers are numbers where upstream sends numbers, although the column says string")
  func cellTypes() throws {
    let row = try cells(
      #"{"metadata":{"name":"d"},"spec":{"replicas":3,"selector":{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"c","operator":"In","values":["y","x"]}]},"template":{"spec":{"containers":[{"name":"n","image":"i"}]}}},"status":{"readyReplicas":1,"updatedReplicas":2}}"#,
      "deployments", group: "apps")
    #expect(row["Ready"] == "1/3" && row["Up-to-date"] == 2 && row["Available"] == 0)
    #expect(row["Selector"] == "a=b,c in (x,y)" && row["Containers"] == "n" && row["Images"] == "i")
    guard case .int = row["Available"] else { return #expect(Bool(false), "Available is \(String(describing: row["Available"]))") }
  }

  @Test("services, nodes, jobs, events")
  func others() throws {
    let service = try cells(
      #"{"spec":{"type":"LoadBalancer","clusterIPs":["10.0.0.1"],"ports":[{"port":80,"nodePort":30080,"protocol":"TCP"}]},"status":{"loadBalancer":{"ingress":[{"ip":"1.2.3.4"},{"hostname":"h"}]}}}"#,
      "services")
    #expect(service["Cluster-IP"] == "10.0.0.1" && service["External-IP"] == "1.2.3.4,h" && service["Port(s)"] == "80:30080/TCP")
    let node = try cells(
      #"{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":""}},"spec":{"unschedulable":true},"status":{"conditions":[{"type":"Ready","status":"True"}],"addresses":[{"type":"InternalIP","address":"10.0.0.2"}],"nodeInfo":{"kubeletVersion":"v1.36.0"}}}"#,
      "nodes")
    #expect(
      node["Status"] == "Ready,SchedulingDisabled" && node["Roles"] == "control-plane" && node["Internal-IP"] == "10.0.0.2"
        && node["External-IP"] == "<none>")
    let job = try cells(
      #"{"spec":{"completions":2},"status":{"succeeded":1,"startTime":"2026-11-25T08:13:00Z"}}"#, "jobs", group: "batch")
    #expect(job["Status"] == "Running" && job["Completions"] == "1/2" && job["Duration"] == "23s")
    let event = try cells(
      #"{"metadata":{"name":"e"},"involvedObject":{"kind":"Pod","name":"p"},"message":" text\n","reason":"r","lastTimestamp":"2026-11-25T08:13:13Z","source":{"component":"kubelet","host":"n"}}"#,
      "events")
    #expect(
      event["Last Seen"] == "10s" && event["Object"] == "pod/p" && event["Message"] == "text" && event["Source"] == "kubelet, n"
        && event["Count"] == 1)
    let autoscaler = try cells(
      #"{"spec":{"maxReplicas":3,"scaleTargetRef":{"kind":"Deployment","name":"d"},"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"averageUtilization":80}}}]}}"#,
      "horizontalpodautoscalers", group: "autoscaling", version: "v2")
    #expect(
      autoscaler["Targets"] == "cpu: <unknown>/80%" && autoscaler["Reference"] == "Deployment/d"
        && autoscaler["MinPods"] == "<unset>")
    let role = try cells(
      #"{"metadata":{"name":"r","creationTimestamp":"2026-11-25T08:13:13Z"}}"#, "roles", group: "rbac.authorization.k8s.io")
    #expect(role["Created At"] == "2026-11-25T08:13:13Z")
  }

  @Test("every column of every kind has a cell, whatever the object lacks")
  func empty() throws {
    for kind in table.resources {
      var tape = JSONTape()
      let bytes = Array("{}".utf8)
      let cells = try bytes.withUnsafeBufferPointer { try tape.read($0) { table.cells(kind, $0, now: now) } }
      #expect(cells.count == table.columns(kind).count)
      for (column, cell) in zip(table.columns(kind), cells) where !["Age", "Created At"].contains(column.name) {
        #expect(!cell.isNull, "\(kind.kind) \(column.name)")
      }
    }
  }

  @Test("fields that selectors may name, and the text they compare")
  func selectors() throws {
    let pods = try kind("pods")
    #expect(
      table.isSelectable("spec.nodeName", pods) && table.isSelectable("metadata.namespace", pods)
        && !table.isSelectable("spec.x", pods))
    #expect(try !table.isSelectable("metadata.namespace", kind("nodes")))
    var tape = JSONTape()
    let bytes = Array(#"{"metadata":{"name":"p"},"spec":{"nodeName":"n"},"status":{"podIPs":[{"ip":"1"}]}}"#.utf8)
    try bytes.withUnsafeBufferPointer {
      try tape.read($0) { view in
        #expect(
          table.selectableValue("spec.nodeName", pods, view) == "n" && table.selectableValue("status.podIP", pods, view) == "1")
        #expect(
          table.selectableValue("spec.hostNetwork", pods, view) == "false" && table.selectableValue("spec.host", pods, view) == "n")
        #expect(
          table.selectableValue("metadata.name", pods, view) == "p" && table.selectableValue("status.phase", pods, view) == "")
      }
    }
  }
}

extension String {
  /// Stored objects hold canonical times.
  fileprivate func replacingTime() -> String {
    split(separator: "2026-11-25T08:13:23+01:00", omittingEmptySubsequences: false).joined(separator: "2026-11-25T07:13:23Z")
  }
}
