import Client
import Wire

/// The chance that was handed in, as a generator.
struct Chance: RandomNumberGenerator, Sendable {
  let draw: @Sendable () -> UInt64
  mutating func next() -> UInt64 { draw() }
}

/// Pods from a template, as their controller makes them.
package enum PodTemplate {
  /// The alphabet of generated names: no vowels, no words.
  package static let alphabet = Array("bcdfghjklmnpqrstvwxz2456789".utf8)

  /// - Parameter suffix: five characters of ``alphabet``; the controller names pods itself, so that it knows what to expect.
  package static func pod(_ template: Value, owner: Value, prefix: String, namespace: String, suffix: String) -> (
    key: ObjectKey, body: Value
  ) {
    let generateName = prefix + "-"
    // Room for the suffix within 63 characters, as the server cuts generated names.
    let name = String(generateName.prefix(58)) + suffix
    var metadata: Value = ["name": .string(name), "generateName": .string(generateName), "namespace": .string(namespace)]
    for field in ["labels", "annotations", "finalizers"] where !template["metadata"][field].isNull {
      metadata[field] = template["metadata"][field]
    }
    metadata["ownerReferences"] = [owner]
    return (ObjectKey(namespace: namespace, name: name), ["metadata": metadata, "spec": template["spec"]])
  }

  package static func suffix(using random: inout some RandomNumberGenerator) -> String {
    String(decoding: (0..<5).map { _ in alphabet.randomElement(using: &random) ?? alphabet[0] }, as: UTF8.self)
  }
}
