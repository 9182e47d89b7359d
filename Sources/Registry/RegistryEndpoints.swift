import Client
import Glibc
import HTTP
import NIOCore
import NIOPosix
import Wire

extension RegistryHandler {
  /// - Returns: nil where the answer is already on its way (a streamed blob).
  func respond(to call: RegistryCall, _ exchange: Exchange, _ identity: Identity) async throws -> HTTPResponse? {
    switch (call.endpoint, call.method) {
    case (.base, "GET"), (.base, "HEAD"): return json(200, .emptyObject)
    case (.catalog, "GET"):
      let all = try await blocking { storage in storage.repositories() }
      return try page("repositories", all, call, path: "/v2/_catalog", extra: [:])
    case (.tags(let repository), "GET"):
      let all = try await blocking { storage in try storage.tags(repository) }
      return try page("tags", all, call, path: "/v2/\(repository)/tags/list", extra: ["name": .string(repository.name)])
    case (.manifest(let repository, let reference), "GET"), (.manifest(let repository, let reference), "HEAD"):
      let manifest = try await blocking { storage in try storage.manifest(reference, in: repository) }
      let headers = [("docker-content-digest", "\(manifest.digest)"), ("etag", "\"\(manifest.digest)\"")]
      if call.method == "HEAD" {
        return HTTPResponse(
          200, headers: headers + [("content-type", manifest.mediaType), ("content-length", "\(manifest.bytes.count)")])
      }
      return HTTPResponse(200, headers: headers, type: manifest.mediaType, manifest.bytes)
    case (.manifest(let repository, let reference), "PUT"):
      let bytes = Array(exchange.body.readableBytesView)
      let type = exchange.head.fields["content-type"] ?? ""
      let digest = try await blocking { storage in try storage.putManifest(bytes, mediaType: type, as: reference, in: repository) }
      let subject = (try? Value(json: bytes)).flatMap { RegistryStorage.subject(of: $0) }
      return HTTPResponse(
        201,
        headers: [
          ("location", "/v2/\(repository)/manifests/\(digest)"), ("docker-content-digest", "\(digest)"), ("content-length", "0"),
        ] + (subject.map { [("oci-subject", "\($0)")] } ?? []))
    case (.manifest(let repository, let reference), "DELETE"):
      try await blocking { storage in try storage.deleteManifest(reference, in: repository) }
      return HTTPResponse(202, headers: [("content-length", "0")])
    case (.blob(let repository, let digest), "HEAD"):
      let size = try await blocking { storage in try storage.size(digest, in: repository) }
      return HTTPResponse(
        200,
        headers: [
          ("content-length", "\(size)"), ("docker-content-digest", "\(digest)"), ("accept-ranges", "bytes"),
          ("content-type", "application/octet-stream"),
        ])
    case (.blob(let repository, let digest), "GET"):
      try await send(digest, repository, exchange)
      return nil
    case (.blob(let repository, let digest), "DELETE"):
      try await blocking { storage in try storage.deleteBlob(digest, in: repository) }
      return HTTPResponse(202, headers: [("content-length", "0")])
    case (.startUpload(let repository), "POST"): return try await start(repository, call, exchange, identity)
    case (.upload(let repository, let id), "PATCH"):
      try await receive(id, exchange)
      let size = try await blocking { storage in try storage.uploadedBytes(id) }
      return progress(202, repository, id, size)
    case (.upload(let repository, let id), "PUT"):
      guard let digest = call.parameter("digest").flatMap({ Digest($0) }) else {
        throw RegistryError(.digestInvalid, "finish an upload with ?digest=sha256:…")
      }
      try await receive(id, exchange)
      return try await finish(repository, id, digest)
    case (.upload(let repository, let id), "GET"):
      let size = try await blocking { storage in try storage.uploadedBytes(id) }
      return progress(204, repository, id, size)
    case (.upload(_, let id), "DELETE"):
      try await blocking { storage in try storage.cancelUpload(id) }
      return HTTPResponse(204)
    case (.referrers(let repository, let digest), "GET"):
      let type = call.parameter("artifactType")
      let index = try await blocking { storage in storage.index(of: digest, artifactType: type, in: repository) }
      let filters = type == nil ? [] : [("oci-filters-applied", "artifactType")]
      return HTTPResponse(200, headers: filters, type: "application/vnd.oci.image.index.v1+json", index.jsonBytes)
    default: throw RegistryError(.unsupported, "\(call.method) is not supported here")
    }
  }

  private func json(_ status: Int, _ value: Value) -> HTTPResponse {
    HTTPResponse(status, headers: [("docker-distribution-api-version", "registry/2.0")], type: "application/json", value.jsonBytes)
  }

  private func blocking<R: Sendable>(_ body: @escaping @Sendable (RegistryStorage) throws -> R) async throws -> R {
    let storage = storage
    return try await threads.runIfActive { try body(storage) }
  }

  private func page(_ key: String, _ all: [String], _ call: RegistryCall, path: String, extra: Object) throws(RegistryError)
    -> HTTPResponse
  {
    var limit = RegistryLimits.page
    if let asked = call.parameter("n") {
      guard let number = Int(asked), number >= 0 else {
        throw RegistryError(.paginationNumberInvalid, "n=\(asked.prefix(40)) is no number of names")
      }
      limit = min(limit, number)
    }
    let rest = call.parameter("last").map { last in all.filter { $0 > last } } ?? all
    let names = rest.prefix(limit)
    var body = Value.object(extra)
    body[key] = .array(names.map { .string($0) })
    var response = json(200, body)
    if rest.count > names.count, let last = names.last {
      response.headers.append(("link", "<\(path)?n=\(limit)&last=\(last)>; rel=\"next\""))
    }
    return response
  }

  // MARK: Uploads

  private func start(
    _ repository: Repository, _ call: RegistryCall, _ exchange: Exchange, _ identity: Identity
  ) async throws -> HTTPResponse {
    if let digest = call.parameter("mount").flatMap({ Digest($0) }), let from = call.parameter("from"),
      let source = try? Repository(from), mayRead(digest, of: source, identity)
    {
      let isMounted = try await blocking { storage in try storage.mount(digest, from: source, into: repository) }
      if isMounted { return created(repository, digest) }
    }
    var random = SystemRandomNumberGenerator()
    let digits = Array("0123456789abcdef")
    let id = String((0..<32).map { _ in digits[Int(random.next(upperBound: UInt(16)))] })
    try await blocking { storage in try storage.beginUpload(id: id) }
    guard let digest = call.parameter("digest").flatMap({ Digest($0) }) else { return progress(202, repository, id, 0) }
    do {
      try await receive(id, exchange)
      return try await finish(repository, id, digest)
    } catch {
      // Nobody knows its id, so nobody could go on with it.
      try? await blocking { storage in try storage.cancelUpload(id) }
      throw error
    }
  }

  private func finish(_ repository: Repository, _ id: String, _ digest: Digest) async throws -> HTTPResponse {
    try await blocking { storage in try storage.finishUpload(id, digest: digest, in: repository) }
    return created(repository, digest)
  }

  private func created(_ repository: Repository, _ digest: Digest) -> HTTPResponse {
    HTTPResponse(
      201,
      headers: [("location", "/v2/\(repository)/blobs/\(digest)"), ("docker-content-digest", "\(digest)"), ("content-length", "0")])
  }

  private func progress(_ status: Int, _ repository: Repository, _ id: String, _ size: Int) -> HTTPResponse {
    var headers = [
      ("location", "/v2/\(repository)/blobs/uploads/\(id)"), ("range", "0-\(max(0, size - 1))"), ("docker-upload-uuid", id),
    ]
    if status != 204 { headers.append(("content-length", "0")) }
    return HTTPResponse(status, headers: headers)
  }

  /// Appends the request's body to an upload, piece by piece: while the disk is busy, the socket waits.
  private func receive(_ id: String, _ exchange: Exchange) async throws {
    let path = try storage.uploadPath(id)
    let size = try await blocking { storage in try storage.uploadedBytes(id) }
    if let range = exchange.head.fields["content-range"], let first = range.split(separator: "-").first.flatMap({ Int($0) }),
      first != size
    {
      throw RegistryError(.blobUploadInvalid, "the chunk begins at \(first), the upload has \(size) bytes", status: 416)
    }
    guard let body = exchange.bodyStream else { return }
    let file = try await threads.runIfActive { () throws -> Int32 in
      let file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
      if file < 0 { throw Files.failure("open", path) }
      return file
    }
    defer { close(file) }
    for try await piece in body {
      try await threads.runIfActive {
        var rest = piece.readableBytesView
        while !rest.isEmpty {
          let written = rest.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
          guard written > 0 else {
            let failure = Files.failure("write", path)
            // A chunk that found no space gives back what it took: others need it, and the client sends it whole again.
            ftruncate(file, off_t(size))
            throw failure
          }
          rest = rest.dropFirst(written)
        }
      }
    }
  }

  // MARK: Downloads

  private static let piece = 256 << 10

  private func send(_ digest: Digest, _ repository: Repository, _ exchange: Exchange) async throws {
    let size = try await blocking { storage in try storage.size(digest, in: repository) }
    let path = storage.path(digest)
    var offset = 0
    var end = size
    var status = 200
    var headers = [
      ("content-type", "application/octet-stream"), ("docker-content-digest", "\(digest)"), ("accept-ranges", "bytes"),
    ]
    if let range = exchange.head.fields["range"].flatMap({ ByteRange($0, size: size) }) {
      guard range.first < size else {
        throw RegistryError(.sizeInvalid, "the range begins behind the blob's \(size) bytes", status: 416)
      }
      (offset, end, status) = (range.first, range.last + 1, 206)
      headers.append(("content-range", "bytes \(range.first)-\(range.last)/\(size)"))
    }
    headers.append(("content-length", "\(end - offset)"))
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw RegistryError(.blobUnknown, "blob \(digest) is gone") }
    defer { close(file) }
    let writer = exchange.respond(status: status, headers: headers)
    while offset < end {
      let start = offset
      let count = min(Self.piece, end - offset)
      let bytes = try await threads.runIfActive {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
          filled = max(0, pread(file, buffer.baseAddress, count, off_t(start)))
        }
      }
      guard !bytes.isEmpty else {
        exchange.abort()
        return
      }
      do throws(HTTPBodyError) { try await writer.write(bytes) } catch { return }
      offset += bytes.count
    }
    writer.finish()
  }
}

/// `bytes=FIRST-` and `bytes=FIRST-LAST` of a `Range` header. Source: RFC 9110, 14.1.2.
package struct ByteRange: Equatable, Sendable {
  /// May be behind the end; then there is nothing to send.
  package let first: Int
  /// Inclusive and inside, unless ``first`` is behind the end.
  package let last: Int

  /// - Returns: nil for what is no range of this form (several, a suffix, one that ends before it begins): all is sent then.
  package init?(_ header: String, size: Int) {
    guard header.hasPrefix("bytes=") else { return nil }
    let parts = header.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, let first = Self.position(parts[0]) else { return nil }
    guard !parts[1].isEmpty else {
      self.first = first
      last = size - 1
      return
    }
    guard let last = Self.position(parts[1]), last >= first else { return nil }
    self.first = first
    self.last = min(last, size - 1)
  }

  /// A number that does not fit is behind every end.
  private static func position(_ text: Substring) -> Int? {
    guard !text.isEmpty, text.utf8.allSatisfy({ $0 &- 48 < 10 }) else { return nil }
    return Int(text) ?? .max
  }
}
