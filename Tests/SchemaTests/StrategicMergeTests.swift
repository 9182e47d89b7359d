import Schema
import Testing
import Wire

/// Lists merge by the keys that the table names; directives do what kubectl means by them.
@Suite struct StrategicMergeTests {
  let table = SchemaTable.builtin

  func merged(_ object: String, _ patch: String, _ type: String = "apps/v1.Deployment") throws -> Value {
    try table.strategicMerge(Value(json: patch), into: Value(json: object), type: #require(table.type(named: type)))
  }

  let deployment =
    #"{"spec":{"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1}},"template":{"spec":{"containers":[{"name":"a","image":"x:1","ports":[{"containerPort":80,"protocol":"TCP"}]},{"name":"b","image":"y"}],"tolerations":[{"key":"k"}]}}}}"#

  @Test("containers merge by name, the rest of a container stays")
  func byKey() throws {
    let result = try merged(
      deployment, #"{"spec":{"template":{"spec":{"containers":[{"name":"a","image":"x:2"},{"name":"c","image":"z"}]}}}}"#)
    let containers = result["spec"]["template"]["spec"]["containers"]
    #expect(
      containers.array?.map { $0["name"].string ?? "" } == ["a", "b", "c"]
        || containers.array?.map { $0["name"].string ?? "" } == ["a", "c", "b"])
    #expect(containers[0]["image"].string == "x:2" && containers[0]["ports"][0]["containerPort"].int == 80)
  }

  @Test("$patch: delete removes by key, replace replaces the list")
  func directives() throws {
    let without = try merged(deployment, #"{"spec":{"template":{"spec":{"containers":[{"name":"a","$patch":"delete"}]}}}}"#)
    #expect(without["spec"]["template"]["spec"]["containers"].array?.count == 1)
    let replaced = try merged(deployment, #"{"spec":{"template":{"spec":{"containers":[{"$patch":"replace"},{"name":"z"}]}}}}"#)
    #expect(replaced["spec"]["template"]["spec"]["containers"] == [["name": "z"]])
    let whole = try merged(deployment, #"{"spec":{"strategy":{"$patch":"replace","type":"Recreate"}}}"#)
    #expect(whole["spec"]["strategy"] == ["type": "Recreate"])
    #expect(throws: PatchError.self) { try merged(deployment, #"{"spec":{"strategy":{"$patch":"explode"}}}"#) }
    #expect(throws: PatchError.self) { try merged(deployment, #"{"spec":{"template":{"spec":{"containers":[{"image":"x"}]}}}}"#) }
  }

  @Test("$retainKeys drops what it does not name")
  func retainKeys() throws {
    let result = try merged(deployment, #"{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}}"#)
    #expect(result["spec"]["strategy"] == ["type": "Recreate"])
    #expect(throws: PatchError.self) { try merged(deployment, #"{"spec":{"strategy":{"$retainKeys":["x"],"type":"Recreate"}}}"#) }
  }

  @Test("$setElementOrder orders, server-only elements keep their place")
  func order() throws {
    let result = try merged(
      deployment,
      #"{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"c"},{"name":"a"}],"containers":[{"name":"c","image":"z"}]}}}}"#
    )
    let names = result["spec"]["template"]["spec"]["containers"].array?.map { $0["name"].string ?? "" }
    #expect(names == ["c", "a", "b"])
  }

  @Test("finalizers are a set; $deleteFromPrimitiveList takes out; atomic lists are replaced")
  func primitives() throws {
    let object = #"{"metadata":{"finalizers":["a/a","b/b"]},"spec":{"template":{"spec":{"tolerations":[{"key":"k"}]}}}}"#
    let more = try merged(object, #"{"metadata":{"finalizers":["c/c","a/a"]}}"#)
    #expect(Set(more["metadata"]["finalizers"].array?.compactMap(\.string) ?? []) == ["a/a", "b/b", "c/c"])
    let less = try merged(object, #"{"metadata":{"$deleteFromPrimitiveList/finalizers":["a/a"]}}"#)
    #expect(less["metadata"]["finalizers"] == ["b/b"])
    let replaced = try merged(object, #"{"spec":{"template":{"spec":{"tolerations":[{"key":"new"}]}}}}"#)
    #expect(replaced["spec"]["template"]["spec"]["tolerations"] == [["key": "new"]])
  }

  @Test("null removes; in new objects it is nothing")
  func nulls() throws {
    let result = try merged(deployment, #"{"spec":{"strategy":{"rollingUpdate":null}},"metadata":{"labels":{"a":null,"b":"c"}}}"#)
    #expect(result["spec"]["strategy"] == ["type": "RollingUpdate"])
    #expect(result["metadata"]["labels"] == ["b": "c"])
  }
}
