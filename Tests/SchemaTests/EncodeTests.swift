import Schema
import Testing
import Wire

@Suite struct EncodeTests {
  @Test("what was emitted reads back as the same value and is emitted as the same bytes", arguments: Manifests.all.indices)
  func roundTrip(i: Int) throws {
    let (group, resource, json) = Manifests.all[i]
    let kind = try kind(resource, group: group)
    let decoded = try decode(json, kind)
    #expect(decoded.strictErrors == [])
    var value = decoded.value
    table.applyDefaults(&value, kind: kind)
    let once = table.encode(value, type: kind.type)
    let again = try table.decode(once, encoding: .json, type: kind.type)
    #expect(table.encode(again.value, type: kind.type) == once)
    #expect(again.strictErrors.isEmpty)
  }

  @Test("the order of a client's members leaves no trace")
  func order() throws {
    let a = try canonical(
      #"{"metadata":{"labels":{"b":"1","a":"2"},"name":"p"},"spec":{"containers":[{"image":"i","name":"n"}]}}"#, kind("pods"))
    let b = try canonical(
      #"{"spec":{"containers":[{"name":"n","image":"i"}]},"metadata":{"name":"p","labels":{"a":"2","b":"1"}}}"#, kind("pods"))
    #expect(a == b)
    #expect(a.hasPrefix(#"{"metadata":{"name":"p","labels":{"a":"2","b":"1"}},"spec":"#))
  }

  @Test("empty lists and maps leave, empty structs and pointers stay, zeros without omitempty are written")
  func emptiness() throws {
    let pod = try decode(
      #"{"metadata":{"labels":{},"finalizers":[]},"spec":{"containers":[{"name":"n","env":[],"securityContext":{}}],"volumes":[{"name":"v","emptyDir":{}}]},"status":{"containerStatuses":[{"name":"n","restartCount":0,"ready":false}]}}"#,
      kind("pods"))
    #expect(
      text(table.encode(pod.value, type: try kind("pods").type))
        == #"{"metadata":{},"spec":{"volumes":[{"name":"v","emptyDir":{}}],"containers":[{"name":"n","resources":{},"securityContext":{}}]},"status":{"containerStatuses":[{"name":"n","state":{},"lastState":{},"ready":false,"restartCount":0,"image":"","imageID":""}]}}"#
    )
    let policy = try decode(#"{"spec":{"podSelector":{}}}"#, kind("networkpolicies", group: "networking.k8s.io"))
    #expect(
      text(table.encode(policy.value, type: try kind("networkpolicies", group: "networking.k8s.io").type))
        == #"{"metadata":{},"spec":{"podSelector":{}}}"#)
  }

  @Test("the store's bytes have no kind, no apiVersion and no resourceVersion; the rest of the metadata stays")
  func storage() throws {
    let kind = try kind("configmaps")
    let value: Value = [
      "kind": "ConfigMap", "apiVersion": "v1",
      "metadata": ["name": "c", "resourceVersion": "7", "uid": "u", "creationTimestamp": "2026-11-25T07:13:23Z"],
      "data": ["a": "b"],
    ]
    let bytes = table.encodeForStorage(value, kind: kind)
    #expect(text(bytes) == #"{"metadata":{"name":"c","uid":"u","creationTimestamp":"2026-11-25T07:13:23Z"},"data":{"a":"b"}}"#)
    var out: [UInt8] = []
    try EncodedObject(bytes: bytes, revision: 9).write(apiVersion: "v1", kind: "ConfigMap", into: &out)
    #expect(
      text(out)
        == #"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"c","uid":"u","resourceVersion":"9","creationTimestamp":"2026-11-25T07:13:23Z"},"data":{"a":"b"}}"#
    )
  }
}
