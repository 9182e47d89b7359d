import Wire

/// How a body is written.
package enum BodyEncoding: Sendable {
  case json, yaml, protobuf
}

/// A body that has been understood.
package struct Decoded: Sendable {
  /// As the body names them; "" where it does not.
  package var apiVersion: String
  package var kind: String
  /// Pruned and normalised; without kind and apiVersion.
  package var value: Value
  /// What `fieldValidation=Strict` refuses and `Warn` warns of.
  package var strictErrors: [String]
}

extension SchemaTable {
  /// Understands a body.
  /// - Parameter expected: the kind whose route was called; the body's own kind and apiVersion are given back, not compared. nil takes the
  ///   body's word for it.
  /// - Throws: ``DecodeError``; the door answers 400.
  package func decode(_ bytes: [UInt8], encoding: BodyEncoding, expected: ResourceKind?) throws(DecodeError) -> Decoded {
    if let expected { return try decode(bytes, encoding: encoding, type: expected.type) }
    let tree = try read(bytes, encoding: encoding)
    let parts = tree.apiVersion.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count <= 2, let kind = kind(group: parts.count == 2 ? parts[0] : "", version: parts.last ?? "", kind: tree.kind)
    else {
      throw DecodeError("no kind \"\(tree.kind)\" is registered for version \"\(tree.apiVersion)\"")
    }
    return try finish(tree, type: kind.type)
  }

  /// Understands a body of a type that need not be a resource: `meta/v1.DeleteOptions`, `autoscaling/v1.Scale`.
  package func decode(_ bytes: [UInt8], encoding: BodyEncoding, type: TypeID) throws(DecodeError) -> Decoded {
    try finish(try read(bytes, encoding: encoding), type: type)
  }

  private struct Tree {
    var apiVersion: String
    var kind: String
    var value: Value = .null
    /// The message, where the body is protobuf.
    var message: [UInt8]?
    var findings: [String] = []
  }

  private func read(_ bytes: [UInt8], encoding: BodyEncoding) throws(DecodeError) -> Tree {
    var tree = Tree(apiVersion: "", kind: "")
    switch encoding {
    case .protobuf:
      let envelope = try ProtobufEnvelope(bytes)
      return Tree(apiVersion: envelope.apiVersion, kind: envelope.kind, message: envelope.raw)
    case .yaml:
      do throws(YAMLError) {
        let document = try YAML.decode(bytes)
        tree.value = document.value
        tree.findings = document.duplicates.map { "duplicate field \"\($0)\"" }
      } catch { throw DecodeError("error converting YAML to JSON: \(error)") }
    case .json:
      do throws(JSONError) { tree.value = try Value(json: bytes) } catch { throw DecodeError("json: \(error)") }
    }
    guard case .object(let root) = tree.value else {
      throw DecodeError(
        "couldn't get version/kind; json parse error: json: cannot unmarshal into Go value of type struct: the body is no object")
    }
    tree.apiVersion = root.text("apiVersion")
    tree.kind = root.text("kind")
    return tree
  }

  private func finish(_ tree: consuming Tree, type: TypeID) throws(DecodeError) -> Decoded {
    var value = tree.value
    tree.value = .null
    if let message = tree.message {
      value = try decodeProtobuf(message, type: type)
      // Numbers that are not known are skipped, and a key that comes twice is legal: strictness is for JSON and YAML.
      _ = try prune(&value, type: type)
      return Decoded(apiVersion: tree.apiVersion, kind: tree.kind, value: value, strictErrors: [])
    }
    let findings = try prune(&value, type: type)
    return Decoded(apiVersion: tree.apiVersion, kind: tree.kind, value: value, strictErrors: tree.findings + findings)
  }
}
