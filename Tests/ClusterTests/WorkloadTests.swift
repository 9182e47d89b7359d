import Client
import Synchronization
import Testing
import Wire

@Suite("workloads on hollow nodes")
struct WorkloadTests {
  @Test("a deployment comes up, scales, rolls out, rolls back, and what it leaves says so")
  func deployment() async throws {
    try await HollowCluster.with(nodes: 3) { cluster in
      try await cluster.deployment("web", replicas: 3)
      try await cluster.rolledOut("web", replicas: 3)
      let pods = try await cluster.list(.pods)
      #expect(pods.count == 3)
      #expect(Set(pods.map { $0.value["spec"]["nodeName"].string }).count == 3, "one on each node")
      let first = try #require(try await cluster.list(.replicaSets).first).value
      #expect(first["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1")
      #expect(
        pods.allSatisfy { $0.value["metadata"]["labels"]["pod-template-hash"] == first["metadata"]["labels"]["pod-template-hash"] })
      try await cluster.patch(.deployments, "web", #"{"spec":{"replicas":7}}"#)
      try await cluster.rolledOut("web", replicas: 7)
      try await cluster.patch(.deployments, "web", #"{"spec":{"replicas":2}}"#)
      try await cluster.rolledOut("web", replicas: 2)
      try await cluster.patch(.deployments, "web", #"{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"web:2"}]}}}}"#)
      try await cluster.rolledOut("web", replicas: 2)
      #expect(try await cluster.list(.pods).allSatisfy { $0.value["spec"]["containers"][0]["image"] == "web:2" })
      try await cluster.patch(.deployments, "web", #"{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"web:1"}]}}}}"#)
      try await cluster.rolledOut("web", replicas: 2)
      let sets = try await cluster.list(.replicaSets).map(\.value)
      #expect(sets.count == 2, "going back uses the old set")
      let again = try #require(sets.first { $0["metadata"]["name"] == first["metadata"]["name"] })
      #expect(again["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3")
      #expect(again["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1")
      let deployment = try #require(try await cluster.list(.deployments).first).value
      #expect(deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3")
      try await cluster.wait("the condition", on: .deployments) { objects in
        let conditions = objects.values.first?["status"]["conditions"].array ?? []
        return conditions.contains { $0["type"] == "Progressing" && $0["reason"] == "NewReplicaSetAvailable" }
          && conditions.contains { $0["type"] == "Available" && $0["status"] == "True" }
      }
    }
  }

  @Test("the namespace of leases comes back when it is deleted; a node's coming is told")
  func system() async throws {
    try await HollowCluster.with(nodes: 1) { cluster in
      let key = ObjectKey(name: "kube-node-lease")
      let old = try await cluster.admin.get(.namespaces, key)
      _ = try await cluster.admin.delete(.namespaces, key, DeleteOptions())
      try await cluster.wait("the namespace", on: .namespaces, namespace: nil) { objects in
        objects.values.contains { $0["metadata"]["name"] == "kube-node-lease" && $0["metadata"]["uid"] != .string(old.uid) }
      }
      try await cluster.wait("the event", on: .coreEvents) { objects in
        objects.values.contains {
          $0["reason"] == "RegisteredNode" && $0["message"] == "Node node-0 event: Registered Node node-0 in Controller"
        }
      }
    }
  }

  @Test("a rolling update never has fewer ready pods than it may, nor more pods")
  func availability() async throws {
    try await HollowCluster.with(nodes: 3) { cluster in
      try await cluster.deployment(
        "web", replicas: 6, more: #","strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":2,"maxUnavailable":1}}"#)
      try await cluster.rolledOut("web", replicas: 6)
      var least = Int.max
      var most = 0
      try await cluster.everyStateOfPods {
        for version in 2...4 {
          try await cluster.patch(
            .deployments, "web", #"{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"web:\#(version)"}]}}}}"#)
          try await cluster.rolledOut("web", replicas: 6)
        }
      } each: { pods in
        let active = pods.values.filter { $0["metadata"]["deletionTimestamp"].isNull }
        let ready = active.filter {
          $0["status"]["conditions"].array?.contains { $0["type"] == "Ready" && $0["status"] == "True" } ?? false
        }
        least = min(least, ready.count)
        most = max(most, active.count)
      }
      // One less and two more than six are allowed, and a rollout without either would not move.
      #expect((5...6).contains(least) && (7...8).contains(most), "\(least) \(most)")
    }
  }

  @Test("Recreate has no pod of the new template before the last of the old is gone")
  func recreate() async throws {
    try await HollowCluster.with(nodes: 1) { cluster in
      try await cluster.deployment("db", replicas: 2, more: #","strategy":{"type":"Recreate"}"#)
      try await cluster.rolledOut("db", replicas: 2)
      var images: [Set<String>] = []
      try await cluster.everyStateOfPods {
        try await cluster.patch(
          .deployments, "db", #"{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"db:2"}]}}}}"#)
        try await cluster.rolledOut("db", replicas: 2)
      } each: { pods in
        let now = Set(pods.values.compactMap { $0["spec"]["containers"][0]["image"].string })
        if now != images.last { images.append(now) }
      }
      #expect(images == [["web:1"], [], ["db:2"]])
    }
  }

  @Test("a deleted pod is replaced; a deleted deployment takes everything with it; an orphaned set keeps its pods")
  func ownership() async throws {
    try await HollowCluster.with(nodes: 2) { cluster in
      try await cluster.deployment("a", replicas: 3)
      try await cluster.rolledOut("a", replicas: 3)
      let victim = try #require(try await cluster.list(.pods).first)
      _ = try await cluster.admin.delete(.pods, victim.key, DeleteOptions())
      try await cluster.wait("another pod", on: .pods) { $0.count == 3 && $0[victim.key] == nil }
      try await cluster.rolledOut("a", replicas: 3)
      let name = ObjectKey(namespace: "default", name: "a")
      _ = try await cluster.admin.delete(.deployments, name, DeleteOptions(propagation: .foreground))
      try await cluster.wait("no pods", on: .pods) { $0.isEmpty }
      try await cluster.wait("no deployment", on: .deployments) { $0.isEmpty }
      #expect(try await cluster.list(.replicaSets).isEmpty)

      try await cluster.deployment("b", replicas: 2)
      try await cluster.rolledOut("b", replicas: 2)
      let set = try #require(try await cluster.list(.replicaSets).first)
      _ = try await cluster.admin.delete(.replicaSets, set.key, DeleteOptions(propagation: .orphan))
      // Its pods live on without it, and the deployment's next set takes them over.
      try await cluster.wait("the same set anew", on: .replicaSets) {
        $0.values.contains { $0["metadata"]["uid"].string != set.uid && $0["status"]["readyReplicas"] == 2 }
      }
      #expect(try await cluster.list(.pods).count == 2)
      _ = try await cluster.admin.delete(.deployments, ObjectKey(namespace: "default", name: "b"), DeleteOptions())
      try await cluster.wait("no pods", on: .pods) { $0.isEmpty }
    }
  }

  @Test("endpoints follow pods: slices and the older form, named ports, scale to nothing, deletion of the service")
  func endpoints() async throws {
    try await HollowCluster.with(nodes: 2) { cluster in
      try await cluster.apply(
        .services, #"{"metadata":{"name":"web"},"spec":{"selector":{"app":"web"},"ports":[{"port":80,"targetPort":"http"}]}}"#)
      try await cluster.deployment("web", replicas: 3)
      let mine: @Sendable ([ObjectKey: Value]) -> [Value] = { objects in
        objects.values.filter { $0["metadata"]["labels"]["kubernetes.io/service-name"] == "web" }
      }
      try await cluster.wait("three endpoints", on: .endpointSlices) { objects in
        mine(objects).flatMap { $0["endpoints"].array ?? [] }.count { $0["conditions"]["ready"] == true } == 3
          && mine(objects).allSatisfy { $0["ports"][0]["port"] == 8080 }
      }
      try await cluster.wait("the older form", on: .endpoints) { objects in
        let subset = objects[ObjectKey(namespace: "default", name: "web")]?["subsets"][0] ?? .null
        return subset["addresses"].array?.count == 3 && subset["ports"][0]["port"] == 8080
      }
      try await cluster.patch(.deployments, "web", #"{"spec":{"replicas":0}}"#)
      try await cluster.wait("no endpoints", on: .endpointSlices) { objects in
        mine(objects).count == 1 && mine(objects).allSatisfy { ($0["endpoints"].array ?? []).isEmpty }
      }
      _ = try await cluster.admin.delete(.services, ObjectKey(namespace: "default", name: "web"), DeleteOptions())
      try await cluster.wait("no slices", on: .endpointSlices) { mine($0).isEmpty }
    }
  }

  @Test("a namespace gets its account and bundle, and deletion empties it")
  func namespaces() async throws {
    try await HollowCluster.with(nodes: 1) { cluster in
      try await cluster.apply(.namespaces, #"{"metadata":{"name":"shop"}}"#, namespace: "")
      try await cluster.wait("the account", on: .serviceAccounts, namespace: "shop") { $0.keys.contains { $0.name == "default" } }
      try await cluster.wait("the bundle", on: .configMaps, namespace: "shop") {
        $0.values.contains { $0["data"]["ca.crt"] == "PEM" }
      }
      let bundle = ObjectKey(namespace: "shop", name: "kube-root-ca.crt")
      _ = try await cluster.admin.patch(
        .configMaps, bundle, subresource: nil, Patch(.merge, ["data": ["ca.crt": "x", "foreign": "y"]]), WriteOptions())
      try await cluster.wait("the bundle as it was", on: .configMaps, namespace: "shop") {
        $0[bundle]?["data"] == ["ca.crt": "PEM"]
      }
      let held = #"{"metadata":{"name":"mine","finalizers":["mine.org/hold"]},"data":{"a":"b"}}"#
      try await cluster.apply(.configMaps, held, namespace: "shop")
      let mine = ObjectKey(namespace: "shop", name: "mine")
      let uid = try await cluster.admin.get(.configMaps, mine).uid
      // An owner of another namespace owns nothing.
      let owner = #"{"apiVersion":"v1","kind":"ConfigMap","name":"mine","uid":"\#(uid)"}"#
      try await cluster.apply(.configMaps, #"{"metadata":{"name":"strange","ownerReferences":[\#(owner)]}}"#)
      try await cluster.wait("a word about it", on: .coreEvents) { objects in
        objects.values.contains {
          $0["reason"] == "OwnerRefInvalidNamespace"
            && $0["message"]
              == .string(
                "ownerRef [v1/ConfigMap, namespace: default, name: mine, uid: \(uid)] does not exist in namespace \"default\"")
        }
      }
      try await cluster.wait("its end", on: .configMaps) { $0[ObjectKey(namespace: "default", name: "strange")] == nil }
      _ = try await cluster.admin.delete(.namespaces, ObjectKey(name: "shop"), DeleteOptions())
      try await cluster.wait("what holds it", on: .namespaces, namespace: nil) { objects in
        let conditions = objects[ObjectKey(name: "shop")]?["status"]["conditions"].array ?? []
        return conditions.contains {
          $0["type"] == "NamespaceFinalizersRemaining"
            && $0["message"]
              == "Some content in the namespace has finalizers remaining: mine.org/hold in 1 resource instances"
        }
      }
      _ = try await cluster.admin.patch(
        .configMaps, mine, subresource: nil, Patch(.merge, ["metadata": ["finalizers": nil]]), WriteOptions())
      try await cluster.wait("no namespace", on: .namespaces, namespace: nil) { $0[ObjectKey(name: "shop")] == nil }
      #expect(try await cluster.list(.configMaps, namespace: "shop").isEmpty)
    }
  }

  @Test("nodes get distinct blocks of addresses, cordoned ones take nothing, and a pod that fits nowhere says why")
  func nodes() async throws {
    try await HollowCluster.with(nodes: 2, cpu: "1") { cluster in
      try await cluster.wait("blocks", on: .nodes, namespace: nil) { objects in
        Set(objects.values.compactMap { $0["spec"]["podCIDR"].string }).count == 2
      }
      try await cluster.patch(.nodes, "node-0", #"{"spec":{"unschedulable":true}}"#, namespace: "")
      try await cluster.wait("the taint", on: .nodes, namespace: nil) { objects in
        objects[ObjectKey(name: "node-0")]?["spec"]["taints"].array?.contains { $0["key"] == "node.kubernetes.io/unschedulable" }
          == true
      }
      try await cluster.apply(
        .pods,
        #"{"metadata":{"name":"big"},"spec":{"containers":[{"name":"c","image":"x:1","resources":{"requests":{"cpu":"2"}}}]}}"#)
      try await cluster.wait("the refusal", on: .pods) { objects in
        let condition = objects.values.first?["status"]["conditions"].array?.first { $0["type"] == "PodScheduled" } ?? .null
        return condition["status"] == "False" && condition["reason"] == "Unschedulable"
          && condition["message"]
            == .string(
              "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable. "
                + "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.")
      }
    }
  }
}
