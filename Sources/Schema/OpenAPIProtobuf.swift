import Wire

/// Protobuf messages, written inside out.
struct ProtoOutput {
  private(set) var bytes: [UInt8] = []

  mutating func varint(_ value: UInt64) {
    var value = value
    while value >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
      value >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: value))
  }

  mutating func string(_ number: UInt64, _ text: String) {
    varint(number << 3 | 2)
    varint(UInt64(text.utf8.count))
    bytes.append(contentsOf: text.utf8)
  }

  mutating func bool(_ number: UInt64, _ value: Bool) {
    varint(number << 3)
    bytes.append(value ? 1 : 0)
  }

  mutating func message(_ number: UInt64, _ body: (inout ProtoOutput) -> Void) {
    var inner = ProtoOutput()
    body(&inner)
    varint(number << 3 | 2)
    varint(UInt64(inner.bytes.count))
    bytes.append(contentsOf: inner.bytes)
  }
}

/// OpenAPI v2 as gnostic's messages (OpenAPIv2.proto of google/gnostic-models); numbers are its field numbers.
enum Gnostic {
  static func pathItem(_ item: Value, into out: inout ProtoOutput) {
    for (name, number) in [("get", 2), ("put", 3), ("post", 4), ("delete", 5), ("patch", 8)] as [(String, UInt64)]
    where !item[name].isNull {
      out.message(number) { operation(item[name], into: &$0) }
    }
    for entry in item["parameters"].array ?? [] { out.message(9) { parametersItem(entry, into: &$0) } }
  }

  private static func operation(_ operation: Value, into out: inout ProtoOutput) {
    for tag in operation["tags"].array ?? [] { out.string(1, tag.string ?? "") }
    if let text = operation["description"].string { out.string(3, text) }
    if let id = operation["operationId"].string { out.string(5, id) }
    for type in operation["produces"].array ?? [] { out.string(6, type.string ?? "") }
    for type in operation["consumes"].array ?? [] { out.string(7, type.string ?? "") }
    for entry in operation["parameters"].array ?? [] { out.message(8) { parametersItem(entry, into: &$0) } }
    out.message(9) { responses in
      for response in operation["responses"].object?.members ?? [] {
        responses.message(1) { named in
          named.string(1, response.key)
          named.message(2) { value in
            value.message(1) { inner in
              inner.string(1, response.value["description"].string ?? "")
              let schema = response.value["schema"]
              if !schema.isNull { inner.message(2) { item in item.message(1) { self.schema(schema, into: &$0) } } }
            }
          }
        }
      }
    }
    extensions(of: operation, 13, into: &out)
  }

  private static func parametersItem(_ parameter: Value, into out: inout ProtoOutput) {
    out.message(1) { out in
      if parameter["in"].string == "body" {
        out.message(1) { body in
          body.string(2, parameter["name"].string ?? "")
          body.string(3, "body")
          if parameter["required"].bool == true { body.bool(4, true) }
          body.message(5) { schema(parameter["schema"], into: &$0) }
        }
        return
      }
      let isPath = parameter["in"].string == "path"
      out.message(2) { nonBody in
        nonBody.message(isPath ? 4 : 3) { inner in
          if isPath { inner.bool(1, true) }
          inner.string(2, parameter["in"].string ?? "")
          inner.string(3, parameter["description"].string ?? "")
          inner.string(4, parameter["name"].string ?? "")
          inner.string(isPath ? 5 : 6, parameter["type"].string ?? "")
        }
      }
    }
  }

  static func schema(_ schema: Value, into out: inout ProtoOutput) {
    if let link = schema["$ref"].string { out.string(1, link) }
    if let format = schema["format"].string { out.string(2, format) }
    if let text = schema["description"].string { out.string(4, text) }
    for name in schema["required"].array ?? [] { out.string(19, name.string ?? "") }
    for value in schema["enum"].array ?? [] { out.message(20) { $0.string(2, value.json) } }
    let additional = schema["additionalProperties"]
    if !additional.isNull { out.message(21) { out in out.message(1) { self.schema(additional, into: &$0) } } }
    if let type = schema["type"].string { out.message(22) { $0.string(1, type) } }
    let items = schema["items"]
    if !items.isNull { out.message(23) { out in out.message(1) { self.schema(items, into: &$0) } } }
    if let properties = schema["properties"].object {
      out.message(25) { out in
        for property in properties.members {
          out.message(1) { named in
            named.string(1, property.key)
            named.message(2) { self.schema(property.value, into: &$0) }
          }
        }
      }
    }
    extensions(of: schema, 31, into: &out)
  }

  /// Members that begin with `x-`, their values as YAML (of which JSON is a part).
  private static func extensions(of value: Value, _ number: UInt64, into out: inout ProtoOutput) {
    for member in value.object?.members ?? [] where member.key.hasPrefix("x-") {
      out.message(number) { named in
        named.string(1, member.key)
        named.message(2) { $0.string(2, member.value.json) }
      }
    }
  }
}
