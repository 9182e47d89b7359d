import Crypto
import Glibc
import Wire

/// Blobs, manifests, tags and running uploads in one directory. Synchronous: callers are on a thread that may block.
///
///     blobs/sha256/ab/abcd…            content, named by its digest (manifests too)
///     repositories/NAME/_blobs/HEX     the blob belongs to the repository (empty file)
///     repositories/NAME/_manifests/HEX its media type
///     repositories/NAME/_tags/TAG      a digest
///     repositories/NAME/_referrers/HEX/HEX  the second manifest is about the first (empty file)
///     uploads/ID                       bytes so far
///
/// A file gets its final name by `rename` after `fsync`, so that a crash leaves either all of it or none.
package struct RegistryStorage: Sendable {
  package let directory: String

  package init(directory: String) throws(RegistryError) {
    self.directory = directory
    for part in ["blobs/sha256", "repositories", "uploads"] { try Files.makeDirectory("\(directory)/\(part)") }
  }

  // MARK: Blobs

  package func path(_ digest: Digest) -> String { "\(directory)/blobs/sha256/\(digest.hex.prefix(2))/\(digest.hex)" }
  private func path(_ repository: Repository) -> String { "\(directory)/repositories/\(repository.name)" }

  /// Also keeps the blob from the garbage for a while: a push that finds it does not send it again.
  /// - Returns: the blob's size in bytes.
  /// - Throws: `.blobUnknown` where the repository does not have it, even if another one does.
  package func size(_ digest: Digest, in repository: Repository) throws(RegistryError) -> Int {
    guard Files.exists("\(path(repository))/_blobs/\(digest.hex)"), let size = Files.size(path(digest)) else {
      throw RegistryError(.blobUnknown, "blob \(digest) is not in repository \(repository)")
    }
    Files.touch(path(digest))
    return size
  }

  /// Gives a repository a blob that another one has, without copying.
  /// - Returns: false where the source does not have it.
  package func mount(_ digest: Digest, from source: Repository, into repository: Repository) throws(RegistryError) -> Bool {
    guard (try? size(digest, in: source)) != nil else { return false }
    try link(digest, to: repository)
    return true
  }

  private func link(_ digest: Digest, to repository: Repository) throws(RegistryError) {
    try Files.write([], to: "\(path(repository))/_blobs/\(digest.hex)")
  }

  package func deleteBlob(_ digest: Digest, in repository: Repository) throws(RegistryError) {
    _ = try size(digest, in: repository)
    unlink("\(path(repository))/_blobs/\(digest.hex)")
  }

  // MARK: Uploads

  /// A file that grows. Its name is an id that the server made; anything else is refused before it becomes a path.
  package func uploadPath(_ id: String) throws(RegistryError) -> String {
    guard id.utf8.count == 32, id.utf8.allSatisfy({ hexValue($0) != nil }) else {
      throw RegistryError(.blobUploadUnknown, "no upload \(id.prefix(40))")
    }
    return "\(directory)/uploads/\(id)"
  }

  package func beginUpload(id: String) throws(RegistryError) { try Files.write([], to: try uploadPath(id)) }

  package func uploadedBytes(_ id: String) throws(RegistryError) -> Int {
    guard let size = Files.size(try uploadPath(id)) else { throw RegistryError(.blobUploadUnknown, "no upload \(id)") }
    return size
  }

  package func cancelUpload(_ id: String) throws(RegistryError) {
    _ = try uploadedBytes(id)
    unlink(try uploadPath(id))
  }

  /// Checks what was uploaded against the digest that the client promises and gives it its name.
  package func finishUpload(_ id: String, digest: Digest, in repository: Repository) throws(RegistryError) {
    let upload = try uploadPath(id)
    let actual = try Files.digest(upload)
    guard actual == digest else {
      unlink(upload)
      throw RegistryError(.digestInvalid, "the uploaded bytes have digest \(actual), not \(digest)")
    }
    try Files.rename(upload, to: path(digest))
    try link(digest, to: repository)
  }

  // MARK: Manifests and tags

  package struct Manifest: Sendable {
    package var digest: Digest
    package var mediaType: String
    package var bytes: [UInt8]
  }

  package func resolve(_ reference: Reference, in repository: Repository) throws(RegistryError) -> Digest {
    switch reference {
    case .digest(let digest): return digest
    case .tag(let tag):
      guard let text = Files.read("\(path(repository))/_tags/\(tag)"), let digest = Digest(String(decoding: text, as: UTF8.self))
      else {
        throw RegistryError(.manifestUnknown, "repository \(repository) has no tag \(tag)")
      }
      return digest
    }
  }

  package func manifest(_ reference: Reference, in repository: Repository) throws(RegistryError) -> Manifest {
    let digest = try resolve(reference, in: repository)
    guard let mediaType = Files.read("\(path(repository))/_manifests/\(digest.hex)"), let bytes = Files.read(path(digest)) else {
      throw RegistryError(.manifestUnknown, "repository \(repository) has no manifest \(digest)")
    }
    return Manifest(digest: digest, mediaType: String(decoding: mediaType, as: UTF8.self), bytes: bytes)
  }

  /// Source: OCI image specification; Docker's image manifest V2, schema 2.
  private static let manifestTypes: Set<String> = [
    "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
  ]

  /// What a manifest is served as from then on, by whatever tag: what its body says of itself, else its `Content-Type`.
  private static func mediaType(of manifest: Value, contentType: String) throws(RegistryError) -> String {
    let sent = String(contentType.prefix { $0 != ";" && $0 != " " })
    let declared = manifest["mediaType"].string ?? ""
    let other =
      manifest["manifests"].isNull ? "application/vnd.oci.image.manifest.v1+json" : "application/vnd.oci.image.index.v1+json"
    let type = !sent.isEmpty ? sent : !declared.isEmpty ? declared : other
    guard manifestTypes.contains(type) else {
      throw RegistryError(
        .manifestInvalid, "Content-Type \"\(type.prefix(100))\" is no manifest's: \(manifestTypes.sorted().joined(separator: ", "))"
      )
    }
    guard declared.isEmpty || declared == type else {
      throw RegistryError(
        .manifestInvalid, "the manifest says that it is \"\(declared.prefix(100))\", its Content-Type \"\(type.prefix(100))\"")
    }
    return type
  }

  /// Stores a manifest whose blobs the repository has, and points the tag at it.
  /// - Parameter mediaType: the request's `Content-Type`, "" where there is none.
  package func putManifest(
    _ bytes: [UInt8], mediaType: String, as reference: Reference, in repository: Repository
  ) throws(RegistryError) -> Digest {
    let digest = Files.digest(of: bytes)
    if case .digest(let promised) = reference, promised != digest {
      throw RegistryError(.digestInvalid, "the manifest has digest \(digest), not \(promised)")
    }
    let manifest = try checkReferences(bytes, in: repository)
    let type = try Self.mediaType(of: manifest, contentType: mediaType)
    try Files.write(bytes, to: path(digest))
    try Files.write(Array(type.utf8), to: "\(path(repository))/_manifests/\(digest.hex)")
    try note(manifest, digest, in: repository)
    if case .tag(let tag) = reference { try Files.write(Array(digest.description.utf8), to: "\(path(repository))/_tags/\(tag)") }
    return digest
  }

  /// - Returns: the manifest, whose blobs and children the repository has.
  private func checkReferences(_ bytes: [UInt8], in repository: Repository) throws(RegistryError) -> Value {
    let manifest: Value
    do throws(JSONError) { manifest = try Value(json: bytes) } catch {
      throw RegistryError(.manifestInvalid, "the manifest is no JSON: \(error)")
    }
    guard manifest["schemaVersion"].int == 2 else {
      throw RegistryError(
        .manifestInvalid, "schemaVersion must be 2 (images of version 1 are not taken: push them again with a current client)")
    }
    for blob in [manifest["config"]] + (manifest["layers"].array ?? []) where !blob.isNull {
      guard let digest = blob["digest"].string.flatMap({ Digest($0) }) else {
        throw RegistryError(.manifestInvalid, "a layer or the config has no digest")
      }
      // Layers that live elsewhere (Windows base layers) are named, not pushed.
      if blob["urls"].array?.isEmpty == false { continue }
      guard (try? size(digest, in: repository)) != nil else {
        throw RegistryError(.manifestBlobUnknown, "blob \(digest) has not been pushed to repository \(repository)")
      }
    }
    for child in manifest["manifests"].array ?? [] {
      guard let digest = child["digest"].string.flatMap({ Digest($0) }),
        Files.exists("\(path(repository))/_manifests/\(digest.hex)")
      else {
        throw RegistryError(
          .manifestBlobUnknown, "manifest \(child["digest"].string ?? "") has not been pushed to repository \(repository)")
      }
    }
    return manifest
  }

  package func deleteManifest(_ reference: Reference, in repository: Repository) throws(RegistryError) {
    switch reference {
    case .tag(let tag):
      guard unlink("\(path(repository))/_tags/\(tag)") == 0 else {
        throw RegistryError(.manifestUnknown, "repository \(repository) has no tag \(tag)")
      }
    case .digest(let digest):
      guard unlink("\(path(repository))/_manifests/\(digest.hex)") == 0 else {
        throw RegistryError(.manifestUnknown, "repository \(repository) has no manifest \(digest)")
      }
      for tag in Files.list("\(path(repository))/_tags")
      where Files.read("\(path(repository))/_tags/\(tag)").map({ String(decoding: $0, as: UTF8.self) }) == digest.description {
        unlink("\(path(repository))/_tags/\(tag)")
      }
    }
  }

  package func tags(_ repository: Repository) throws(RegistryError) -> [String] {
    guard Files.exists("\(path(repository))/_manifests") else {
      throw RegistryError(.nameUnknown, "there is no repository \(repository)")
    }
    return Files.list("\(path(repository))/_tags").sorted()
  }

  /// Every repository that holds a manifest, sorted.
  package func repositories() -> [String] {
    var found: [String] = []
    var waiting = [""]
    while let prefix = waiting.popLast() {
      for name in Files.list("\(directory)/repositories/\(prefix)") {
        if name == "_manifests" { found.append(prefix) }
        if !name.hasPrefix("_") { waiting.append(prefix.isEmpty ? name : "\(prefix)/\(name)") }
      }
    }
    return found.sorted()
  }
}

@inline(__always) func hexValue(_ byte: UInt8) -> UInt8? {
  switch byte {
  case 48...57: byte - 48
  case 97...102: byte - 87
  default: nil
  }
}
