import Wire

/// How a body is written.
package enum BodyEncoding: Sendable {
  case json, yaml, protobuf
}

/// A body that has been understood.
package struct Decoded: Sendable {
  package var apiVersion: String
  package var kind: String
  /// Pruned and normalised; without kind and apiVersion.
  package var value: Value
  /// What `fieldValidation=Strict` refuses and `Warn` warns of.
  package var strictErrors: [String]
}

extension SchemaTable {
  /// Understands a body.
  /// - Parameter type: what is expected; the body's own kind and apiVersion are given back, not compared.
  /// - Throws: ``DecodeError``; the door answers 400.
  package func decode(_ bytes: [UInt8], encoding: BodyEncoding, type: TypeID) throws(DecodeError) -> Decoded {
    if encoding == .protobuf {
      let envelope = try ProtobufEnvelope(bytes)
      var value = try decodeProtobuf(envelope.raw, type: type)
      _ = try prune(&value, type: type)
      return Decoded(apiVersion: envelope.apiVersion, kind: envelope.kind, value: value, strictErrors: [])
    }
    var value: Value
    var findings: [String] = []
    switch encoding {
    case .yaml:
      do throws(YAMLError) {
        let document = try YAML.decode(bytes)
        value = document.value
        findings = document.duplicates.map { "duplicate field \"\($0)\"" }
      } catch { throw DecodeError("error converting YAML to JSON: \(error)") }
    default:
      do throws(JSONError) { value = try Value(json: bytes) } catch { throw DecodeError("json: \(error)") }
    }
    guard case .object = value else { throw DecodeError("couldn't get version/kind; json parse error: the body is no object") }
    let apiVersion = value["apiVersion"].string ?? ""
    let kind = value["kind"].string ?? ""
    findings += try prune(&value, type: type)
    return Decoded(apiVersion: apiVersion, kind: kind, value: value, strictErrors: findings)
  }
}
