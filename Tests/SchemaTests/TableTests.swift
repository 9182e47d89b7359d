import Schema
import Testing
import Wire

@Suite struct TableTests {
  @Test("every served kind is there, core first, with its routes")
  func discovery() throws {
    #expect(table.groups.first?.name == "")
    #expect(table.resources.count == 68)
    #expect(try kind("pods").shortNames == ["po"])
    #expect(try kind("deployments", group: "apps").subresource("scale")?.group == "autoscaling")
    #expect(try kind("pods").subresource("exec")?.isConnect == true)
    #expect(try kind("nodes").isNamespaced == false)
    #expect(table.kind(group: "apps", version: "v1", kind: "Deployment")?.gvr.resource == "deployments")
    #expect(table.resource(GroupVersionResource(group: "extensions", version: "v1beta1", resource: "ingresses")) == nil)
  }

  @Test("strategies: what rows say of writes")
  func strategies() throws {
    #expect(try kind("leases", group: "coordination.k8s.io").strategy.allowsCreateOnUpdate)
    #expect(try kind("leases", group: "coordination.k8s.io").strategy.allowsUnconditionalUpdate == false)
    #expect(try kind("deployments", group: "apps").strategy.generation == "spec or metadata.annotations")
    #expect(try kind("pods").hasStatus)
    #expect(try kind("configmaps").hasStatus == false)
  }

  @Test("both forms of events and autoscalers have one storage")
  func storage() throws {
    let events = try kind("events", group: "events.k8s.io")
    #expect(events.storage == GroupResource(resource: "events"))
    #expect(table.storageKind(of: events).typeName == "core/v1.Event")
    #expect(table.storageKind(of: try kind("horizontalpodautoscalers", group: "autoscaling")).gvr.version == "v2")
    #expect(table.stored.filter { $0.gvr.resource == "events" }.count == 1)
    #expect(table.stored.filter { $0.gvr.resource == "horizontalpodautoscalers" }.count == 1)
    for kind in table.stored { #expect(table.storageKind(of: kind).gvr == kind.gvr, "\(kind.gvr) is not what is stored") }
  }

  @Test("every field is found by its name, and every shape it leads to exists")
  func lookup() {
    for shape in table.shapes {
      for (i, field) in shape.fields.enumerated() {
        #expect(shape.position(of: field.name) == i || field.name.isEmpty, "\(shape.name).\(field.name)")
        _ = table.shape(field.type)
      }
      #expect(shape.position(of: "noSuchField") == nil)
      // Duplicates are found with one word of bits.
      #expect(shape.fields.count <= 64, "\(shape.name)")
    }
  }

  @Test("fields behind a gate that is off are not there")
  func gates() throws {
    #expect(!table.isOn(gate: "GenericWorkload"))
    let spec = table.shape(try #require(table.type(named: "core/v1.PodSpec")))
    #expect(spec.field("schedulingGroup") == nil)
    #expect(spec.field("resources") != nil)
  }
}
