import Registry
import Testing
import Wire

#if canImport(Glibc)
  import Glibc
#endif

/// Blobs, manifests and tags on a real disk, and names that must never become paths.
@Suite struct RegistryStorageTests {
  static func with(_ body: (RegistryStorage) throws -> Void) throws {
    var template = Array("/tmp/gantry-registry-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw RegistryError(.unavailable, "mkdtemp") }
    let directory = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    defer { remove(directory) }
    try body(try RegistryStorage(directory: directory))
  }

  /// Removes a tree.
  static func remove(_ path: String) {
    if let handle = opendir(path) {
      while let entry = readdir(handle) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { remove("\(path)/\(name)") }
      }
      closedir(handle)
      rmdir(path)
    } else {
      unlink(path)
    }
  }

  static let manifestType = "application/vnd.oci.image.manifest.v1+json"
  static let id = String(repeating: "a", count: 32)

  static func upload(_ text: String, _ storage: RegistryStorage, _ repository: Repository) throws -> Digest {
    try storage.beginUpload(id: id)
    let path = try storage.uploadPath(id)
    let file = open(path, O_WRONLY | O_APPEND)
    defer { close(file) }
    _ = Array(text.utf8).withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
    let digest = try #require(
      Digest(text == "hello" ? "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" : "sha256:\(id)\(id)"))
    try storage.finishUpload(id, digest: digest, in: repository)
    return digest
  }

  @Test("a blob gets its name only if its bytes have that digest, and only its repository serves it")
  func blobs() throws {
    try Self.with { storage in
      let repository = try Repository("team/app")
      let digest = try Self.upload("hello", storage, repository)
      #expect(try storage.size(digest, in: repository) == 5)
      #expect(throws: RegistryError.self) { try storage.size(digest, in: Repository("other")) }
      #expect(try storage.mount(digest, from: repository, into: Repository("other")))
      #expect(try storage.size(digest, in: Repository("other")) == 5)
      #expect(throws: RegistryError.self) { try Self.upload("not what was promised", storage, repository) }
    }
  }

  @Test("a manifest needs its blobs; a tag leads to it; deleting it takes its tags")
  func manifests() throws {
    try Self.with { storage in
      let repository = try Repository("app")
      let manifest: Value = [
        "schemaVersion": 2, "config": ["digest": "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"],
        "layers": [],
      ]
      #expect(throws: RegistryError.self) {
        try storage.putManifest(manifest.jsonBytes, mediaType: Self.manifestType, as: Reference("1"), in: repository)
      }
      _ = try Self.upload("hello", storage, repository)
      let digest = try storage.putManifest(manifest.jsonBytes, mediaType: Self.manifestType, as: Reference("1"), in: repository)
      let read = try storage.manifest(Reference("1"), in: repository)
      #expect(read.bytes == manifest.jsonBytes && read.mediaType == Self.manifestType && read.digest == digest)
      #expect(try storage.tags(repository) == ["1"])
      #expect(storage.repositories() == ["app"])
      try storage.deleteManifest(.digest(digest), in: repository)
      #expect(throws: RegistryError.self) { try storage.manifest(Reference("1"), in: repository) }
    }
  }

  @Test(
    "a manifest is served as what it is: a Content-Type that says otherwise is refused and changes nothing",
    arguments: [
      ("application/x-www-form-urlencoded", "", false), ("application/json", "", false), ("", "", true),
      ("\(manifestType); charset=utf-8", "", true), (manifestType, manifestType, true), ("", "text/plain", false),
      (manifestType, "application/vnd.docker.distribution.manifest.v2+json", false),
    ])
  func mediaTypes(sent: String, declared: String, isTaken: Bool) throws {
    try Self.with { storage in
      let repository = try Repository("app")
      var manifest: Value = ["schemaVersion": 2, "layers": []]
      let first = try storage.putManifest(manifest.jsonBytes, mediaType: Self.manifestType, as: Reference("1"), in: repository)
      if !declared.isEmpty { manifest["mediaType"] = .string(declared) }
      let second = try? storage.putManifest(manifest.jsonBytes, mediaType: sent, as: Reference("2"), in: repository)
      #expect((second != nil) == isTaken)
      #expect(try storage.manifest(.digest(first), in: repository).mediaType == Self.manifestType)
      if let second { #expect(try storage.manifest(.digest(second), in: repository).mediaType == Self.manifestType) }
    }
  }

  @Test(
    "names from outside never become paths",
    arguments: ["../x", "a//b", "", "A", "a/../b", "a/.", "-a", "a_", "a___b", "a/_tags", "é"])
  func names(name: String) { #expect(throws: RegistryError.self) { try Repository(name) } }

  @Test(
    "references",
    arguments: [("v1.2", true), ("latest", true), ("-x", false), ("a/b", false), ("..", false), ("sha256:xyz", false)])
  func references(text: String, isValid: Bool) { #expect(((try? Reference(text)) != nil) == isValid) }

  @Test("an upload's id is one that the server made", arguments: ["..", "../../etc/passwd", "", "A"])
  func uploadIDs(id: String) throws {
    try Self.with { storage in #expect(throws: RegistryError.self) { try storage.uploadedBytes(id) } }
  }

  @Test(
    "ranges of a blob of ten bytes",
    arguments: [
      ("bytes=0-", 0, 9), ("bytes=3-5", 3, 5), ("bytes=3-99", 3, 9), ("bytes=0-9223372036854775807", 0, 9),
      ("bytes=0-99999999999999999999", 0, 9), ("bytes=10-", 10, 9), ("bytes=10-20", 10, 9), ("bytes=9-9", 9, 9),
    ])
  func range(header: String, first: Int, last: Int) throws {
    let range = try #require(ByteRange(header, size: 10))
    #expect(range.first == first && range.last == last)
  }

  @Test(
    "what is no range of that form is answered whole", arguments: ["bytes=10-5", "bytes=-5", "bytes=1-2,4-5", "bytes=a-b", "x"])
  func noRange(header: String) { #expect(ByteRange(header, size: 10) == nil) }

  @Test("what an earlier process had begun to write goes at start; what has its name stays, whatever that is")
  func leftovers() throws {
    try Self.with { storage in
      let repository = try Repository("team/app")
      let blob = try Self.upload("hello", storage, repository)
      let manifest: Value = ["schemaVersion": 2, "config": ["digest": .string("\(blob)")], "layers": []]
      let digest = try storage.putManifest(
        manifest.jsonBytes, mediaType: Self.manifestType, as: Reference("x.part"), in: repository)
      try storage.beginUpload(id: Self.id)
      let root = storage.directory
      for path in ["blobs/sha256/2c/.ab.1.ff", "repositories/team/app/_tags/.v1.1.ff", "uploads/.x.1.ff"] {
        let file = open("\(root)/\(path)", O_CREAT | O_WRONLY, 0o600)
        #expect(file >= 0)
        close(file)
      }
      #expect(storage.removeLeftovers() == 3 && storage.removeLeftovers() == 0)
      #expect(try storage.tags(repository) == ["x.part"] && storage.repositories() == ["team/app"])
      #expect(try storage.manifest(Reference("x.part"), in: repository).digest == digest)
      #expect(try storage.uploadedBytes(Self.id) == 0)
    }
  }

  @Test("what no manifest names goes when nobody has asked for it for a while; what one names stays")
  func garbage() throws {
    try Self.with { storage in
      let repository = try Repository("app")
      let blob = try Self.upload("hello", storage, repository)
      let manifest: Value = ["schemaVersion": 2, "config": ["digest": .string("\(blob)")], "layers": []]
      let digest = try storage.putManifest(manifest.jsonBytes, mediaType: Self.manifestType, as: Reference("1"), in: repository)
      try storage.beginUpload(id: Self.id)
      let later = time(nil) + 100
      #expect(storage.collectGarbage(now: later, grace: 200) == .init())
      #expect(storage.collectGarbage(now: later, grace: 50) == .init(blobs: 0, bytes: 0, uploads: 1))
      #expect(try storage.manifest(Reference("1"), in: repository).digest == digest)
      try storage.deleteManifest(.digest(digest), in: repository)
      #expect(storage.collectGarbage(now: later, grace: 50) == .init(blobs: 2, bytes: 5 + manifest.jsonBytes.count, uploads: 0))
      #expect(throws: RegistryError.self) { try storage.size(blob, in: repository) }
    }
  }

  @Test("a manifest about another one is listed as its referrer, by type, until it is deleted")
  func referrers() throws {
    try Self.with { storage in
      let repository = try Repository("app")
      let subject = try Self.upload("hello", storage, repository)
      let signature: Value = [
        "schemaVersion": 2, "artifactType": "application/signature", "layers": [], "subject": ["digest": .string("\(subject)")],
        "annotations": ["by": "me"],
      ]
      let digest = try storage.putManifest(signature.jsonBytes, mediaType: Self.manifestType, as: Reference("s"), in: repository)
      let listed = storage.index(of: subject, artifactType: nil, in: repository)["manifests"]
      #expect(
        listed == [
          [
            "mediaType": .string(Self.manifestType), "digest": .string("\(digest)"), "size": .int(Int64(signature.jsonBytes.count)),
            "artifactType": "application/signature", "annotations": ["by": "me"],
          ]
        ])
      #expect(storage.index(of: subject, artifactType: "other", in: repository)["manifests"] == [])
      try storage.deleteManifest(.digest(digest), in: repository)
      #expect(storage.index(of: subject, artifactType: nil, in: repository)["manifests"] == [])
    }
  }
}
