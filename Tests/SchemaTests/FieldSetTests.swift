import Schema
import Testing
import Wire

/// Ownership of fields, in upstream's form.
@Suite struct FieldSetTests {
  let table = SchemaTable.builtin

  @Test("sets: union, difference, intersection, and JSON both ways")
  func algebra() throws {
    let a = try #require(
      try FieldSet(json: Value(json: #"{"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"f:replicas":{}}}"#)))
    let b = try #require(try FieldSet(json: Value(json: #"{"f:metadata":{"f:labels":{"f:a":{},"f:b":{}}}}"#)))
    #expect(a.union(b).json.json == #"{"f:metadata":{"f:labels":{".":{},"f:a":{},"f:b":{}}},"f:spec":{"f:replicas":{}}}"#)
    #expect(a.difference(b).json.json == #"{"f:metadata":{"f:labels":{}},"f:spec":{"f:replicas":{}}}"#)
    #expect(a.intersection(b).json.json == #"{"f:metadata":{"f:labels":{"f:a":{}}}}"#)
    #expect(try FieldSet(json: Value(json: #"{"x:y":{}}"#)) == nil)
    #expect(a.contains([.field("metadata"), .field("labels")]) && !b.contains([.field("metadata"), .field("labels")]))
  }

  @Test("keys, values and indexes stand in upstream's order")
  func order() throws {
    let text =
      #"{"f:b":{},"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{}},"k:{\"containerPort\":443,\"protocol\":\"TCP\"}":{},"v:\"a\"":{},"i:0":{}}"#
    #expect(try FieldSet(json: Value(json: text))?.json.json == text)
  }

  func decoded(_ json: String, _ kind: ResourceKind) throws -> Value {
    var value = try table.decode(Array(json.utf8), encoding: .json, type: kind.type).value
    table.applyDefaults(&value, kind: kind)
    return value
  }

  @Test("a created pod's fields, as upstream attributes them")
  func create() throws {
    let kind = try #require(table.resource(GroupVersionResource(resource: "pods")))
    var pod = try decoded(
      #"{"metadata":{"name":"p","namespace":"d","uid":"u","labels":{"run":"p"}},"spec":{"containers":[{"name":"p","image":"nginx","ports":[{"containerPort":80}]}]}}"#,
      kind)
    table.updateManagedFields(old: nil, new: &pod, kind: kind, subresource: "", manager: "kubectl-run", now: "2026-01-01T00:00:00Z")
    let entry = pod["metadata"]["managedFields"][0]
    #expect(entry["manager"].string == "kubectl-run" && entry["operation"].string == "Update" && entry["apiVersion"].string == "v1")
    #expect(
      entry["fieldsV1"].json
        == #"{"f:metadata":{"f:labels":{".":{},"f:run":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"p\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},"f:resources":{},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}},"f:dnsPolicy":{},"f:enableServiceLinks":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},"f:terminationGracePeriodSeconds":{}}}"#
    )
  }

  @Test("an update takes the fields that it changes; an unchanged one takes nothing")
  func update() throws {
    let kind = try #require(table.resource(GroupVersionResource(group: "apps", resource: "deployments")))
    let json = { (replicas: Int) in
      #"{"metadata":{"name":"d"},"spec":{"replicas":\#(replicas),"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}}}}"#
    }
    var first = try decoded(json(1), kind)
    table.updateManagedFields(old: nil, new: &first, kind: kind, subresource: "", manager: "a", now: "2026-01-01T00:00:00Z")
    var second = try decoded(json(2), kind)
    table.updateManagedFields(old: first, new: &second, kind: kind, subresource: "", manager: "b", now: "2026-01-01T00:01:00Z")
    let entries = try #require(second["metadata"]["managedFields"].array)
    #expect(entries.map { $0["manager"].string } == ["a", "b"])
    #expect(entries[1]["fieldsV1"].json == #"{"f:spec":{"f:replicas":{}}}"#)
    #expect(entries[0]["fieldsV1"]["f:spec"]["f:replicas"].isNull && entries[0]["time"].string == "2026-01-01T00:00:00Z")
    var third = try decoded(json(2), kind)
    table.updateManagedFields(old: second, new: &third, kind: kind, subresource: "", manager: "c", now: "2026-01-01T00:02:00Z")
    #expect(third["metadata"]["managedFields"] == second["metadata"]["managedFields"])
    var status = second
    status["status"] = ["replicas": 2]
    table.updateManagedFields(
      old: second, new: &status, kind: kind, subresource: "status", manager: "k", now: "2026-01-01T00:03:00Z")
    let last = status["metadata"]["managedFields"].array?.last
    #expect(last?["subresource"].string == "status" && last?["fieldsV1"].json == #"{"f:status":{"f:replicas":{}}}"#)
  }
}
