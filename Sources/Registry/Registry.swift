/// The built-in image registry: the OCI distribution API over blobs on disk.
///
/// In: pushes and pulls of containerd, skopeo, docker, buildkit … under `/v2/`, streamed both ways.
/// Out: blobs, manifests and tags in one directory; every blob is checked against its digest before it gets its name.
/// Never: holds a blob in memory, trusts a name from outside as a path, or serves a repository to somebody who is not authenticated.
package enum RegistryLimits {
  /// Manifests are read whole. The specification asks for at least 4 MB.
  package static let manifestBytes = 4 << 20
  /// Characters of a repository name.
  package static let repositoryName = 255
  /// Names of one page of `_catalog` and `tags/list`.
  package static let page = 1000
}

/// A refusal in the distribution specification's terms.
package struct RegistryError: Error, Equatable, Sendable {
  package enum Code: String, Sendable {
    case blobUnknown = "BLOB_UNKNOWN"
    case blobUploadInvalid = "BLOB_UPLOAD_INVALID"
    case blobUploadUnknown = "BLOB_UPLOAD_UNKNOWN"
    case digestInvalid = "DIGEST_INVALID"
    case manifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
    case manifestInvalid = "MANIFEST_INVALID"
    case manifestUnknown = "MANIFEST_UNKNOWN"
    case nameInvalid = "NAME_INVALID"
    case nameUnknown = "NAME_UNKNOWN"
    case paginationNumberInvalid = "PAGINATION_NUMBER_INVALID"
    case sizeInvalid = "SIZE_INVALID"
    case tagInvalid = "TAG_INVALID"
    case unauthorized = "UNAUTHORIZED"
    case denied = "DENIED"
    case unsupported = "UNSUPPORTED"
    case unavailable = "UNAVAILABLE"

    package var status: Int {
      switch self {
      case .blobUnknown, .blobUploadUnknown, .manifestUnknown, .nameUnknown: 404
      case .blobUploadInvalid, .digestInvalid, .manifestBlobUnknown, .manifestInvalid, .nameInvalid, .paginationNumberInvalid,
        .sizeInvalid, .tagInvalid:
        400
      case .unauthorized: 401
      case .denied: 403
      case .unsupported: 405
      case .unavailable: 507
      }
    }
  }

  package var code: Code
  package var message: String
  package var status: Int

  package init(_ code: Code, _ message: String, status: Int? = nil) {
    self.code = code
    self.message = message
    self.status = status ?? code.status
  }
}

/// `sha256:…`, the only algorithm that clients use.
package struct Digest: Hashable, Sendable, CustomStringConvertible {
  /// 64 lower-case hexadecimal digits: safe as a file name.
  package let hex: String

  package init?(_ text: some StringProtocol) {
    guard text.hasPrefix("sha256:") else { return nil }
    self.init(hex: text.dropFirst(7))
  }

  package init?(hex: some StringProtocol) {
    let isDigit = { (byte: UInt8) in byte &- 48 < 10 || byte &- 97 < 6 }
    guard hex.utf8.count == 64, hex.utf8.allSatisfy(isDigit) else { return nil }
    self.hex = String(hex)
  }

  package var description: String { "sha256:\(hex)" }
}

/// A repository's name, known to be safe as a path: lower-case components of `[a-z0-9]` joined by `.`, `_`, `__` or dashes.
package struct Repository: Hashable, Sendable, CustomStringConvertible {
  package let name: String

  package init(_ name: some StringProtocol) throws(RegistryError) {
    let name = String(name)
    let components = name.split(separator: "/", omittingEmptySubsequences: false)
    guard name.utf8.count <= RegistryLimits.repositoryName, components.allSatisfy(Self.isComponent) else {
      throw RegistryError(
        .nameInvalid, "repository name \"\(name)\": lower-case letters, digits, and . _ - between them, parts joined by /")
    }
    self.name = name
  }

  private static func isComponent(_ text: Substring) -> Bool {
    let isAlphanumeric = { (byte: UInt8) in byte &- 48 < 10 || byte &- 97 < 26 }
    guard let first = text.utf8.first, let last = text.utf8.last, isAlphanumeric(first), isAlphanumeric(last) else { return false }
    var separators = ""
    for character in text {
      guard let byte = character.asciiValue else { return false }
      if isAlphanumeric(byte) {
        separators = ""
        continue
      }
      separators.append(character)
      let isSeparator = separators == "." || separators == "_" || separators == "__" || separators.allSatisfy { $0 == "-" }
      guard isSeparator else { return false }
    }
    return true
  }

  package var description: String { name }
}

/// A tag or a digest, as the last part of a manifest's path.
package enum Reference: Hashable, Sendable {
  case tag(String)
  case digest(Digest)

  package init(_ text: some StringProtocol) throws(RegistryError) {
    if text.contains(":") {
      guard let digest = Digest(text) else {
        throw RegistryError(.digestInvalid, "digest \"\(text)\" is not sha256 and 64 hexadecimal digits")
      }
      self = .digest(digest)
      return
    }
    let isWord = { (byte: UInt8) in byte &- 48 < 10 || byte &- 97 < 26 || byte &- 65 < 26 || byte == UInt8(ascii: "_") }
    guard let first = text.utf8.first, isWord(first), text.utf8.count <= 128,
      text.utf8.allSatisfy({ isWord($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-") })
    else {
      throw RegistryError(
        .tagInvalid, "tag \"\(text)\": at most 128 letters, digits, _ . and -, not starting with . or -", status: 400)
    }
    self = .tag(String(text))
  }
}
