import Foundation
import Testing
import Wire

/// Everything that fits into one cluster: a start costs seconds, a namespace nothing. What kills servers has clusters of its own.
@Suite(SharedCluster()) enum OneCluster {}

/// One cluster around all tests of a suite.
struct SharedCluster: SuiteTrait, TestScoping {
  @TaskLocal static var current: Cluster?

  func provideScope(for test: Test, testCase: Test.Case?, performing body: @Sendable () async throws -> Void) async throws {
    try await Cluster.with(images: ["busybox", "python"], isShared: true) { cluster in
      try await Self.$current.withValue(cluster) { try await body() }
    }
  }
}

/// One test's namespace in the shared cluster.
struct Space: Sendable {
  let cluster: Cluster
  let name: String

  /// Makes the namespace; `body` failing shows what was in it.
  static func with<R>(_ name: String, _ body: (Space) async throws -> R) async throws -> R {
    let cluster = try #require(SharedCluster.current)
    let space = Space(cluster: cluster, name: name)
    try await cluster.kubectl("create", "namespace", name)
    do {
      return try await body(space)
    } catch {
      let pods = try? await space.kubectl("get", "pods", "-o", "wide")
      let events = try? await space.kubectl("get", "events")
      print("---- in namespace \(name):\n\(pods ?? "")\(events ?? "")")
      throw error
    }
  }

  @discardableResult
  func kubectl(_ arguments: String..., input: String? = nil, minor: Int = 37) async throws -> String {
    try await cluster.kubectl(["--namespace", name] + arguments, input: input, minor: minor)
  }

  func tryKubectl(_ arguments: String..., input: String? = nil, minor: Int = 37) async throws -> Command.Outcome {
    try await cluster.tryKubectl(["--namespace", name] + arguments, input: input, minor: minor)
  }

  func kubectlRunning(_ arguments: String..., input: String? = nil, minor: Int = 37) throws -> Running {
    try cluster.kubectlRunning(["--namespace", name] + arguments, input: input, minor: minor)
  }

  func apply(_ manifests: String..., minor: Int = 37) async throws {
    try await kubectl("apply", "-f", "-", input: manifests.joined(separator: "\n---\n"), minor: minor)
  }

  func object(_ kind: String, _ name: String) async throws -> Value {
    try Value(json: Array(try await kubectl("get", kind, name, "-o", "json").utf8))
  }

  func pod(_ name: String) async throws -> Value { try await object("pod", name) }

  /// Waits until the field of the pod (a JSONPath below the object: `status.phase`) has the value.
  func wait(_ pod: String, _ path: String, is value: String) async throws {
    try await kubectl("wait", "pod/\(pod)", "--for=jsonpath={.\(path)}=\(value)", Patience.kubectl)
  }

  func ready(_ pods: String...) async throws {
    for pod in pods { try await kubectl("wait", "pod/\(pod)", "--for=condition=Ready", Patience.kubectl) }
  }

  /// Waits until the field has had each of the values, in this order; other values may come between.
  func watch(_ pod: String, _ path: String, passes values: [String]) async throws {
    // Not `get pod NAME -w`: kubectl drops the first event of that watch, and with it what changed since it read the pod.
    let watch = try kubectlRunning(
      "get", "pods", "--field-selector", "metadata.name=\(pod)", "-w", "-o", "jsonpath=<{.\(path)}>{\"\\n\"}")
    defer { watch.signal(SIGKILL) }
    let passed = await watch.waits { text in
      var rest = text[...]
      return values.allSatisfy { value in
        guard let found = rest.range(of: "<\(value)>") else { return false }
        rest = rest[found.upperBound...]
        return true
      }
    }
    #expect(passed, "\(pod)'s \(path) did not pass \(values): \(watch.output)")
  }

  /// Waits until each of the texts is part of what events tell about the object, as `reason: message`.
  func tells(_ object: String, _ texts: String...) async throws {
    let watch = try kubectlRunning(
      "get", "events", "-w", "--field-selector", "involvedObject.name=\(object)", "-o", "jsonpath={.reason}: {.message}{\"\\n\"}")
    defer { watch.signal(SIGKILL) }
    let told = await watch.waits { output in texts.allSatisfy { output.contains($0) } }
    #expect(told, "events of \(object) tell \(texts): \(watch.output)")
  }

  /// Runs a program in a pod.
  @discardableResult
  func exec(_ pod: String, _ command: String..., container: String? = nil, minor: Int = 37) async throws -> String {
    try await cluster.kubectl(
      ["--namespace", name, "exec", pod] + (container.map { ["-c", $0] } ?? []) + ["--"] + command, minor: minor)
  }
}

/// Manifests of the pods that tests look into.
enum Manifest {
  static let busybox = "registry.gantry.internal/busybox:1.35"
  static let python = "registry.gantry.internal/python:3.11"

  /// A pod with one container `main` that runs a shell script.
  /// - Parameters:
  ///   - container: further lines of the container, in flow or block form, from its own first column.
  ///   - spec: further lines of the pod's specification, from their first column.
  static func pod(
    _ name: String, _ script: String, image: String = busybox, restart: String = "Never", labels: String = "{}",
    container: String = "", spec: String = ""
  ) -> String {
    """
    apiVersion: v1
    kind: Pod
    metadata: { name: \(name), labels: \(labels) }
    spec:
      restartPolicy: \(restart)
      terminationGracePeriodSeconds: 1
    \(indented(spec, by: 2))
      containers:
      - name: main
        image: \(image)
        command: ["sh", "-c", \(Value.string(script).json)]
    \(indented(container, by: 4))
    """
  }

  /// A web server that says `message`, behind a service with a node port.
  static func deployment(_ name: String, replicas: Int, message: String = "v1") -> String {
    """
    apiVersion: apps/v1
    kind: Deployment
    metadata: { name: \(name) }
    spec:
      replicas: \(replicas)
      selector: { matchLabels: { app: \(name) } }
      template:
        metadata: { labels: { app: \(name) } }
        spec:
          terminationGracePeriodSeconds: 5
          containers:
          - name: web
            image: \(busybox)
            command: ["sh", "-c", "mkdir -p /www && echo \(message) > /www/index.html && exec httpd -f -p 8080 -h /www"]
            ports: [{ name: http, containerPort: 8080 }]
            readinessProbe: { httpGet: { path: /, port: http }, periodSeconds: 1 }
    ---
    apiVersion: v1
    kind: Service
    metadata: { name: \(name) }
    spec:
      type: NodePort
      selector: { app: \(name) }
      ports: [{ name: http, port: 80, targetPort: http }]
    """
  }

  static func indented(_ text: String, by columns: Int) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false).map { String(repeating: " ", count: columns) + $0 }
      .joined(separator: "\n")
  }
}
