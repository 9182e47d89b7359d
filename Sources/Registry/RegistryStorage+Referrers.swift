import Wire

extension RegistryStorage {
  private func referrers(_ subject: Digest, _ repository: Repository) -> String {
    "\(directory)/repositories/\(repository)/_referrers/\(subject.hex)"
  }

  /// Notes that a manifest (a signature, a bill of materials) is about another one, which need not be there.
  func note(_ manifest: Value, _ digest: Digest, in repository: Repository) throws(RegistryError) {
    guard let subject = Self.subject(of: manifest) else { return }
    try Files.write([], to: "\(referrers(subject, repository))/\(digest.hex)")
  }

  package static func subject(of manifest: Value) -> Digest? { manifest["subject"]["digest"].string.flatMap { Digest($0) } }

  /// The manifests about a subject, as an image index.
  /// - Parameter artifactType: nil: of every type.
  package func index(of subject: Digest, artifactType: String?, in repository: Repository) -> Value {
    var descriptors: [Value] = []
    for hex in Files.list(referrers(subject, repository)).sorted() {
      // One that was deleted since is about nothing any more.
      guard let digest = Digest(hex: hex), let found = try? manifest(.digest(digest), in: repository),
        let value = try? Value(json: found.bytes)
      else { continue }
      let type = value["artifactType"].string ?? value["config"]["mediaType"].string ?? ""
      if let artifactType, artifactType != type { continue }
      var descriptor: Value = [
        "mediaType": .string(found.mediaType), "digest": .string(digest.description), "size": .int(Int64(found.bytes.count)),
      ]
      if !type.isEmpty { descriptor["artifactType"] = .string(type) }
      if !value["annotations"].isNull { descriptor["annotations"] = value["annotations"] }
      descriptors.append(descriptor)
    }
    return ["schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": .array(descriptors)]
  }
}
