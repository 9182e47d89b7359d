import Schema
import Testing
import Wire

@Suite struct DecodeTests {
  @Test("unknown and duplicate fields are reported in upstream's words and pruned; the last of two counts")
  func strictness() throws {
    let decoded = try decode(
      #"{"metadata":{"name":"p","labels":{"a":"1","a":"2"}},"spec":{"nodeName":"x","containers":[{"name":"a","imagee":"x"}],"hostNetwork":true,"nodeName":"y"},"foo":1,"spec":{"nodeName":"z"}}"#,
      kind("pods"))
    #expect(
      decoded.strictErrors == [
        #"duplicate field "metadata.labels.a""#, #"unknown field "spec.containers[0].imagee""#, #"duplicate field "spec.nodeName""#,
        #"unknown field "foo""#, #"duplicate field "spec""#,
      ])
    #expect(decoded.value == ["metadata": ["name": "p", "labels": ["a": "2"]], "spec": ["nodeName": "z"]])
  }

  @Test(
    "a value of another type is refused with its field, as Go words it",
    arguments: [
      (
        #"{"spec":{"replicas":"3"}}"#,
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
      ),
      (
        #"{"spec":{"replicas":1.5}}"#,
        "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"
      ),
      (
        #"{"spec":{"replicas":3000000000}}"#,
        "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32"
      ),
      (
        #"{"metadata":{"labels":{"a":1}}}"#,
        "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"
      ),
      (#"{"spec":[]}"#, "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec"),
      (
        #"{"spec":{"template":{"spec":{"containers":{}}}}}"#,
        "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container"
      ),
      (
        #"{"spec":{"paused":"true"}}"#, "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.paused of type bool"
      ),
    ])
  func mismatch(json: String, message: String) throws {
    #expect(throws: DecodeError(message)) { try decode(json, kind("deployments", group: "apps")) }
  }

  @Test("an explicit zero in a field that is no pointer counts as absent; in a pointer it stays; null is absent")
  func zeros() throws {
    let decoded = try decode(
      #"{"metadata":{"name":"","labels":null},"spec":{"replicas":0,"minReadySeconds":0,"paused":false,"template":{"spec":{"terminationGracePeriodSeconds":0,"dnsPolicy":"","containers":[null]}}}}"#,
      kind("deployments", group: "apps"))
    #expect(
      decoded.value == [
        "metadata": [:], "spec": ["replicas": 0, "template": ["spec": ["terminationGracePeriodSeconds": 0, "containers": [[:]]]]],
      ])
  }

  @Test("quantities, times and bytes come out in their one form")
  func scalars() throws {
    let secret = try decode(
      #"{"data":{"a":"aGVs\nbG8="},"metadata":{"creationTimestamp":"2026-11-25T08:13:23+01:00"}}"#, kind("secrets"))
    #expect(secret.value == ["data": ["a": "aGVsbG8="], "metadata": ["creationTimestamp": "2026-11-25T07:13:23Z"]])
    let lease = try decode(#"{"spec":{"renewTime":"2026-11-25T07:13:23.5Z"}}"#, kind("leases", group: "coordination.k8s.io"))
    #expect(lease.value == ["spec": ["renewTime": "2026-11-25T07:13:23.500000Z"]])
    let pod = try decode(#"{"spec":{"overhead":{"cpu":0.5,"memory":"1024Mi","x":"0.0001"}}}"#, kind("pods"))
    #expect(pod.value == ["spec": ["overhead": ["cpu": "500m", "memory": "1Gi", "x": "1m"]]])
    #expect(throws: DecodeError.self) { try decode(#"{"data":{"a":"?"}}"#, kind("secrets")) }
    #expect(throws: DecodeError.self) { try decode(#"{"spec":{"overhead":{"cpu":"1x"}}}"#, kind("pods")) }
    #expect(throws: DecodeError.self) { try decode(#"{"metadata":{"creationTimestamp":"yesterday"}}"#, kind("pods")) }
  }

  @Test("the body's own kind decides where none is expected")
  func unexpected() throws {
    let decoded = try table.decode(Array(Manifests.deployment.utf8), encoding: .json, expected: nil)
    #expect(decoded.kind == "Deployment" && decoded.apiVersion == "apps/v1")
    #expect(decoded.value["kind"].isNull)
    #expect(throws: DecodeError(#"no kind "Foo" is registered for version "apps/v1""#)) {
      try table.decode(Array(#"{"kind":"Foo","apiVersion":"apps/v1"}"#.utf8), encoding: .json, expected: nil)
    }
  }

  @Test("YAML and JSON of one object are one value; a key that stands twice is reported")
  func yaml() throws {
    let yaml = "apiVersion: v1\nkind: Service\nmetadata: {name: s, name: t}\nspec:\n  ports:\n  - port: 80\n    targetPort: http\n"
    let decoded = try table.decode(Array(yaml.utf8), encoding: .yaml, expected: kind("services"))
    #expect(decoded.value == ["metadata": ["name": "t"], "spec": ["ports": [["port": 80, "targetPort": "http"]]]])
    #expect(decoded.strictErrors.count == 1)
  }

  @Test("types that are no resources: options, scale, eviction with nested kinds")
  func options() throws {
    let type = try #require(table.type(named: "policy/v1.Eviction"))
    let json =
      #"{"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":"p"},"deleteOptions":{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0}}"#
    let decoded = try table.decode(Array(json.utf8), encoding: .json, type: type)
    #expect(decoded.strictErrors.isEmpty)
    #expect(decoded.value["deleteOptions"]["gracePeriodSeconds"].int == 0)
  }
}
